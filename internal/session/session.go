// Package session has the rule by which both sides decide that a session is over. The
// head of the view leaders ends a session that was silent for its time to live. Its
// client counts from when it sent the last message that was answered, and takes the
// session for lost a tenth earlier. So whatever the network does, the client knows first
// if the two clocks run at the same rate to within a tenth. The rule is that of Chubby
// (Burrows 2006). Pure: time comes from outside.
package session

import (
	"slices"
	"time"
)

// RetryEvery is the longest pause before a client sends again what was not answered.
const RetryEvery = 100 * time.Millisecond

// StoodStill is a gap between two calls of Watch.Silent from which on the process counts
// as having been paused or starved, and as having heard nobody meanwhile.
const StoodStill = 500 * time.Millisecond

// Keeper is the client's side of one session. Not safe for concurrent use.
type Keeper struct {
	ttl    time.Duration
	heard  time.Time // when the last message that was answered was sent
	failed bool
}

// NewKeeper returns the keeper of a session that was opened by a message sent at sent.
func NewKeeper(ttl time.Duration, sent time.Time) Keeper { return Keeper{ttl: ttl, heard: sent} }

// Until returns when the session is lost, unless a message sent before then is answered.
func (k *Keeper) Until() time.Time { return k.heard.Add(k.ttl - k.ttl/10) }

// Pause returns how long the client may wait before it sends again.
func (k *Keeper) Pause() time.Duration {
	if k.failed {
		return min(RetryEvery, k.ttl/10)
	}
	return k.ttl / 4
}

// Heard notes that a message sent at sent was answered. It returns false if the answer
// came too late.
func (k *Keeper) Heard(sent, now time.Time) bool {
	if !now.Before(k.Until()) {
		return false
	}
	k.heard, k.failed = sent, false
	return true
}

// Failed notes that a message may not have arrived.
func (k *Keeper) Failed() { k.failed = true }

// Watch is the head's side of all sessions: when each was heard. Not safe for
// concurrent use.
type Watch struct {
	looked time.Time
	open   map[uint64]*beat
}

// beat is a session as it was heard.
type beat struct {
	ttl    time.Duration
	heard  time.Time
	ending bool // its end is under way
	said   bool // its client was heard, since Begin
}

// Begin forgets all sessions, at a start or as the new head. The caller then calls Open for
// all that are open, which gives them their full time.
func (w *Watch) Begin(now time.Time) {
	w.looked, w.open = now, make(map[uint64]*beat)
}

// Open begins to watch a session.
func (w *Watch) Open(id uint64, ttl time.Duration, now time.Time) {
	w.open[id] = &beat{ttl: ttl, heard: now}
}

// Keep notes that a session's client lives; false when it is over.
func (w *Watch) Keep(id uint64, now time.Time) bool {
	b := w.open[id]
	if b == nil || b.ending {
		return false
	}
	b.heard, b.said = now, true
	return true
}

// Opened begins to watch a session that its client opens now.
func (w *Watch) Opened(id uint64, ttl time.Duration, now time.Time) {
	w.open[id] = &beat{ttl: ttl, heard: now, said: true}
}

// Unheard returns the sessions whose clients were not heard since Begin: that they live is
// remembered, not known.
func (w *Watch) Unheard() (ids []uint64) {
	for id, b := range w.open {
		if !b.said {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Ended forgets a session.
func (w *Watch) Ended(id uint64) { delete(w.open, id) }

// Silent returns the sessions whose time is over, each once: the caller must end them. If it
// was not called for StoodStill or longer, it gives every session the full time.
func (w *Watch) Silent(now time.Time) (ids []uint64) {
	stood := now.Sub(w.looked) >= StoodStill
	w.looked = now
	for id, b := range w.open {
		if stood {
			b.heard = now
		}
		if !b.ending && now.Sub(b.heard) >= b.ttl {
			b.ending = true
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
