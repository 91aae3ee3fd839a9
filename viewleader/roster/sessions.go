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
	return Result{Code: Done, Grants: t.finish(c.Session, c.At, 0)}
}

// expire ends sessions that fell silent. Their clients may not know: whoever is
// next gets their locks after the lock delay. Others are passed over.
func (t *lockTable) expire(c *Command) Result {
	r := Result{Code: Done}
	for _, id := range c.Sessions {
		if s := t.sessions[id]; s != nil {
			r.Ended = append(r.Ended, id)
			r.Grants = append(r.Grants, t.finish(id, c.At, s.Delay)...)
		}
	}
	return r
}

// finish ends a session: it waits for nothing any more, and what it holds is free
// after a delay.
func (t *lockTable) finish(id uint64, at, delay int64) (grants []Grant) {
	uses := slices.Sorted(maps.Keys(t.sessions[id].uses)) // tokens are given out in this order everywhere
	for _, name := range uses {
		l := t.held[name]
		for _, w := range slices.Clone(l.Waiters) {
			if w.Session == id {
				t.leaveLine(name, w.owner)
			}
		}
		for i := range l.Holders {
			h := &l.Holders[i]
			if h.Session != id || h.Lost {
				continue
			}
			t.unhold(name, h)
			h.Lost = true
			if end := at + delay; h.Expires == 0 || end < h.Expires {
				h.Expires = end
			}
			t.timed[name] = true
		}
		t.lapse(name, at)
		grants = append(grants, t.settle(name, at)...)
	}
	delete(t.sessions, id)
	return grants
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
