// Package session has the rule by which both sides tell that a session is over: the
// head of the view leaders, which ends it when it was silent for its time to live,
// and its client, which counts from when it sent what was heard, and takes it for
// lost a tenth earlier. Whatever the network does, and with clocks that run evenly to
// a tenth, the client knows first. Pure: time comes from outside.
package session

import (
	"slices"
	"time"
)

// RetryEvery is how often a client tries again, at least, that was not heard.
const RetryEvery = 100 * time.Millisecond

// StoodStill is a gap between two looks of a Watch that tells that its process was
// paused or starved, and heard nobody.
const StoodStill = 500 * time.Millisecond

// Keeper is the client's side of one session. Not safe for concurrent use.
type Keeper struct {
	ttl    time.Duration
	heard  time.Time // when something was sent that was heard
	failed bool
}

// NewKeeper begins with what was sent to open the session.
func NewKeeper(ttl time.Duration, sent time.Time) Keeper { return Keeper{ttl: ttl, heard: sent} }

// Until is when the session is lost, unless something is heard that is sent before.
func (k *Keeper) Until() time.Time { return k.heard.Add(k.ttl - k.ttl/10) }

// Pause is for how long nothing need be sent.
func (k *Keeper) Pause() time.Duration {
	if k.failed {
		return min(RetryEvery, k.ttl/10)
	}
	return k.ttl / 4
}

// Heard notes that what was sent at a time was heard. It is false when that came too
// late.
func (k *Keeper) Heard(sent, now time.Time) bool {
	if !now.Before(k.Until()) {
		return false
	}
	k.heard, k.failed = sent, false
	return true
}

// Failed notes that something may not have been heard.
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
}

// Begin forgets all: at a start, or as the new head. All that are open must be opened
// then, which gives them their full time.
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
	b.heard = now
	return true
}

// Ended forgets a session.
func (w *Watch) Ended(id uint64) { delete(w.open, id) }

// Silent returns, once, the sessions whose time is over: they must be ended. Who did
// not look for long heard nobody, and gives everyone the full time.
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
