package sim

import (
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/tests/history"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// lockShadow follows the commands on locks and what they came to, with a mind of its
// own of what may come of them.
type lockShadow struct {
	w        *world
	locks    map[string]*shadowLock
	sessions map[uint64]roster.Command  // that opened them
	token    uint64                     // the highest
	untold   map[uint64]*history.LockOp // grants that no client was told of yet, by token
	given    map[uint64]time.Duration   // when each token was given out
}

type shadowLock struct {
	shared  bool
	holders []shadowHolder
	queue   []shadowWaiter
}

type shadowHolder struct {
	place lockPlace
	token uint64
	ends  int64 // unix ms; 0: by its holder's word
	lost  bool  // its session has ended
}

type shadowWaiter struct {
	place  lockPlace
	shared bool
	ttl    int64
}

func (s *lockShadow) lock(name string) *shadowLock {
	l := s.locks[name]
	if l == nil {
		l = &shadowLock{}
		s.locks[name] = l
	}
	return l
}

// apply follows a command that was carried out.
func (s *lockShadow) apply(c *roster.Command, r *roster.Result) {
	place := lockPlace{c.Lock, c.Client, c.Session}
	for name, l := range s.locks {
		if c.Kind == roster.KindLockTick || c.Kind == roster.KindLockGet && name == c.Lock && r.Code != roster.NoSession {
			s.lapse(l, c.At)
		}
	}
	switch {
	case c.Kind == roster.KindSessionOpen && r.Code == roster.Done:
		s.sessions[r.Session] = *c
	case c.Kind == roster.KindSessionEnd && r.Code == roster.Done:
		s.end(c.Session, c.At, 0)
	case c.Kind == roster.KindSessionExpire:
		for _, id := range r.Ended {
			s.end(id, c.At, s.sessions[id].Delay)
		}
	case c.Kind == roster.KindLockFree && r.Code == roster.Done:
		l := s.lock(c.Lock)
		s.drop(l, func(h *shadowHolder) bool { return h.place == place && !h.lost })
	case c.Kind == roster.KindLockDequeue:
		s.leave(place)
	}
	for _, g := range r.Grants {
		s.granted(lockPlace{g.Lock, g.Client, g.Session}, g.Token, c.At)
	}
	if c.Kind == roster.KindLockGet {
		s.get(c, r, place)
	}
}

// get follows a question for a lock.
func (s *lockShadow) get(c *roster.Command, r *roster.Result, place lockPlace) {
	l := s.lock(c.Lock)
	w := shadowWaiter{place, c.Shared, c.TTL}
	waits := slices.IndexFunc(l.queue, func(o shadowWaiter) bool { return o.place == place })
	switch r.Code {
	case roster.Waiting:
		if waits >= 0 {
			was := &l.queue[waits]
			invariant.Check(was.shared == c.Shared, "locks", "%+v waits as shared %v, and asks for the other", place, was.shared)
			if was.ttl != 0 && (c.TTL == 0 || c.TTL > was.ttl) {
				was.ttl = c.TTL
			}
			return
		}
		l.queue = append(l.queue, w)
		cycle := s.waitsForItself(c.Lock, w)
		invariant.Check(cycle == (r.Cycle != nil), "locks", "%+v waits for itself: %v, told: %v", place, cycle, r.Cycle)
		if cycle {
			s.w.count("lock deadlock joined")
		}
	case roster.Deadlock:
		l.queue = append(l.queue, w)
		invariant.Check(s.waitsForItself(c.Lock, w), "locks", "%+v does not wait for itself, and is told %v", place, r.Cycle)
		l.queue = l.queue[:len(l.queue)-1]
	case roster.Done:
		if !r.Held {
			invariant.Check(len(l.queue) == 0, "locks", "%+v is granted though %d wait, %+v first", place, len(l.queue), l.queue)
			l.queue = append(l.queue, w)
			s.granted(place, r.Token, c.At)
			return
		}
		for i := range l.holders {
			if h := &l.holders[i]; h.place == place && !h.lost && c.TTL > 0 && h.ends != 0 {
				h.ends = max(h.ends, c.At+c.TTL)
			}
		}
	}
}

// granted follows a grant: to the first in line, of what nobody has any more, with a
// token that is higher than all.
func (s *lockShadow) granted(place lockPlace, token uint64, at int64) {
	l := s.lock(place.lock)
	invariant.Check(len(l.queue) > 0 && l.queue[0].place == place, "locks", "%+v is granted and not the first in line: %+v", place, l.queue)
	invariant.Check(token > s.token, "locks", "%+v is granted with token %d, %d was given out", place, token, s.token)
	w := l.queue[0]
	l.queue = l.queue[1:]
	if len(l.holders) > 0 {
		invariant.Check(l.shared && w.shared, "locks", "%+v is granted though %+v holds it at %d", place, l.holders[0], at)
		s.w.count("lock readers together")
	}
	h := shadowHolder{place: place, token: token}
	if w.ttl > 0 {
		h.ends = at + w.ttl
	}
	l.shared, s.token = w.shared, token
	s.untold[token] = &history.LockOp{Lock: place.lock, Owner: place.owner(), Shared: w.shared, Unknown: true, Call: s.w.now}
	s.given[token] = s.w.now
	l.holders = append(l.holders, h)
	if place.lock == lockName {
		s.w.locks.granted = token
	}
}

// end follows the end of a session: its locks are kept from others for a while.
func (s *lockShadow) end(id uint64, at, delay int64) {
	delete(s.sessions, id)
	for _, l := range s.locks {
		before := len(l.queue)
		l.queue = slices.DeleteFunc(l.queue, func(w shadowWaiter) bool { return w.place.session == id })
		used := len(l.queue) < before
		for i := range l.holders {
			if h := &l.holders[i]; h.place.session == id && !h.lost {
				if used, h.lost = true, true; h.ends == 0 || at+delay < h.ends {
					h.ends = at + delay
				}
			}
		}
		if used {
			s.lapse(l, at)
		}
	}
}

// lapse forgets the holders whose time is over; nobody looks before a command does.
func (s *lockShadow) lapse(l *shadowLock, at int64) {
	s.drop(l, func(h *shadowHolder) bool { return h.ends != 0 && h.ends <= at })
}

func (s *lockShadow) drop(l *shadowLock, which func(*shadowHolder) bool) {
	l.holders = slices.DeleteFunc(l.holders, func(h shadowHolder) bool {
		if !which(&h) {
			return false
		}
		if op := s.untold[h.token]; op != nil {
			op.Return = s.w.now
		}
		return true
	})
}

func (s *lockShadow) leave(place lockPlace) {
	l := s.lock(place.lock)
	l.queue = slices.DeleteFunc(l.queue, func(w shadowWaiter) bool { return w.place == place })
}

// compare is that no grant is lost, and none comes from nowhere.
func (s *lockShadow) compare(state *roster.State, at int64) {
	held := make(map[string]vocab.Lock)
	for _, l := range state.Locks() {
		held[l.Name] = l
		for _, h := range l.Holders {
			place := lockPlace{l.Name, h.Client, h.Session}
			invariant.Check(slices.ContainsFunc(s.lock(l.Name).holders, func(o shadowHolder) bool { return o.place == place && o.token == h.Token }),
				"locks", "%+v holds it with token %d, and was not granted it", place, h.Token)
		}
	}
	for name, l := range s.locks {
		for _, h := range l.holders {
			invariant.Check(h.ends != 0 && h.ends <= at || slices.ContainsFunc(held[name].Holders, func(o vocab.LockHolder) bool { return o.Token == h.token }),
				"locks", "%+v has lost its grant of token %d", h.place, h.token)
		}
		invariant.Check(len(held[name].Waiters) == len(l.queue), "locks", "%q: %d wait, it should be %d", name, len(held[name].Waiters), len(l.queue))
	}
}

// waitsForItself looks whether the last in a queue waits for itself, however far away.
func (s *lockShadow) waitsForItself(lock string, me shadowWaiter) bool {
	type owner struct {
		client  string
		session uint64
	}
	who := func(p lockPlace) owner { return owner{p.client, p.session} }
	seen := make(map[owner]bool)
	var reaches func(lock string, w shadowWaiter) bool
	visit := func(p lockPlace) bool {
		if who(p) == who(me.place) {
			return true
		}
		if seen[who(p)] {
			return false
		}
		seen[who(p)] = true
		for name, l := range s.locks {
			for _, w := range l.queue {
				if who(w.place) == who(p) && reaches(name, w) {
					return true
				}
			}
		}
		return false
	}
	reaches = func(lock string, w shadowWaiter) bool {
		l := s.locks[lock]
		for _, h := range l.holders {
			if !h.lost && !(w.shared && l.shared) && visit(h.place) {
				return true
			}
		}
		for _, o := range l.queue {
			if o.place == w.place {
				return false
			}
			if !(w.shared && o.shared) && visit(o.place) {
				return true
			}
		}
		return false
	}
	return reaches(lock, me)
}

// checkBelief is what locks are for: when one is granted nobody else takes itself for
// its holder, by its own clock, unless they share it.
func (h *lockHead) checkBelief(place lockPlace, token uint64) {
	if token <= h.before {
		return // the answer comes from a view leader that has lost it since: its fence is refused
	}
	shared := h.shadow.lock(place.lock).shared
	for _, l := range h.lockers {
		for _, o := range l.held {
			if o.place.lock != place.lock || o.place == place || o.shared && shared || o.token <= h.before || !l.believes(o) {
				continue
			}
			w := h.w
			w.violated("locks", "%+v has token %d, and %+v with %d takes itself for the holder for %v yet", place, token, o.place, o.token,
				max(l.keeper.Until().Sub(l.now()), time.Duration(0)))
		}
	}
}

// checkWaiting is that who waits for an answer is in line for it.
func (h *lockHead) checkWaiting() {
	for _, p := range h.places() {
		in := slices.ContainsFunc(h.shadow.lock(p.lock).queue, func(w shadowWaiter) bool { return w.place == p })
		invariant.Check(in, "locks", "%+v waits and is not in line", p)
	}
}

func lockCommandName(k roster.Kind) string {
	return map[roster.Kind]string{roster.KindLockGet: "get", roster.KindLockFree: "free", roster.KindLockDequeue: "dequeue", roster.KindLockTick: "tick",
		roster.KindSessionOpen: "session open", roster.KindSessionEnd: "session end", roster.KindSessionExpire: "session expire"}[k]
}

func lockCodeName(c roster.Code) string {
	return map[roster.Code]string{roster.Done: "done", roster.Refused: "refused", roster.Waiting: "waiting", roster.Locked: "locked",
		roster.NotHeld: "not held", roster.Deadlock: "deadlock", roster.NoSession: "no session"}[c]
}
