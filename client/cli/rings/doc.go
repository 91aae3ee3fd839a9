// Package rings studies the ring: what moves when a server joins, how even the copies are, what a
// view costs. It asks the code that places a cluster's data, and needs no cluster.
package rings
