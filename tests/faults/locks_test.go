package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/client"
	"viewring/internal/wait"
	"viewring/tests/harness"
	"viewring/tests/history"
)

// locker is a client of locks, over and over in a session of its own.
type locker struct {
	t       *testing.T
	c       *client.Client
	name    string
	locks   int
	r       *rand.Rand
	began   time.Time
	history *history.LockHistory
	left    *atomic.Int64
	failed  *atomic.Int64
	lost    *atomic.Int64
}

func (l *locker) run() {
	ctx := l.t.Context()
	for n := 0; l.left.Add(-1) >= 0; {
		s, err := l.c.OpenSession(ctx, client.SessionOptions{})
		if err != nil {
			l.failed.Add(1)
			continue
		}
		for range 20 {
			n++
			if l.left.Add(-1) < 0 || !l.turn(s, fmt.Sprintf("%s.%d", l.name, n)) {
				break
			}
		}
		if err := s.Close(ctx); err != nil {
			l.failed.Add(1)
		}
	}
}

// turn takes a lock and gives it back, by name or with its session. The owner's name
// is used once, so that a grant whose answer was lost is nobody else's.
func (l *locker) turn(s *client.Session, owner string) bool {
	ctx := l.t.Context()
	op := history.LockOp{Lock: fmt.Sprint("lock ", l.r.IntN(l.locks)), Owner: owner, Shared: l.r.IntN(3) == 0, Call: time.Since(l.began)}
	o := client.LockOptions{Wait: -1, Shared: op.Shared}
	if l.r.IntN(5) == 0 {
		o.Wait = 0
	}
	g, err := s.LockGet(ctx, op.Lock, owner, o)
	op.Return, op.Token = time.Since(l.began), g.Token
	switch {
	case errors.Is(err, client.ErrLocked):
		op.Refused = true
	case err != nil:
		if l.failed.Add(1) < 5 {
			l.t.Logf("%s: %v", owner, err)
		}
		op.Unknown = true // it may be granted, and free again when nobody claims it
		l.history.Add(op)
		return s.Err() == nil
	}
	l.history.Add(op)
	if op.Refused {
		return true
	}
	wait.For(ctx, time.Duration(l.r.IntN(4))*time.Millisecond)
	op.Kind, op.Call = history.LockFree, time.Since(l.began)
	if s.Err() != nil || l.r.IntN(40) == 0 { // it goes with the session
		op.Kind = history.LockLost
		l.lost.Add(1)
		l.history.Add(op)
		return false
	}
	err = s.LockRelease(ctx, op.Lock, owner)
	op.Return = time.Since(l.began)
	op.Refused, op.Unknown = errors.Is(err, client.ErrNotHeld), err != nil && !errors.Is(err, client.ErrNotHeld)
	l.history.Add(op)
	if op.Refused && s.Err() == nil {
		l.t.Errorf("%s lost %s while its session goes on: %v", owner, op.Lock, err)
	}
	return true
}

// TestLockHistory has clients take turns at locks while view leaders are killed,
// paused and cut off, and looks for an order that explains all they were told.
// VIEWRING_LOCK_OPS=10000 has 50 clients ask for so much.
func TestLockHistory(t *testing.T) {
	ops, clients, faults := 600, 12, 3
	if n, err := strconv.Atoi(os.Getenv("VIEWRING_LOCK_OPS")); err == nil {
		ops, clients, faults = n, 50, 12
	} else {
		harness.Slow(t)
	}
	c := harness.NewCluster(t, harness.Config{Leaders: 3, Servers: 1, LeaderFlags: []string{"--partitions", "16"}})
	var h history.LockHistory
	var left, failed, lost atomic.Int64
	left.Store(int64(ops))
	began := time.Now()
	var running sync.WaitGroup
	for i := range clients {
		cl := c.Client
		if i%4 > 0 {
			cl = c.Open()
		}
		l := &locker{t: t, c: cl, name: fmt.Sprint("c", i), locks: 1 + clients/4, r: rand.New(rand.NewPCG(uint64(i), 5)),
			began: began, history: &h, left: &left, failed: &failed, lost: &lost}
		running.Go(l.run)
	}
	done := 0
	for ; done < faults; done++ {
		head := c.WaitLeaders()
		turn := int64(ops) * int64(faults-done) / int64(faults+1) // spread over all that is asked
		for left.Load() > turn && wait.For(t.Context(), 10*time.Millisecond) {
		}
		switch done % 3 {
		case 0:
			head.Kill()
			head.Start()
		case 1:
			head.Pause()
			wait.For(t.Context(), 3*time.Second)
			head.Resume()
		case 2:
			var others []string
			for _, n := range c.Leaders {
				if n != head {
					others = append(others, n.Name)
				}
			}
			c.Net.Hold([]string{head.Name}, others)
			c.Net.Hold(others, []string{head.Name})
			wait.For(t.Context(), 3*time.Second)
			c.Net.Heal()
		}
	}
	running.Wait()
	t.Logf("%d operations by %d clients in %v, %d faults; %d given up with their sessions, %d failed", h.Len(), clients,
		time.Since(began).Round(time.Millisecond), done, lost.Load(), failed.Load())
	if err := h.Check(); err != nil {
		t.Error(err)
	}
	if h.Len() < ops {
		t.Errorf("only %d operations of %d", h.Len(), ops)
	}
}
