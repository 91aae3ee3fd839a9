// Package viewleader is the service that tracks epochs, locks and heartbeats:
// the roster under Raft, with its log on disk, and the RESP commands by which
// servers and clients ask it. DESIGN.md says who runs which goroutine and what
// is on disk when.
package viewleader
