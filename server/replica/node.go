package replica

import (
	"maps"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

// Promise is another server's word to help no other primary for a while.
type Promise struct {
	From  ring.ServerID
	Epoch uint64        // the giver's E when it promised
	Until time.Duration // by our clock: 0.8 L after we asked

	// ClockBase is what the giver's wall clock shows at instant 0 of our
	// monotonic clock, unix milliseconds, give or take half of a round trip that
	// is at most clockRoundTripMax; 0 = not measured. MeasuredAt is when.
	ClockBase  int64
	MeasuredAt time.Duration
}

// Node is what a server's lanes have in common: its epoch E and the promises
// that it gave. Not safe for concurrent use: the server guards it by a mutex,
// which makes giving promises, raising E and taking the snapshot of promises
// one critical section each.
type Node struct {
	self        ring.ServerID
	incarnation uint64
	epoch       uint64
	lease       time.Duration
	promised    map[ring.ServerID]time.Duration
}

// NewNode returns the node of a server at one of its starts.
func NewNode(self ring.ServerID, incarnation uint64) *Node {
	return &Node{self: self, incarnation: incarnation, promised: make(map[ring.ServerID]time.Duration)}
}

// Epoch returns E.
func (n *Node) Epoch() uint64 { return n.epoch }

// Raise sets E to a higher epoch and returns a copy of all promises given so
// far, for every lane's Adopt. It returns false and does nothing when E is
// there already. The epoch must be durable before.
func (n *Node) Raise(epoch uint64, lease time.Duration) (map[ring.ServerID]time.Duration, bool) {
	if epoch <= n.epoch {
		return nil, false
	}
	n.epoch, n.lease = epoch, lease
	return maps.Clone(n.promised), true
}

// Ping returns the message that asks a server for a promise.
func (n *Node) Ping(at Instant) *Message {
	return &Message{Type: MsgPing, SentAt: at.Mono, Incarnation: n.incarnation, Epoch: n.epoch}
}

// OnPing promises from to help no other primary for L, and returns the answer.
func (n *Node) OnPing(at Instant, from ring.ServerID, m *Message) *Message {
	invariant.Check(from != n.self, "I8", "a promise to oneself")
	n.promised[from] = max(n.promised[from], at.Mono+n.lease)
	return &Message{Type: MsgPromise, SentAt: m.SentAt, Incarnation: m.Incarnation, Epoch: n.epoch, Granted: n.lease, Wall: at.Wall}
}

// OnPromise turns an answer to a ping into a promise that lanes can count. It
// returns false for an answer to an earlier start of this server.
func (n *Node) OnPromise(at Instant, from ring.ServerID, m *Message) (Promise, bool) {
	if m.Incarnation != n.incarnation {
		return Promise{}, false
	}
	pr := Promise{From: from, Epoch: m.Epoch, Until: m.SentAt + m.Granted*8/10}
	if trip := at.Mono - m.SentAt; trip <= clockRoundTripMax {
		pr.ClockBase, pr.MeasuredAt = m.Wall-(m.SentAt+trip/2).Milliseconds(), at.Mono
	}
	return pr, true
}
