// Package server is the process that stores. It joins the cluster at the view
// leader and drives the replication cores: a few lanes, each an event loop that
// owns a set of partitions and is the only goroutine to step their core. Around
// them: links to the other servers, the view's adoption, promises, the requests
// to the view leader, the mover of learners, and the connections of clients.
//
// A lane never waits for another goroutine, but for its own store and for the
// syncs of its batches; everybody may wait for a lane. That order, and bounds on
// every queue, keep the process from blocking itself.
package server
