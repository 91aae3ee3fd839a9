package vocab

import (
	"time"

	"viewring/ring"
)

// The kinds of events: what happens to a cluster, its servers and its locks. Detail says
// more where noted.
const (
	EventMade         = "made"          // the cluster has its first server
	EventJoined       = "joined"        // Detail: its address
	EventUp           = "up"            // Detail: address; whether as the same process, with or without its data
	EventDown         = "down"          // declared down
	EventOut          = "out"           // others take over its copies
	EventLeaving      = "leaving"       // an operator's word
	EventLeft         = "left"          // nothing is on it any more
	EventDraining     = "draining"      // an operator's word: a planned restart
	EventUndrained    = "undrained"     // an operator's word: it is to serve again, without a restart
	EventRemoved      = "removed"       // an operator's word: it never returns
	EventRestored     = "restored"      // Detail: the partitions that it brings back
	EventLost         = "lost"          // Detail: the partitions that it was the last to hold; it came back without its data
	EventAcceptedLoss = "accepted-loss" // Detail: partitions that an operator gave up; Server begins them anew
	EventPlaced       = "placed"        // Detail: the server's new weight or zone, and what it was
	EventConfigured   = "configured"    // Detail: what holds from now on
	EventGranted      = "granted"       // Detail: the lock, whose it is, its token
	EventDeadlock     = "deadlock"      // Detail: who waits for whom; whether the last one was refused
	EventSessionLost  = "session-lost"  // Detail: a session that fell silent
	EventRecovered    = "recovered"     // Detail: from which view; who was not waited for

	// Of the group of view leaders. They are not kept with the others: each view leader tells what it
	// has seen, and their Number is 0.
	EventHead         = "head"          // Detail: the view leader that is the head from now on
	EventNoHead       = "no-head"       // Detail: the head before, which is silent, or has stepped down
	EventLeaderJoined = "leader-joined" // Detail: the view leader
	EventLeaderLeft   = "leader-left"   // Detail: the view leader
)

// Event is something that happened to the cluster.
type Event struct {
	Number uint64 // counts from 1, over all events there ever were
	Epoch  uint64 // of the view that shows it
	At     time.Time
	Kind   string        // made, joined, up, down, out, leaving, left, draining, undrained, removed, restored, lost, accepted-loss, placed, configured, recovered; of locks: granted, deadlock, session-lost
	Server ring.ServerID // whom it concerns; 0: nobody in particular
	Detail string
}
