// Package sim runs whole clusters of the pure cores in one thread and virtual
// time: real replica cores, a real roster, and a network, disks, clocks and
// clients that misbehave as a seed says. The same seed gives the same run.
// Invariants are checked at every step, and what the clients saw is checked to
// be linearizable.
package sim
