// Package lane is where requests become effects: a few event loops, each of which owns a
// set of partitions and is the only one to step their replication core. It owns the cores,
// the queue before each (inbox), the items kept in memory (itemCache), and the batches on
// their way to the disk.
//
// Two goroutines run for each lane: run, the loop, and runCommits, which waits for the
// syncs of its batches. Clients' goroutines read in a lane's turn between two rounds
// (ReadNow). Which of them a field belongs to stands beside it (Lane).
//
// A lane waits for nothing except its own store and the syncs of its batches; everybody
// else may wait for a lane (Put). So what a lane calls (Outward) must not
// wait for a lane.
package lane
