// Package history drives a cluster with clients, records what they asked and
// were told, and judges it: linearizability of every key, no acknowledged write
// lost, each append and increment exactly once, and how long any key could not
// be written or read. It knows nothing of how the cluster runs: real processes
// and clusters in one process are judged alike.
package history
