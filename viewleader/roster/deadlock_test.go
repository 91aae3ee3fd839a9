package roster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// waitsFor lists whom each waiter waits for, place by place.
func waitsFor(t *lockTable) map[owner][]owner {
	edges := make(map[owner][]owner)
	for _, l := range t.held {
		for i, w := range l.Waiters {
			for _, h := range l.Holders {
				if !h.Lost && !(w.Shared && l.Shared) {
					edges[w.owner] = append(edges[w.owner], h.owner)
				}
			}
			for _, ahead := range l.Waiters[:i] {
				if !w.Shared || !ahead.Shared {
					edges[w.owner] = append(edges[w.owner], ahead.owner)
				}
			}
		}
	}
	return edges
}

// cyclic reports whether somebody waits for itself.
func cyclic(t *lockTable) bool {
	edges := waitsFor(t)
	const visiting, visited = 1, 2
	state := make(map[owner]int)
	var walk func(o owner) bool
	walk = func(o owner) bool {
		switch state[o] {
		case visiting:
			return true
		case visited:
			return false
		}
		state[o] = visiting
		found := slices.ContainsFunc(edges[o], walk)
		state[o] = visited
		return found
	}
	for o := range edges {
		if walk(o) {
			return true
		}
	}
	return false
}

// TestEveryDeadlockIsFound: a cycle is found when the last of it joins, no other
// wait is refused, and each cycle that is told is one.
func TestEveryDeadlockIsFound(t *testing.T) {
	refused, deadlocks, waits := 0, 0, 0
	for seed := range uint64(80) {
		r := rand.New(rand.NewPCG(seed, 3))
		s := New(Config{Partitions: 1, MinCopies: 1})
		waitInDeadlock := seed%4 == 0
		for at := range int64(200) {
			c := lockGet(fmt.Sprint("L", r.IntN(5)), fmt.Sprint("c", r.IntN(6)), true)
			c.At, c.Shared, c.WaitInDeadlock = at, r.IntN(3) == 0, waitInDeadlock
			switch r.IntN(10) {
			case 0, 1:
				c.Kind = KindLockFree
			case 2:
				c.Kind = KindLockDequeue
			}
			before, err := Restore(s.AppendSnapshot(nil))
			if err != nil {
				t.Fatal(err)
			}
			res := s.Apply([]Command{c})[0]
			told := len(s.Deadlocks()) > 0
			switch {
			case res.Code == Deadlock:
				refused++
				c.WaitInDeadlock = true
				if before.Apply([]Command{c}); !cyclic(&before.locks) {
					t.Fatalf("seed %d: %+v was refused: %s", seed, c, res.Reason)
				}
			case res.Cycle != nil:
				deadlocks++
			case res.Code == Waiting:
				waits++
			}
			if got := cyclic(&s.locks); got != told || got && !waitInDeadlock {
				t.Fatalf("seed %d: after %+v there is a cycle: %v, told %v", seed, c, got, s.Deadlocks())
			}
			for _, cycle := range s.Deadlocks() {
				checkCycle(t, &s.locks, cycle)
			}
			if err := checkLocks(&s.locks); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
	t.Logf("%d refused, %d closed a cycle, %d other waits", refused, deadlocks, waits)
	if refused < 1000 || deadlocks < 100 || waits < 1000 {
		t.Errorf("only %d refused, %d closed a cycle, %d other waits", refused, deadlocks, waits)
	}
}

// checkCycle checks that each step is there and leads to the next.
func checkCycle(t *testing.T, table *lockTable, cycle Cycle) {
	t.Helper()
	edges := waitsFor(table)
	for i, w := range cycle {
		next := cycle[(i+1)%len(cycle)]
		if w.For != next.Client || !slices.Contains(edges[owner{w.Client, w.Session}], owner{next.Client, next.Session}) {
			t.Fatalf("step %d of %v", i, cycle)
		}
	}
}

// TestDeadlockOfTwo: a holds L1, b holds L2, a waits for L2, b asks for L1.
func TestDeadlockOfTwo(t *testing.T) {
	w := newWorld(t, 2)
	w.must(lockGet("L1", "a", true))
	w.must(lockGet("L2", "b", true))
	w.apply(lockGet("L2", "a", true))
	const told = `"b" waits for "L1" held by "a", "a" waits for "L2" held by "b"`
	if r := w.apply(lockGet("L1", "b", true)); r.Code != Deadlock || r.Reason != told {
		t.Fatalf("%+v", r)
	}
	if n := len(w.s.Deadlocks()); n != 0 {
		t.Errorf("%d deadlocks of one that was refused", n)
	}
	c := lockGet("L1", "b", true)
	c.WaitInDeadlock = true
	if r := w.apply(c); r.Code != Waiting || r.Cycle.String() != told {
		t.Fatalf("%+v", r)
	}
	if d := w.s.Deadlocks(); len(d) != 1 || Cycle(d[0]).String() != told {
		t.Errorf("%v", d)
	}
	var kinds []string
	for _, e := range w.s.Events(0) {
		kinds = append(kinds, e.Kind+": "+e.Detail)
	}
	want := []string{`granted: "L1" to "a", token 1`, `granted: "L2" to "b", token 2`, "deadlock: refused: " + told,
		"deadlock: until one of them gives way: " + told}
	if !slices.Equal(kinds, want) {
		t.Errorf("events %q", kinds)
	}
	w.must(Command{Kind: KindLockDequeue, Lock: "L2", Client: "a"})
	if n := len(w.s.Deadlocks()); n != 0 {
		t.Errorf("%d deadlocks after one gave way", n)
	}
}

// Readers who wait side by side do not wait for each other.
func TestReadersDoNotDeadlock(t *testing.T) {
	w := newWorld(t, 2)
	shared := func(name, client string) Command {
		c := lockGet(name, client, true)
		c.Shared = true
		return c
	}
	w.must(lockGet("data", "writer", true))
	w.must(lockGet("other", "r2", true))
	w.apply(shared("data", "r1"))
	w.apply(lockGet("other", "r1", true))
	if r := w.apply(shared("data", "r2")); r.Code != Waiting {
		t.Fatalf("%+v", r)
	}
	// But who wants it for itself waits for the reader before it.
	if r := w.apply(lockGet("data", "w2", true)); r.Code != Waiting {
		t.Fatalf("%+v", r)
	}
	w.must(lockGet("third", "w2", true))
	if r := w.apply(lockGet("third", "r1", true)); r.Code != Deadlock || !strings.Contains(r.Reason, `"w2" waits for "data" after "r1"`) {
		t.Fatalf("%+v", r)
	}
}

// A long queue costs each newcomer no more than its length, even if it is in the way.
func TestLongQueue(t *testing.T) {
	s := New(Config{Partitions: 1, MinCopies: 1})
	s.Apply([]Command{lockGet("l", "first", true)})
	begun := time.Now()
	for i := range 1000 {
		name := fmt.Sprint("c", i)
		s.Apply([]Command{lockGet("own"+name, name, true), lockGet("own"+name, "other", true), lockGet("l", name, true)})
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("a queue of 1,000 took %v", took)
	}
}
