package roster

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Bounds of sessions.
const (
	SessionsMax   = 100_000
	SessionTTLMax = 24 * time.Hour
	LockDelayMax  = time.Hour
)

// session is a client that keeps itself alive. Whether it does is known to the view
// leader's head alone, as with servers; the roster learns only of its end.
type session struct {
	TTL   int64 // ms of silence after which it ends
	Delay int64 // ms for which its locks are kept from others when it ended so

	uses map[string]int // the locks that it holds or waits for
}

// SessionState is a session that is open.
type SessionState struct {
	ID  uint64
	TTL time.Duration // of silence after which it ends
}

// Sessions returns the open sessions, sorted by id.
func (s *State) Sessions() []SessionState {
	out := make([]SessionState, 0, len(s.locks.sessions))
	for _, id := range slices.Sorted(maps.Keys(s.locks.sessions)) {
		out = append(out, SessionState{id, time.Duration(s.locks.sessions[id].TTL) * time.Millisecond})
	}
	return out
}

// LockCounts are how many locks, waiters and sessions there are.
type LockCounts struct{ Held, Waiting, Sessions int }

// LockCounts counts, and walks nothing.
func (s *State) LockCounts() LockCounts {
	return LockCounts{len(s.locks.held), s.locks.waiters, len(s.locks.sessions)}
}

// SessionOpen reports whether a session is open. One that is not never is again.
func (s *State) SessionOpen(id uint64) bool { return s.locks.sessions[id] != nil }

func noSession(id uint64) Result {
	return Result{Code: NoSession, Reason: fmt.Sprintf("session %d is not open", id)}
}

// open begins a session.
func (t *lockTable) open(c *Command) Result {
	switch {
	case c.TTL < 1 || c.TTL > SessionTTLMax.Milliseconds():
		return refused(fmt.Errorf("a session of %d ms: want 1 ms to %v", c.TTL, SessionTTLMax))
	case c.Delay < 0 || c.Delay > LockDelayMax.Milliseconds():
		return refused(fmt.Errorf("a lock delay of %d ms: want 0 to %v", c.Delay, LockDelayMax))
	case len(t.sessions) >= SessionsMax:
		return refused(fmt.Errorf("%d sessions are open, the limit", SessionsMax))
	}
	t.session++
	t.sessions[t.session] = newSession(c.TTL, c.Delay)
	return Result{Code: Done, Session: t.session}
}

func newSession(ttl, delay int64) *session {
	return &session{TTL: ttl, Delay: delay, uses: make(map[string]int)}
}

// end closes a session by its client's word: its locks are free at once.
func (t *lockTable) end(c *Command) Result {
	if t.sessions[c.Session] == nil {
		return noSession(c.Session)
	}
	return Result{Code: Done, Grants: t.finish(c.At, false, c.Session)}
}

// expire ends sessions that fell silent. Their clients may not know: whoever is
// next gets their locks after the lock delay. Others are passed over.
func (t *lockTable) expire(c *Command) Result {
	r := Result{Code: Done}
	for _, id := range c.Sessions {
		if t.sessions[id] != nil {
			r.Ended = append(r.Ended, id)
		}
	}
	slices.Sort(r.Ended)
	r.Ended = slices.Compact(r.Ended)
	r.Grants = t.finish(c.At, true, r.Ended...)
	return r
}

// finish ends sessions: they wait for nothing any more, and what they hold is free,
// after their delays if it is delayed. First all of them leave their queues: nothing
// goes to one that ends in the same moment.
func (t *lockTable) finish(at int64, delayed bool, ids ...uint64) (grants []Grant) {
	var names []string
	ending := make(map[uint64]bool, len(ids))
	for _, id := range ids {
		ending[id] = true
		for name := range t.sessions[id].uses {
			names = append(names, name)
		}
	}
	slices.Sort(names) // tokens are given out in this order everywhere
	names = slices.Compact(names)
	for _, name := range names {
		l := t.held[name]
		for _, w := range slices.Clone(l.Waiters) {
			if ending[w.Session] {
				t.leaveQueue(name, w.owner)
			}
		}
		for i := range l.Holders {
			if h := &l.Holders[i]; !h.Lost && ending[h.Session] {
				t.lose(name, h, at, delayed)
			}
		}
	}
	for _, name := range names {
		t.lapse(name, at)
		grants = append(grants, t.grantNext(name, at)...)
	}
	for _, id := range ids {
		delete(t.sessions, id)
	}
	return grants
}

// lose leaves a lock with a holder whose session has ended for as long as others must
// not have it.
func (t *lockTable) lose(name string, h *holder, at int64, delayed bool) {
	end := at
	if delayed {
		end += t.sessions[h.Session].Delay
	}
	t.unhold(name, h)
	h.Lost = true
	if h.Expires == 0 || end < h.Expires {
		h.Expires = end
	}
	t.timed[name] = true
}

// use counts what a session holds and waits for.
func (t *lockTable) use(id uint64, name string, n int) {
	s := t.sessions[id]
	if s == nil {
		return
	}
	if s.uses[name] += n; s.uses[name] == 0 {
		delete(s.uses, name)
	}
}
