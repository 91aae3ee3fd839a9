package roster

import (
	"reflect"
	"slices"
	"testing"

	"viewring/ring"
)

// The holes of the protocol that are the view leader's to close, by their numbers;
// the table is in the replication core's DESIGN.md.

// TestH06: of W, exactly one is restored: each of two may have acted alone, and
// only one of them has what the last set acknowledged.
func TestH06(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.expire(1)
	w.expire(2)
	w.expire(3)
	w.part(ids{3}, ids{2, 3})
	both := make([]Command, 2)
	for i, id := range []ring.ServerID{2, 3} {
		w.inc[id]++
		both[i] = reg(id, byte(id), w.inc[id])
		both[i].At = w.at
	}
	for _, r := range w.s.Apply(both) {
		if r.Code != Done {
			t.Fatalf("%+v", r)
		}
	}
	p := w.s.View().Partitions[0]
	if len(p.Acting) != 1 || !slices.Contains(ids{2, 3}, p.Acting[0]) || !slices.Equal(p.Writable, ids{2, 3}) {
		t.Fatalf("%+v", p)
	}

	w = newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.expire(1)
	w.expire(2)
	w.expire(3)
	w.restart(2, true)
	w.part(ids{2}, ids{2, 3})
	w.restart(3, true)
	w.part(ids{2}, ids{2, 3})
}

// TestH08: a folder that was wiped, rolled back or cloned is no whole copy.
func TestH08(t *testing.T) {
	for what, spoil := range map[string]func(w *world, c *Command){
		"wiped":       func(_ *world, c *Command) { c.Register.Store = [16]byte{77} },
		"rolled back": func(_ *world, c *Command) { c.Register.Previous = 1 },
		"cloned": func(w *world, _ *Command) {
			clone := reg(1, 1, w.inc[1])
			clone.Register.Instance = 4711
			w.refuse(clone, "another process")
		},
		"says so itself": func(_ *world, c *Command) { c.Register.Whole = false },
	} {
		w := newWorld(t, 2)
		w.join(3)
		w.fill(1, 2, 3)
		w.restart(1, true)
		w.restart(1, true)
		w.part(ids{2, 3, 1}, ids{2, 3, 1})
		c := reg(1, 1, w.inc[1]+1)
		spoil(w, &c)
		w.must(c)
		if p := w.s.View().Partitions[0]; p.IsActing(1) || slices.Contains(p.Writable, 1) {
			t.Errorf("%s: %+v", what, p)
		}
	}
}

// TestH19: an epoch that was read is never changed: a term has one acting set.
func TestH19(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2)
	read := w.s.View()
	before := *read
	before.Members, before.Partitions = slices.Clone(read.Members), slices.Clone(read.Partitions)
	w.must(w.handoff(0, 1, 2, 3))
	w.expire(2)
	if !reflect.DeepEqual(*read, before) {
		t.Error("a view that was read has changed")
	}
	now := w.s.View()
	if now.Epoch != read.Epoch+2 || now.Partitions[0].Term != now.Epoch {
		t.Errorf("epoch %d after %d, term %d", now.Epoch, read.Epoch, now.Partitions[0].Term)
	}
	// In one batch the second change of a term is of a term that is over.
	w = newWorld(t, 2)
	w.join(3)
	w.fill(1, 2)
	rs := w.s.Apply([]Command{w.handoff(0, 1, 2, 3), w.handoff(0, 2, 1, 3)})
	if rs[0].Code != Done || rs[1].Code != Refused {
		t.Errorf("%+v", rs)
	}
}

// TestH20: a view leader that hears nobody changes no acting set. Those who come back
// as the same processes act on; one that does not is expired then.
func TestH20(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	term := w.s.View().Partitions[0].Term
	w.expire(1, 2, 3)
	w.part(ids{1, 2, 3}, ids{1, 2, 3})
	// The view leader's link was down: the same processes come back.
	for id := ring.ServerID(1); id <= 2; id++ {
		w.must(reg(id, byte(id), 1))
	}
	w.part(ids{1, 2, 3}, ids{1, 2, 3})
	if got := w.s.View().Partitions[0].Term; got != term {
		t.Errorf("term %d, was %d", got, term)
	}
	if m := w.s.Members(); !m[2].Stays || m[0].Stays {
		t.Fatalf("%+v", m)
	}
	w.expire(3) // it did not come back
	w.part(ids{1, 2}, ids{1, 2})
}

// TestH21: min-copies stands per partition; a join that could raise it does not
// stop writes, a handoff that has the copies raises it.
func TestH21(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	if p := w.s.View().Partitions[0]; p.MinCopies != 1 {
		t.Errorf("after a join: %+v", p)
	}
	term := w.s.View().Partitions[0].Term
	w.fill(1, 2)
	if p := w.s.View().Partitions[0]; p.MinCopies != 2 || p.Term == term {
		t.Errorf("after a handoff: %+v", p)
	}
	w.expire(2) // too few now: refused, not lowered
	if p := w.s.View().Partitions[0]; p.MinCopies != 2 || len(p.Acting) != 1 {
		t.Errorf("after a failure: %+v", p)
	}
}

// TestH24: a handoff names servers at their starts; one that was wiped, restarted
// or expired since is not what was caught up.
func TestH24(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2)
	asked := w.handoff(0, 1, 2, 3)
	w.inc[3]++
	again := reg(3, 3, w.inc[3])
	again.Register.Store, again.Register.Whole = [16]byte{88}, false
	w.must(again)
	w.refuse(asked, "incarnation")
	asked = w.handoff(0, 1, 2, 3)
	w.expire(3)
	w.refuse(asked, "down")
	w.part(ids{1, 2}, ids{1, 2})
}
