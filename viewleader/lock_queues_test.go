package viewleader

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/vocab"
)

func TestLocks(t *testing.T) {
	s := start(t, testOptions(t))
	l := leaderOf(t, s)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // before wg.Wait, also when the test fails
	first, err := l.LockGet(ctx, wire.LockAsk{Lock: "l", Client: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if again, err := l.LockGet(ctx, wire.LockAsk{Lock: "l", Client: "a"}); again != first || err != nil {
		t.Fatal(again, err)
	}
	if _, err := l.LockGet(ctx, wire.LockAsk{Lock: "l", Client: "b"}); !wire.IsCode(err, wire.CodeLocked) {
		t.Fatal(err)
	}
	if _, err := l.LockGet(ctx, wire.LockAsk{Lock: "l", Client: "b", Wait: 30 * time.Millisecond}); !wire.IsCode(err, wire.CodeLocked) {
		t.Fatal(err)
	}
	if err := l.LockFree(ctx, "l", "b", 0); !wire.IsCode(err, wire.CodeNotHeld) {
		t.Fatal(err)
	}
	grants := make(chan uint64, 8)
	wait := func(ctx context.Context, client string) {
		if token, err := l.LockGet(ctx, wire.LockAsk{Lock: "l", Client: client, Wait: -1}); err == nil {
			grants <- token
		}
	}
	gone, leave := context.WithCancel(ctx)
	for i, client := range []string{"b", "c", "d"} {
		c := ctx
		if client == "c" {
			c = gone
		}
		wg.Go(func() { wait(c, client) })
		waitLocks(t, l, func(locks []vocab.Lock) bool { return len(locks) == 1 && len(locks[0].Waiters) == i+1 })
	}
	leave() // c's connection breaks
	waitLocks(t, l, func(locks []vocab.Lock) bool {
		return slices.Equal(locks[0].Waiters, []vocab.LockWaiter{{Client: "b"}, {Client: "d"}})
	})
	if err := l.LockFree(ctx, "l", "a", 0); err != nil {
		t.Fatal(err)
	}
	if token := <-grants; token != first+1 {
		t.Fatal(token)
	}
	if err := l.LockFree(ctx, "l", "b", 0); err != nil {
		t.Fatal(err)
	}
	if token := <-grants; token != first+2 {
		t.Fatal(token)
	}
}

func waitLocks(t *testing.T, l *wire.Leader, ok func([]vocab.Lock) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		locks, err := l.Locks(ctx)
		if err != nil {
			t.Fatalf("%v; last %+v", err, locks)
		}
		if ok(locks.Locks) {
			return
		}
	}
}

func TestLockTTLAndDeadlock(t *testing.T) {
	s := start(t, testOptions(t))
	l := leaderOf(t, s)
	ctx := t.Context()
	if _, err := l.LockGet(ctx, wire.LockAsk{Lock: "L1", Client: "a", TTL: 80 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.LockGet(ctx, wire.LockAsk{Lock: "L1", Client: "b", Wait: -1}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.LockGet(ctx, wire.LockAsk{Lock: "L2", Client: "a"}); err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _, _ = l.LockGet(waiting, wire.LockAsk{Lock: "L1", Client: "a", Wait: -1}) })
	waitLocks(t, l, func(locks []vocab.Lock) bool { return len(locks[0].Waiters) == 1 })
	_, err := l.LockGet(ctx, wire.LockAsk{Lock: "L2", Client: "b", Wait: -1})
	if !wire.IsCode(err, wire.CodeDeadlock) || !strings.Contains(err.Error(), "L1") || !strings.Contains(err.Error(), "L2") {
		t.Fatal(err)
	}
}

func TestCloseWhileClientsWait(t *testing.T) {
	o := testOptions(t)
	s := start(t, o)
	l := leaderOf(t, s)
	if _, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "l", Client: "a"}); err != nil {
		t.Fatal(err)
	}
	token := make(chan uint64, 1)
	go func() {
		n, _ := l.LockGet(t.Context(), wire.LockAsk{Lock: "l", Client: "b", Wait: -1})
		token <- n
	}()
	waitLocks(t, l, func(locks []vocab.Lock) bool { return len(locks[0].Waiters) == 1 })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Listen = s.Addr()
	s = start(t, o) // b comes back by itself and keeps its place
	l2 := leaderOf(t, s)
	if err := l2.LockFree(t.Context(), "l", "a", 0); err != nil {
		t.Fatal(err)
	}
	if n := <-token; n != 2 {
		t.Fatal(n)
	}
}

// TestAskedAgainMeanwhile: who lost its connection and asks again keeps its place, or
// its lock, also when that is looked at while the question is on its way.
func TestAskedAgainMeanwhile(t *testing.T) {
	s := start(t, testOptions(t))
	l := leaderOf(t, s)
	if _, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "l", Client: "a"}); err != nil {
		t.Fatal(err)
	}
	q := wire.LockAsk{Lock: "l", Client: "b", Wait: -1}
	lost := newReply()
	s.lockQueues.get(lost, &q)
	waitLocks(t, l, func(locks []vocab.Lock) bool { return len(locks[0].Waiters) == 1 })
	again := newReply()
	s.report(func(g *group) {
		lost.finalize(false)
		s.lockQueues.get(again, &q)
		g.gather() // the question goes into the log first
		s.lockQueues.tick(s.opts.Now())
	})
	if err := l.LockFree(t.Context(), "l", "a", 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-again.done:
	case <-time.After(2 * time.Minute):
		t.Fatal("it waits, and is not in the queue")
	}
	// Nobody took the answer: it is given back after a while, but not to who asks again.
	third, later := newReply(), time.Time{}
	s.report(func(g *group) {
		again.finalize(false)
		s.lockQueues.get(third, &q)
		g.gather()
		later = s.opts.Now().Add(claimGrace)
		s.lockQueues.tick(later)
	})
	<-third.done
	waitLocks(t, l, func(locks []vocab.Lock) bool { return len(locks) == 1 && locks[0].Holders[0].Client == "b" })
	if err := l.LockFree(t.Context(), "l", "b", 0); err != nil {
		t.Errorf("a lock that was told of: %v", err)
	}
}
