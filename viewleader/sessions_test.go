package viewleader

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/vocab"
)

// TestSessions: a session ends by its client's word or by silence; whoever is next
// gets its locks, at once or after the lock delay, and who waits in it is told.
func TestSessions(t *testing.T) {
	s := start(t, testOptions(t))
	l := leaderOf(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	open := func(ttl, delay time.Duration) uint64 {
		t.Helper()
		id, err := l.SessionOpen(ctx, ttl, delay)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	get := func(lock, client string, session uint64, wait time.Duration) uint64 {
		t.Helper()
		token, err := l.LockGet(ctx, wire.LockAsk{Lock: lock, Client: client, Session: session, Wait: wait})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	kept := open(time.Minute, 0)
	first := get("l", "a", kept, 0)
	if _, err := l.LockGet(ctx, wire.LockAsk{Lock: "l", Client: "a"}); !wire.IsCode(err, wire.CodeLocked) {
		t.Errorf("the same name without its session: %v", err)
	}
	if err := l.LockFree(ctx, "l", "a", 0); !wire.IsCode(err, wire.CodeNotHeld) {
		t.Errorf("released without its session: %v", err)
	}
	// b waits in a session that falls silent, c in none.
	silent := open(150*time.Millisecond, 0)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		_, err := l.LockGet(ctx, wire.LockAsk{Lock: "l", Client: "b", Session: silent, Wait: -1})
		if !wire.IsCode(err, wire.CodeNoSession) {
			t.Errorf("who waited in a session that ended was told %v", err)
		}
	})
	waitLocks(t, l, func(locks []vocab.Lock) bool { return len(locks[0].Waiters) == 1 })
	waitLocks(t, l, func(locks []vocab.Lock) bool { return len(locks[0].Waiters) == 0 })
	if err := l.SessionKeep(ctx, silent); !wire.IsCode(err, wire.CodeNoSession) {
		t.Errorf("a session that fell silent: %v", err)
	}
	if err := l.SessionEnd(ctx, silent); err != nil {
		t.Error(err)
	}
	if err := l.SessionKeep(ctx, kept); err != nil {
		t.Error(err)
	}
	if err := l.SessionEnd(ctx, kept); err != nil {
		t.Fatal(err)
	}
	if second := get("l", "c", 0, -1); second <= first {
		t.Errorf("token %d after %d", second, first)
	}
	// With a lock delay it takes that much longer.
	const ttl, delay = 100 * time.Millisecond, 300 * time.Millisecond
	begun := time.Now()
	get("m", "a", open(ttl, delay), 0)
	get("m", "b", 0, -1)
	if took := time.Since(begun); took < ttl+delay {
		t.Errorf("granted after %v, want %v", took, ttl+delay)
	}
}

// TestSessionsOverARestart: a view leader that starts gives each session all of its
// time again.
func TestSessionsOverARestart(t *testing.T) {
	o := testOptions(t)
	s := start(t, o)
	l := leaderOf(t, s)
	const ttl = 2 * time.Second
	id, err := l.SessionOpen(t.Context(), ttl, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.LockGet(t.Context(), wire.LockAsk{Lock: "l", Client: "a", Session: id}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o.Listen = s.Addr()
	begun := time.Now()
	start(t, o)
	if err := l.SessionKeep(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	waitLocks(t, l, func(locks []vocab.Lock) bool { return len(locks) == 0 })
	if took := time.Since(begun); took < ttl {
		t.Errorf("it ended after %v", took)
	}
}

func TestSessionCommandsRefused(t *testing.T) {
	s := start(t, testOptions(t))
	l := leaderOf(t, s)
	if _, err := l.SessionOpen(t.Context(), 0, 0); !wire.IsCode(err, wire.CodeRefused) {
		t.Error(err)
	}
	c, err := wire.Dial(t.Context(), s.Addr(), (&net.Dialer{}).DialContext, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, line := range [][]string{{"VL.SESSION", "OPEN", "1"}, {"VL.SESSION", "KEEP", "x"}, {"VL.SESSION", "STOP", "1"},
		{"VL.LOCKGET", "l", "c", "0", "0", "SESSION"}, {"VL.LOCKGET", "l", "c", "0", "0", "ALONE"}, {"VL.LOCKFREE", "l", "c", "-1"}} {
		args := make([][]byte, len(line))
		for i := range line {
			args[i] = []byte(line[i])
		}
		if _, err := c.Do(t.Context(), args...); !wire.IsCode(err, wire.CodeErr) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// TestSessionsEnded: whoever asks is told which sessions are not open, also of such as never
// were; and who waits is told that there is something to ask.
func TestSessionsEnded(t *testing.T) {
	s := start(t, testOptions(t))
	l := leaderOf(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	open := func(ttl time.Duration) uint64 {
		t.Helper()
		id, err := l.SessionOpen(ctx, ttl, 0)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	await := func(since uint64, wait time.Duration) uint64 {
		t.Helper()
		count, err := l.AwaitSessionEnds(ctx, since, wait)
		if err != nil {
			t.Fatal(err)
		}
		return count
	}
	ended := func(ids, want []uint64) {
		t.Helper()
		if got, err := l.SessionsEnded(ctx, ids); err != nil || !slices.Equal(got, want) {
			t.Errorf("of %v those have ended: %v, want %v: %v", ids, got, want, err)
		}
	}
	a, b := open(time.Minute), open(time.Minute)
	count := await(0, 0)
	if again := await(count, time.Millisecond); again != count {
		t.Errorf("nothing has ended, and %d became %d", count, again)
	}
	ended(nil, nil)
	ended([]uint64{b, a, b + 1}, []uint64{b + 1})
	if err := l.SessionEnd(ctx, a); err != nil {
		t.Fatal(err)
	}
	next := await(count, 20*time.Second)
	ended([]uint64{a, b}, []uint64{a})
	open(50 * time.Millisecond) // and falls silent
	if last := await(next, 20*time.Second); next == count || last == next {
		t.Errorf("%d, %d, %d", count, next, last)
	}
	if _, err := l.SessionsEnded(ctx, make([]uint64, wire.SessionsMax+1)); err == nil {
		t.Error("any number is asked about")
	}
}
