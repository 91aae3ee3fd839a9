// Package bubble runs whole clusters inside the test: the real view leader,
// servers and client library, their stores on disks in memory, a network of
// queues, all on the virtual clock of testing/synctest. A seed decides the
// faults: crashes that lose what was not synced, cut and slow links, pauses,
// joins, leaves, drains, restarts of the view leader. What the clients saw is
// judged as with real processes.
//
// A seed repeats a run nearly, not exactly: goroutines run in parallel. The
// simulation of the pure cores in tests/sim repeats exactly; this tier looks at
// everything around them.
package bubble
