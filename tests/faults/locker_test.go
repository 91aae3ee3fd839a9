package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"viewring/client"
	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/tests/history"
)

// Sessions of lockers are lost within seconds.
const (
	lockerTTL   = 5 * time.Second
	lockerDelay = 500 * time.Millisecond
	lockTTL     = 150 * time.Millisecond
)

// way is a client's way to the view leaders, which can be cut. It leads past the
// network of the view leaders, which takes its time to find out who calls.
type way struct {
	direct map[string]string // where they listen, by where they are reached

	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (w *way) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if at := w.direct[addr]; at != "" {
		addr = at
	}
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil:
		return nil, err
	case w.cut:
		return nil, errors.Join(errors.New("cut off"), c.Close())
	}
	w.conns = append(w.conns, c)
	return c, nil
}

func (w *way) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut = cut; !cut {
		return
	}
	for _, c := range w.conns {
		_ = c.Close() // it may be closed
	}
	w.conns = nil
}

// locker is a client of locks, over and over in a session of its own.
type locker struct {
	*lockRun
	t    *testing.T
	c    *client.Client
	way  *way
	name string
	r    *rand.Rand
	n    int
	s    *client.Session
}

func (l *locker) run() {
	ctx := l.t.Context()
	for l.goesOn() {
		s, err := l.c.OpenSession(ctx, client.SessionOptions{TTL: lockerTTL, LockDelay: lockerDelay})
		if err != nil {
			l.failed.Add(1)
			continue
		}
		l.s = s
		for range 20 {
			if !l.goesOn() || !l.turn() {
				break
			}
			wait.For(ctx, time.Duration(l.r.IntN(int(l.think))))
		}
		if err := s.Close(ctx); err != nil {
			l.failed.Add(1)
		}
		l.way.set(false)
	}
}

// turn takes a lock and gives it back, by name or with its session; false when the
// session is over. The owner's name is used once, so that a grant whose answer was lost is
// nobody else's.
func (l *locker) turn() bool {
	ctx := l.t.Context()
	l.n++
	op := history.LockOp{Lock: fmt.Sprint("lock ", l.r.IntN(l.locks)), Owner: fmt.Sprintf("%s.%d", l.name, l.n),
		Shared: l.r.IntN(3) == 0, Call: l.now()}
	o := client.LockOptions{Wait: []time.Duration{-1, -1, -1, 0, 100 * time.Millisecond}[l.r.IntN(5)], Shared: op.Shared}
	if l.r.IntN(12) == 0 {
		o.TTL = lockTTL
	}
	if l.r.IntN(30) == 0 {
		l.releaseNothing(op)
	}
	g, err := l.s.LockGet(ctx, op.Lock, op.Owner, o)
	op.Return, op.Token, op.Refused = l.now(), g.Token, errors.Is(err, client.ErrLocked)
	if err != nil && !op.Refused {
		l.inDoubt(op, err)
		return false
	}
	l.history.Add(op)
	if op.Return-op.Call > lockTTL { // an earlier try may have been granted, and be over
		earlier := op
		earlier.Token, earlier.Refused, earlier.Unknown = 0, false, true
		l.history.Add(earlier)
	}
	if op.Refused {
		return true
	}
	if o.TTL > 0 {
		l.lost(op, op.Call+lockTTL, 0)
	}
	return l.hold(op, o)
}

// hold has the lock for a while.
func (l *locker) hold(op history.LockOp, o client.LockOptions) bool {
	ctx := l.t.Context()
	wait.For(ctx, time.Duration(l.r.IntN(4))*time.Millisecond)
	switch draw := l.r.IntN(120); {
	case draw == 0: // cut off: others wait for its session's end and the lock delay
		l.cuts.Add(1)
		l.way.set(true)
		<-l.s.Done()
	case draw < 4: // it goes with the session
		l.closed.Add(1)
		from := l.now()
		if err := l.s.Close(ctx); err != nil {
			l.endSession()
		}
		l.lost(op, from, l.now())
		return false
	case draw < 8 && o.TTL == 0: // it holds it already
		op.Call = l.now()
		if g, err := l.s.LockGet(ctx, op.Lock, op.Owner, o); err == nil {
			op.Token, op.Return = g.Token, l.now()
			l.history.Add(op)
		}
	case draw < 11 && o.TTL > 0:
		wait.For(ctx, lockTTL)
	}
	if l.s.Err() != nil {
		l.fellSilent(op)
		return false
	}
	return l.release(op)
}

func (l *locker) release(op history.LockOp) bool {
	op.Kind, op.Call = history.LockFree, l.now()
	err := l.s.LockRelease(l.t.Context(), op.Lock, op.Owner)
	op.Return, op.Refused = l.now(), errors.Is(err, client.ErrNotHeld)
	switch {
	case op.Refused && l.s.Err() != nil:
		l.fellSilent(op)
		return false
	case err != nil && !op.Refused:
		from := op.Call
		op = l.inDoubt(op, err)
		l.lost(op, from, op.Return)
		return false
	}
	l.history.Add(op)
	return true
}

// releaseNothing releases what it does not hold.
func (l *locker) releaseNothing(op history.LockOp) {
	op.Kind, op.Owner, op.Refused, op.Token = history.LockFree, op.Owner+" not yet", true, 1
	err := l.s.LockRelease(l.t.Context(), op.Lock, op.Owner)
	op.Return = l.now()
	if err == nil {
		op.Refused = false
	}
	if err == nil || errors.Is(err, client.ErrNotHeld) {
		l.history.Add(op)
	}
}

// inDoubt is for an operation whose outcome is not known: it is over with its session,
// and the lock delay if that fell silent before.
func (l *locker) inDoubt(op history.LockOp, why error) history.LockOp {
	if l.failed.Add(1) <= 5 {
		l.t.Logf("%v: %s: asked at %v: %v", l.now(), op.Owner, op.Call, why)
	}
	l.endSession()
	op.Unknown, op.Return = true, l.now()+lockerDelay+time.Millisecond
	l.history.Add(op)
	return op
}

// endSession sees to it that the view leader has ended the session.
func (l *locker) endSession() {
	for l.leader.SessionEnd(l.t.Context(), l.s.ID()) != nil && wait.For(l.t.Context(), 50*time.Millisecond) {
	}
}

// fellSilent is for a lock whose session is lost: nobody else may have it before the
// view leader ended the session, and the lock delay is over. It heard of the client
// when that reckons, or later.
func (l *locker) fellSilent(op history.LockOp) {
	end := l.s.Until().Add(lockerTTL/10 + lockerDelay).Sub(l.began)
	l.lost(op, end, 0)
}

// lost notes that a lock may be gone from a time on, and is by another; the view leader
// counts whole milliseconds.
func (l *locker) lost(op history.LockOp, from, by time.Duration) {
	op.Kind, op.Call, op.Return, op.Unknown = history.LockLost, from-2*time.Millisecond, by, false
	l.history.Add(op)
}

// newLocker makes a client with a way of its own.
func (r *lockRun) newLocker(t *testing.T, i int, o client.Options) *locker {
	l := &locker{lockRun: r, t: t, way: &way{direct: r.direct}, name: fmt.Sprint("c", i), r: rand.New(rand.NewPCG(uint64(i), 5))}
	o.Dialer = l.way.dial
	var err error
	if l.c, err = client.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.c.Close() })
	return l
}

// watchQueues looks now and then who waits in which order, for what is granted later.
func (r *lockRun) watchQueues(ctx context.Context, c *wire.Leader) {
	for r.goesOn() && wait.For(ctx, 50*time.Millisecond) {
		asked := r.now()
		all, err := c.Locks(ctx)
		if err != nil {
			continue
		}
		for _, lock := range all.Locks {
			if len(lock.Waiters) > 1 {
				queue := sampledQueue{at: asked, lock: lock.Name}
				for _, w := range lock.Waiters {
					queue.owners = append(queue.owners, w.Client)
				}
				r.queues = append(r.queues, queue)
			}
		}
	}
}

// sampledQueue is a queue as it was seen.
type sampledQueue struct {
	at     time.Duration
	lock   string
	owners []string
}

// checkQueues says who passed whom. Who lost its connection to a view leader that failed
// may have joined the queue again: such times are left out, and in a short run, in which
// locks stand still while a head is replaced, nearly all queues are of such times.
func (r *lockRun) checkQueues(faults []sampledFault) (pairs, left int, passed []string) {
	tokens := r.history.Tokens()
	for _, queue := range r.queues {
		for i, a := range queue.owners[:len(queue.owners)-1] {
			first, second := tokens[[2]string{queue.lock, a}], tokens[[2]string{queue.lock, queue.owners[i+1]}]
			switch {
			case first == 0 || second == 0:
				continue
			case disturbed(faults, queue.at):
				left++
				continue
			}
			if pairs++; first > second {
				passed = append(passed, fmt.Sprintf("%q: %s with token %d was before %s with %d", queue.lock, a, first, queue.owners[i+1], second))
			}
		}
	}
	return pairs, left, passed
}

// sampledFault is a time in which something was wrong with the head.
type sampledFault struct{ from, to time.Duration }

func disturbed(faults []sampledFault, at time.Duration) bool {
	for _, f := range faults {
		if at > f.from-5*time.Second && at < f.to+time.Second {
			return true
		}
	}
	return false
}
