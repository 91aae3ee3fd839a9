package lane

import (
	"sync"
	"time"

	"viewring/ring"
	"viewring/server/replica"
)

// eventKind says what an event is, and which of its fields are used.
type eventKind uint8

const (
	onMessage   eventKind = iota + 1 // from, msg
	onPeerDone                       // from, n
	onPromise                        // promise
	onCall                           // call
	onLook                           // call: its look, at the core as it is
	onSynced                         // n: the batch's number
	onView                           // adoption
	onLearn                          // from: the source; partition
	onConfirmed                      // n: the token; ok
	onFull                           // ok: the disk nearly is
	onExpired                        // found
	onCorrupt                        // found; without keys, a range
	onWatch                          // watch
	onResume                         // partition, n: the watch's token
	onUnwatch                        // the same
	onFeed                           // ok: it begins
)

// Event is one thing that a lane has to react to. Its maker gives away what it points to.
type Event struct {
	kind      eventKind
	ok        bool
	from      ring.ServerID
	partition ring.PartitionID
	n         uint64
	msg       *replica.Message
	call      Call
	promise   *replica.Promise
	adoption  *adoption
	found     *found
	watch     *watch
}

// found are keys of a partition that its core should look at.
type found struct {
	partition ring.PartitionID
	keys      []replica.Key
}

// Asked is a client's read or write. A caller with many hands them over at once (Put).
func Asked(c Call) Event { return Event{kind: onCall, call: c} }

// Looked is a call that its Look may answer.
func Looked(c Call) Event { return Event{kind: onLook, call: c} }

// Only is the Look that does something, and nothing else.
func Only(do func(*replica.Core)) func(*replica.Core) (replica.Answer, bool) {
	return func(core *replica.Core) (replica.Answer, bool) {
		do(core)
		return replica.Answer{Status: replica.StatusOK}, true
	}
}

// Message is what another server's core says to this one's.
func Message(from ring.ServerID, m *replica.Message) Event {
	return Event{kind: onMessage, from: from, msg: m}
}

// Message returns what another server's core said, nil where the event is something else.
func (e *Event) Message() *replica.Message { return e.msg }

// PeerDone says that another server serves no term below done.
func PeerDone(from ring.ServerID, done uint64) Event {
	return Event{kind: onPeerDone, from: from, n: done}
}

// Promised is another server's promise, for all lanes.
func Promised(p *replica.Promise) Event { return Event{kind: onPromise, promise: p} }

// isBulk reports whether the event is a page of a copy, or asks for one: each takes milliseconds. Many come together, and
// clients, acknowledgements and new terms must not wait for all of them. That they come later than what was sent after them
// is no more than what the network may do with messages.
func (e *Event) isBulk() bool {
	return e.kind == onMessage && (e.msg.Type == replica.MsgPage || e.msg.Type == replica.MsgFetch)
}

// IsRead reports whether the event is a client's read.
func (e *Event) IsRead() bool {
	if e.kind != onCall {
		return false
	}
	_, isRead := e.call.ToRead()
	return isRead
}

// adoption is a view on its way to the lanes.
type adoption struct {
	view     *ring.View
	table    *ring.Table
	promised map[ring.ServerID]time.Duration
}

// inbox is a lane's queue: many put, the lane takes all at once.
type inbox struct {
	wake chan struct{} // capacity 1: events may be waiting

	mu struct {
		sync.Mutex
		events []Event
		closed bool
	}
	room sync.Cond // events were taken, or the inbox closed; its locker is mu
}

func newInbox() *inbox {
	b := &inbox{wake: make(chan struct{}, 1)}
	b.room.L = &b.mu
	return b
}

// put adds events in order, waiting while the inbox is full. Nothing that a lane
// may wait for calls it.
func (b *inbox) put(events ...Event) {
	b.mu.Lock()
	for len(b.mu.events) >= eventsMax && !b.mu.closed {
		b.room.Wait()
	}
	b.mu.events = append(b.mu.events, events...)
	b.mu.Unlock()
	b.notify()
}

// force adds an event even to a full inbox: of kinds whose number is bounded
// elsewhere, and which a lane needs to go on.
func (b *inbox) force(e Event) {
	b.mu.Lock()
	b.mu.events = append(b.mu.events, e)
	b.mu.Unlock()
	b.notify()
}

func (b *inbox) notify() {
	select {
	case b.wake <- struct{}{}:
	default: // told already
	}
}

// take returns all events, and keeps spare for the next ones.
func (b *inbox) take(spare []Event) []Event {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.mu.events
	b.mu.events = spare[:0]
	if len(taken) >= eventsMax {
		b.room.Broadcast()
	}
	return taken
}

// close lets everyone go who waits for room; what is put later is never taken.
func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.closed = true
	b.room.Broadcast()
}
