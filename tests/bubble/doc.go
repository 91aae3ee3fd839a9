// Package bubble runs whole clusters inside the test: the real view leader,
// servers and client library, their stores on disks in memory, a network of
// queues, all on the virtual clock of testing/synctest. A seed decides the
// faults: crashes that lose what was not synced, syncs that take long, cut and slow
// links, pauses, joins, leaves, drains, restarts of view leaders, alone or in a group.
// What the clients saw is judged as with real processes; and now and then what a process
// has said of its disk is held against what a power cut would leave of that.
//
// A seed repeats a run nearly, not exactly: goroutines run in parallel. The
// simulation of the pure cores in tests/sim repeats exactly; this tier looks at
// everything around them.
package bubble
