package viewleader

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

// claimGrace is how long a grant waits for a client whose connection broke, and
// a place in a queue after a start, before they go to the next.
const claimGrace = 5 * time.Second

// lockQueues knows which connections wait for locks. The order of waiters is in the
// roster; here is only whom to tell, in memory.
type lockQueues struct {
	s       *Service
	started time.Time
	swept   bool // the Raft loop's

	mu struct {
		sync.Mutex
		waiting map[waiterKey][]*lockWaiter
		untold  map[waiterKey]*granting // grants of which no answer was delivered yet
		orphans map[waiterKey]orphan
		asking  map[waiterKey]int // questions whose answers the Raft loop does not know yet
		left    []waiterKey       // clients whose last connection broke; for the Raft loop's next tick
	}
}

// waiterKey is a place in a queue: of a client, by itself or in a session.
type waiterKey struct {
	lock, client string
	session      uint64
}

// lockWaiter is one VL.LOCKGET that waits. One client may have several.
type lockWaiter struct {
	key   waiterKey
	reply *reply
	until time.Time // zero: for ever
	grant *granting // once it has the lock
}

// granting follows a grant until one connection of the client has been told of it. Each
// connection that asks before that is told too.
type granting struct {
	token     uint64
	told      int // answers that are still under way
	delivered bool
}

// orphan is a grant that its client may not know of.
type orphan struct {
	token uint64
	at    time.Time
}

func (l *lockQueues) init(s *Service) {
	l.s = s
	l.mu.asking = make(map[waiterKey]int)
	l.begin(s.opts.Now())
}

// begin starts anew, at a start or as the new head: whoever waits asks again. The
// Raft loop calls it.
func (l *lockQueues) begin(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started, l.swept = now, false
	l.mu.waiting = make(map[waiterKey][]*lockWaiter)
	l.mu.untold = make(map[waiterKey]*granting)
	l.mu.orphans = make(map[waiterKey]orphan)
	l.mu.left = nil
}

// dismiss answers everyone with what elsewhere says. The Raft loop calls it.
func (l *lockQueues) dismiss(elsewhere func(*reply)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ws := range l.mu.waiting {
		for _, w := range ws {
			elsewhere(w.reply)
		}
	}
	l.mu.waiting = make(map[waiterKey][]*lockWaiter)
}

// get asks for a lock on behalf of r, which is answered when the lock is
// granted, refused, or the wait is over. A negative wait has no end.
func (l *lockQueues) get(r *reply, q *wire.LockAsk) {
	key, wait := waiterKey{q.Lock, q.Client, q.Session}, q.Wait
	l.s.sessions.keep(q.Session)
	cmd := roster.Command{Kind: roster.KindLockGet, Lock: q.Lock, Client: q.Client, Session: q.Session,
		Shared: q.Shared, WaitInDeadlock: q.WaitInDeadlock, Wait: wait != 0, TTL: q.TTL.Milliseconds()}
	l.mu.Lock()
	l.mu.asking[key]++
	l.mu.Unlock()
	l.s.submit(proposal{cmd: cmd, done: func(res roster.Result, err error) {
		defer l.told(key)
		if err != nil {
			failed(r, err)
			return
		}
		switch res.Code {
		case roster.Done:
			l.got(r, key, res)
		case roster.Waiting:
			w := &lockWaiter{key: key, reply: r}
			if wait > 0 {
				w.until = l.s.opts.Now().Add(wait)
			}
			l.join(w)
		default:
			refuse(r, res)
		}
	}})
}

// told notes that the outcome of a question is known.
func (l *lockQueues) told(key waiterKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.asking[key]--; l.mu.asking[key] == 0 {
		delete(l.mu.asking, key)
	}
}

// got answers with a lock that was free, or held by the client already.
func (l *lockQueues) got(r *reply, key waiterKey, res roster.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.orphans, key)
	defer r.finish(grantReply(res.Token, res.Since))
	g := l.mu.untold[key]
	switch {
	case !res.Held:
		g = &granting{token: res.Token}
		l.mu.untold[key] = g
	case g == nil || g.token != res.Token:
		return // the client was told before
	}
	g.told++
	told := func(delivered bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.answered(key, g, delivered)
	}
	if !r.onEnd(told) {
		l.answered(key, g, false)
	}
}

// answered notes that an answer about a grant was delivered, or will never be. The
// caller holds mu.
func (l *lockQueues) answered(key waiterKey, g *granting, delivered bool) {
	g.told--
	g.delivered = g.delivered || delivered
	switch {
	case g.delivered:
		l.forget(key, g.token)
	case g.told == 0 && l.mu.untold[key] == g:
		l.mu.orphans[key] = orphan{g.token, l.s.opts.Now()}
	}
}

// forget stops following a grant. The caller holds mu.
func (l *lockQueues) forget(key waiterKey, token uint64) {
	if g := l.mu.untold[key]; g != nil && g.token == token {
		delete(l.mu.untold, key)
	}
}

func grantReply(token uint64, since int64) func(*wire.Writer) {
	return func(w *wire.Writer) {
		w.WriteArray(2)
		w.WriteInt(int64(token))
		w.WriteInt(since)
	}
}

func (l *lockQueues) join(w *lockWaiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.waiting[w.key] = append(l.mu.waiting[w.key], w)
	if !w.reply.onEnd(func(delivered bool) { l.ended(w, delivered) }) {
		l.leave(w)
	}
}

// ended follows a waiter whose answer was delivered, or whose connection broke.
func (l *lockQueues) ended(w *lockWaiter, delivered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.grant == nil {
		l.leave(w)
		return
	}
	l.answered(w.key, w.grant, delivered)
}

// leave takes a waiter away, and the client out of its queue with its last one. The
// caller holds mu.
func (l *lockQueues) leave(w *lockWaiter) {
	if l.drop(w) && len(l.mu.waiting[w.key]) == 0 {
		l.mu.left = append(l.mu.left, w.key)
	}
}

func dequeue(key waiterKey) roster.Command {
	return roster.Command{Kind: roster.KindLockDequeue, Lock: key.lock, Client: key.client, Session: key.session}
}

// drop takes w out of waiting; false when it was not there.
func (l *lockQueues) drop(w *lockWaiter) bool {
	ws := l.mu.waiting[w.key]
	for i := range ws {
		if ws[i] == w {
			ws = append(ws[:i:i], ws[i+1:]...)
			if len(ws) == 0 {
				delete(l.mu.waiting, w.key)
			} else {
				l.mu.waiting[w.key] = ws
			}
			return true
		}
	}
	return false
}

// granted tells whoever waits for it of a grant. The Raft loop calls it.
func (l *lockQueues) granted(g roster.Grant) {
	key := waiterKey{g.Lock, g.Client, g.Session}
	l.mu.Lock()
	defer l.mu.Unlock()
	ws := l.mu.waiting[key]
	delete(l.mu.waiting, key)
	grant := &granting{token: g.Token, told: len(ws)}
	l.mu.untold[key] = grant
	if len(ws) == 0 {
		l.mu.orphans[key] = orphan{g.Token, l.s.opts.Now()}
		return
	}
	for _, w := range ws {
		w.grant = grant
		w.reply.finish(grantReply(g.Token, g.Since))
	}
}

// tick ends waits whose time is over and frees what nobody claimed. The Raft
// loop calls it.
func (l *lockQueues) tick(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var later []roster.Command
	// A client that asks again just now gets its place, or its lock, by a command that is
	// before these in the log: they would take it away unasked.
	left := l.mu.left
	l.mu.left = nil
	for _, key := range left {
		switch {
		case l.mu.asking[key] > 0:
			l.mu.left = append(l.mu.left, key)
		case len(l.mu.waiting[key]) == 0: // otherwise it came back, to its old place
			later = append(later, dequeue(key))
		}
	}
	for key, o := range l.mu.orphans {
		if now.Sub(o.at) >= claimGrace && l.mu.asking[key] == 0 {
			delete(l.mu.orphans, key)
			l.forget(key, o.token)
			later = append(later, roster.Command{Kind: roster.KindLockFree, Lock: key.lock, Client: key.client, Session: key.session, Token: o.token})
		}
	}
	if !l.swept && now.Sub(l.started) >= claimGrace {
		l.swept = true
		later = append(later, l.absent()...)
	}
	for _, cmd := range later {
		l.s.group.enqueue(proposal{cmd: cmd, done: func(roster.Result, error) {}})
	}
	for _, ws := range l.mu.waiting {
		for _, w := range ws {
			if !w.until.IsZero() && !now.Before(w.until) {
				w.until = time.Time{}
				l.giveUp(w)
			}
		}
	}
}

// sessionsEnded tells those who wait in a session that it has ended. The Raft loop
// calls it.
func (l *lockQueues) sessionsEnded(ids ...uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, ws := range l.mu.waiting {
		if key.session == 0 || !slices.Contains(ids, key.session) {
			continue
		}
		delete(l.mu.waiting, key)
		for _, w := range ws {
			w.reply.fail(wire.CodeNoSession, fmt.Sprintf("session %d has ended", key.session))
		}
	}
}

// giveUp takes a waiter out of its queue and tells it so, unless the lock comes
// first. The caller holds mu and is the Raft loop.
func (l *lockQueues) giveUp(w *lockWaiter) {
	alone := len(l.mu.waiting[w.key]) == 1 && l.mu.asking[w.key] == 0
	over := func(roster.Result, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.drop(w) {
			if !alone && len(l.mu.waiting[w.key]) == 0 {
				l.mu.left = append(l.mu.left, w.key) // the others have gone meanwhile
			}
			w.reply.fail(wire.CodeLocked, fmt.Sprintf("%q is still held by another client", w.key.lock))
		}
	}
	if alone {
		l.s.group.enqueue(proposal{cmd: dequeue(w.key), done: over})
		return
	}
	// Other connections of this client still wait: only this wait ends, at the next entry.
	l.s.group.enqueue(proposal{cmd: roster.Command{Kind: roster.KindLockTick}, done: over})
}

// absent lists the places in queues that nobody came back for since the start.
// The caller holds mu and is the Raft loop.
func (l *lockQueues) absent() (cmds []roster.Command) {
	for _, lock := range l.s.group.state.Locks() {
		for _, w := range lock.Waiters {
			key := waiterKey{lock.Name, w.Client, w.Session}
			switch {
			case l.mu.asking[key] > 0:
				l.mu.left = append(l.mu.left, key)
			case len(l.mu.waiting[key]) == 0:
				cmds = append(cmds, dequeue(key))
			}
		}
	}
	return cmds
}
