// Package faults breaks clusters of real processes, on real disks and sockets,
// while clients that record everything go on: crashes, pauses, partitions, power
// cuts, damaged files. Each fault is judged by what the clients saw and by what
// lies in the stores afterwards. VIEWRING_SLOW=1 plays them all; without it one
// of each kind is played. VIEWRING_LOCK_OPS=10000 has TestLockHistory play 50 clients
// of locks, in under two minutes.
package faults
