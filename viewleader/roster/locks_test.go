package roster

import (
	"slices"
	"strings"
	"testing"
)

func lockGet(name, client string, wait bool) Command {
	return Command{Kind: KindLockGet, Lock: name, Client: client, Wait: wait}
}

func lockFree(name, client string) Command {
	return Command{Kind: KindLockFree, Lock: name, Client: client}
}

func TestLockQueue(t *testing.T) {
	w := newWorld(t, 2)
	epoch := w.s.Epoch()
	first := w.must(lockGet("l", "a", true))
	again := w.must(lockGet("l", "a", true))
	if first.Token != 1 || again.Token != 1 || first.Since != w.at {
		t.Fatalf("%+v, %+v", first, again)
	}
	if r := w.apply(lockGet("l", "b", false)); r.Code != Locked || !strings.Contains(r.Reason, `"a"`) {
		t.Fatalf("%+v", r)
	}
	for _, c := range []string{"b", "c", "b", "d"} {
		if r := w.apply(lockGet("l", c, true)); r.Code != Waiting {
			t.Fatalf("%+v", r)
		}
	}
	if got := waitersOf(w.s, 0); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Fatalf("waiters %v", got)
	}
	if r := w.apply(lockFree("l", "b")); r.Code != NotHeld {
		t.Fatalf("%+v", r)
	}
	w.must(Command{Kind: KindLockDequeue, Lock: "l", Client: "c"})
	r := w.must(lockFree("l", "a"))
	if len(r.Grants) != 1 || r.Grants[0].Client != "b" || r.Grants[0].Token != 2 {
		t.Fatalf("%+v", r)
	}
	stale := lockFree("l", "b")
	stale.Token = 1
	if r := w.apply(stale); r.Code != NotHeld {
		t.Fatalf("%+v", r)
	}
	w.must(lockFree("l", "b"))
	if r := w.must(lockFree("l", "d")); len(r.Grants) != 0 || len(w.s.Locks()) != 0 {
		t.Fatalf("%+v", r)
	}
	if r := w.must(lockGet("l", "z", true)); r.Token != 4 {
		t.Fatalf("token %d went back", r.Token)
	}
	if w.s.Epoch() != epoch {
		t.Fatal("locks raised the epoch")
	}
	w.refuse(lockGet("", "a", true), "lock name")
	w.refuse(lockGet("l", strings.Repeat("x", NameBytesMax+1), true), "client name")
}

func TestLockTTL(t *testing.T) {
	w := newWorld(t, 2)
	c := lockGet("l", "a", true)
	c.TTL = 100
	w.must(c)
	w.apply(lockGet("l", "b", true))
	w.at += 50
	w.must(c) // the holder renews
	if next := w.s.NextLockExpiry(); next != w.at+100 {
		t.Fatalf("next expiry %d at %d", next, w.at)
	}
	w.at += 99
	if r := w.must(Command{Kind: KindLockTick}); len(r.Grants) != 0 {
		t.Fatalf("%+v", r)
	}
	w.at++
	if r := w.must(Command{Kind: KindLockTick}); len(r.Grants) != 1 || r.Grants[0].Client != "b" {
		t.Fatalf("%+v", r)
	}
	if w.s.NextLockExpiry() != 0 {
		t.Fatal("b's lock has no end")
	}
	// A get finds an expired lock before the tick does.
	c.Lock = "m"
	w.must(c)
	w.at += 100
	if r := w.must(lockGet("m", "b", false)); r.Code != Done {
		t.Fatalf("%+v", r)
	}
}

// TestLateQuestions: a question that comes late takes nothing from its owner that a
// later one gave it, and none is granted what it did not ask for (seed 901304).
func TestLateQuestions(t *testing.T) {
	w := newWorld(t, 2)
	get := func(client string, ttl int64, shared bool) Command {
		c := lockGet("l", client, true)
		c.TTL, c.Shared = ttl, shared
		return c
	}
	ends := func(want int64) {
		t.Helper()
		if next := w.s.NextLockExpiry(); next != want {
			t.Fatalf("it ends at %d, want %d, at %d", next, want, w.at)
		}
	}
	w.must(get("a", 100, false))
	w.at += 10
	w.must(get("a", 50, false))
	ends(w.at + 90)
	w.must(get("a", 0, false))
	ends(w.at + 90)
	for _, ttl := range []int64{50, 200, 100} {
		w.apply(get("b", ttl, false))
	}
	w.apply(get("c", 70, false))
	w.apply(get("c", 0, false))
	w.apply(get("c", 70, false))
	w.refuse(get("c", 0, true), "waits for \"l\" as an exclusive lock already")
	w.must(Command{Kind: KindLockFree, Lock: "l", Client: "a"})
	ends(w.at + 200)
	w.at += 200
	w.must(Command{Kind: KindLockTick})
	w.must(get("c", 70, false))
	ends(0)
}

func TestDeadlock(t *testing.T) {
	w := newWorld(t, 2)
	w.must(lockGet("L1", "a", true))
	w.must(lockGet("L2", "b", true))
	w.must(lockGet("L3", "c", true))
	w.apply(lockGet("L2", "a", true))
	w.apply(lockGet("L3", "b", true))
	r := w.apply(lockGet("L1", "c", true))
	if r.Code != Deadlock {
		t.Fatalf("%+v", r)
	}
	for _, word := range []string{"L1", "L2", "L3", `"a"`, `"b"`, `"c"`} {
		if !strings.Contains(r.Reason, word) {
			t.Fatalf("%s misses %s", r.Reason, word)
		}
	}
	if r := w.apply(lockGet("L1", "d", true)); r.Code != Waiting {
		t.Fatalf("%+v", r)
	}
	// c would wait behind d, who waits for c's lock.
	if r := w.apply(lockGet("L3", "d", true)); r.Code != Waiting {
		t.Fatalf("%+v", r)
	}
	if r := w.apply(lockGet("L1", "c", true)); r.Code != Deadlock {
		t.Fatalf("%+v", r)
	}
}

// waitersOf names who is in the queue of the i-th lock.
func waitersOf(s *State, i int) (names []string) {
	for _, w := range s.Locks()[i].Waiters {
		names = append(names, w.Client)
	}
	return names
}
