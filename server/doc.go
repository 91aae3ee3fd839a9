// Package server is the process that stores. It joins the cluster at the view leader, talks
// with clients, and is put together (assemble) from its parts, each in a package of its own:
// lanes, which drive the replication cores (lane), links to the other servers (link), the view
// and the view leader (membership), what a server does by itself (upkeep), and its memory (budget).
//
// Here run two goroutines for each connection, the listener's, the console's, one that watches
// the store, and one that stops the others (supervise).
//
// A lane waits for nothing except its own store and the syncs of its batches; everybody
// else may wait for a lane. That order, and bounds on every queue, keep the process from
// blocking itself.
package server
