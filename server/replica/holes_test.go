package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"viewring/ring"
)

// The tests are named for the holes of the protocol that they keep closed. Each is
// a transcript, and fails with the mutants that DESIGN.md's table has in its row.

func setTo(key, value string) Request {
	return Request{Op: OpSet, Key: name(key), Value: []byte(value)}
}

// proposing starts a rig in which s1 acts and has asked to hand off to s2 as well;
// the view leader has not answered.
func proposing(t *testing.T) *rig {
	r := returner(t, 2, false, func(r *rig) { r.set(1, "k", "old") })
	r.learn(2, 1)
	r.pass(100 * time.Millisecond)
	if !slices.ContainsFunc(r.asked, func(q LeaderRequest) bool { return q.Kind == AskHandoff && len(q.Acting) == 2 }) {
		t.Fatal("no handoff is asked for")
	}
	return r
}

// acknowledgedIsHeld writes through s1 while s2 hears nothing, lets the delayed
// handoff happen, and reports whether s2 has what was acknowledged.
func acknowledgedIsHeld(r *rig) bool {
	r.drop = func(p parcel) bool { return p.from == 2 || p.to == 2 }
	first := r.write(1, setTo("k", "new"))
	r.run()
	r.pass(500 * time.Millisecond)
	r.write(1, setTo("other", "v"))
	r.run()
	acknowledged := r.got[first].Status == StatusOK
	if !r.handoff() {
		r.t.Fatal("no handoff")
	}
	return !acknowledged || r.stored(2, "k") == "new"
}

// readsOldAt1 writes through s2, which has taken over, and reports whether s1 still
// answers with what was before.
func (r *rig) readsOldAt1() bool {
	r.pass(2 * r.view.LeaseTTL)
	r.set(2, "k", "new")
	token := r.read(1, name("k"))
	r.run()
	return r.reads(token, "old")
}

// hold keeps back parcels from now on. What release returns was held, and is
// delivered now.
func (r *rig) hold(which func(p parcel) bool) (release func() []parcel) {
	var held []parcel
	r.drop = func(p parcel) bool {
		if which(p) {
			held = append(held, p)
			return true
		}
		return false
	}
	return func() []parcel {
		for _, p := range held {
			r.deliver(p)
		}
		return held
	}
}

// joins lets a learner act that has copied everything once; it reports whether that
// came about and the digests were equal.
func (r *rig) joins(id ring.ServerID) bool {
	s := r.host(id).core.Stats()
	return r.handoff() && s.FullCopies == 1 && s.DigestMismatches == 0
}

// TestH01: a proposal stands though the handoff was not answered; it may still
// come.
func TestH01(t *testing.T) {
	holds(t, func() bool { return acknowledgedIsHeld(proposing(t)) })
}

// TestH02: only a higher term ends a proposal. The core is not even told of a
// refusal; and a target that is none any more stays proposed, and is ejected.
func TestH02(t *testing.T) {
	holds(t, func() bool {
		r := proposing(t)
		r.nextView(func(v *ring.View) { v.Members[1].Status = ring.Leaving })
		for _, h := range r.hosts {
			h.adopt()
		}
		r.run()
		ejected := slices.ContainsFunc(r.asked, func(q LeaderRequest) bool { return q.Kind == AskEject && q.Acting[0].ID == 2 })
		return acknowledgedIsHeld(r) && ejected
	})
}

// TestH03: a promise counts for a term that its giver still knows.
func TestH03(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 1)
		r.set(1, "k", "old")
		r.nextTerm(actingAre(2), 2)
		return !r.readsOldAt1()
	})
}

// TestH03JointLease: a lease needs the promises of proposed replicas: they may be
// acting by now.
func TestH03JointLease(t *testing.T) {
	holds(t, func() bool {
		r := proposing(t)
		r.nextTerm(actingAre(2, 1), 2)
		r.nextTerm(actingAre(2), 2)
		return !r.readsOldAt1()
	})
}

// TestH03Holds: a new primary waits out what it promised the former one, and a
// frame of that one ends the wait only if it has left the term.
func TestH03Holds(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 1)
		r.set(1, "k", "old")
		before := r.view.Epoch
		r.nextTerm(actingAre(2), 2)
		r.host(2).core.PeerDone(r.host(2).at(), 1, before)
		r.write(2, setTo("k", "new"))
		r.run()
		written := r.stored(2, "k") == "new"
		token := r.read(1, name("k"))
		r.run()
		if !r.reads(token, "old") {
			t.Error("s1 has a lease and does not use it")
		}
		r.host(2).core.PeerDone(r.host(2).at(), 1, r.view.Epoch)
		r.run()
		if r.stored(2, "k") != "new" {
			t.Error("s1 has left the term, and s2 waits for it")
		}
		return !written
	})
}

// TestH04: one that acts alone below min-copies asks before each answer: another
// of W may have been restored.
func TestH04(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 3, 2)
		r.set(1, "k", "old")
		r.change(actingAre(1))
		r.run()
		r.nextTerm(actingAre(2), 2, 3)
		r.nextTerm(actingAre(2, 3), 2, 3)
		return !r.readsOldAt1()
	})
}

// TestH04Confirm: a confirmation counts for the reads that were there when it was
// asked for, and for no later one.
func TestH04Confirm(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 1)
		r.set(1, "k", "old")
		r.mono += r.view.LeaseTTL
		first := r.read(1, name("k"))
		r.run()
		r.nextTerm(actingAre(2), 2)
		r.pass(r.view.LeaseTTL)
		r.set(2, "k", "new")
		second := r.read(1, name("k"))
		r.confirmAll(1) // the answer to the first was on its way for long
		if !r.reads(first, "old") {
			t.Error("a read that was confirmed is not answered")
		}
		return !r.reads(second, "old")
	})
}

// TestH05: what too few copies hold at a new term is not shown: it may be lost.
func TestH05(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 3, 2)
		r.set(1, "k", "old")
		r.drop = lost(MsgAppend)
		r.write(1, setTo("k", "tail"))
		r.run()
		r.drop = nil
		r.change(actingAre(1))
		r.pass(100 * time.Millisecond)
		token := r.read(1, name("k"))
		r.run()
		r.confirmAll(1)
		return !r.reads(token, "tail")
	})
}

// TestH07: a copy that has begun to be emptied is not whole after a crash.
func TestH07(t *testing.T) {
	holds(t, func() bool {
		r := returner(t, 2, true, func(r *rig) {
			for _, k := range []string{"a", "b", "c", "d", "e"} {
				r.set(1, k, "v")
			}
		})
		pages := 0
		r.drop = func(p parcel) bool {
			if p.msg.Type == MsgPage {
				pages++
			}
			return pages > 1
		}
		r.learn(2, 1)
		r.run()
		if len(r.host(2).store.items) == 0 {
			t.Fatal("nothing was copied")
		}
		r.restart(2, actingAre(1))
		return !r.host(2).core.Inspect(0).Whole
	})
}

// TestH07Staged: a whole copy that learns what it missed stays the whole copy that
// it was until it has everything.
func TestH07Staged(t *testing.T) {
	r := returner(t, 2, false, func(r *rig) {
		r.do(1, Request{Op: OpDelete, Key: name("gone")})
		r.set(1, "old", "2")
		for i := range 8 {
			r.set(1, fmt.Sprint("filler", i), "v")
		}
	})
	before := len(r.host(2).store.batches)
	pages := 0
	r.drop = func(p parcel) bool {
		if p.msg.Type == MsgPage {
			pages++
		}
		return p.msg.Type == MsgPage && pages > 1
	}
	r.learn(2, 1)
	r.set(1, "more", "live")
	r.pass(time.Second)
	if pages < 2 {
		t.Fatal("there is nothing to hold back")
	}
	if n := len(r.host(2).store.batches); n != before {
		t.Errorf("%d batches before everything is there", n-before)
	}
	r.restart(2, actingAre(1))
	if !r.host(2).core.Inspect(0).Whole || r.stored(2, "old") != "1" || r.stored(2, "gone") != "1" {
		t.Errorf("%+v", r.host(2).core.Inspect(0))
	}
	r.drop = nil
	r.pass(2 * r.view.LeaseTTL)
	r.learn(2, 1)
	r.pass(time.Second)
	if !r.handoff() || r.stored(2, "old") != "2" || r.stored(2, "gone") != "" || r.stored(2, "more") != "live" {
		t.Error("it never caught up")
	}
}

// TestH09: a restarted primary has lost a seq that it gave; it takes it from the
// others before it gives any.
func TestH09(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 1)
		r.host(1).slowDisk = true
		r.write(1, setTo("k", "lost here"))
		r.run()
		r.restart(1, actingAre(2, 1))
		r.host(1).slowDisk = false
		r.pass(3 * r.view.LeaseTTL)
		level := r.stored(1, "k") == "lost here"
		r.change(actingAre(1, 2))
		r.pass(3 * r.view.LeaseTTL)
		r.do(1, setTo("other", "v"))
		a, b := r.host(1).core.Inspect(0), r.host(2).core.Inspect(0)
		return level && a.Last == b.Last && a.Digest == b.Digest
	})
}

// TestH10: a write that was sequenced is never answered MOVED: it would be sent
// again, and done twice.
func TestH10(t *testing.T) {
	for _, next := range [][]ring.ServerID{{2, 1, 3}, {2, 3}} { // it goes on acting, and it does not
		holds(t, func() bool {
			r := acting(t, 3, 2)
			r.drop = lost(MsgAck)
			q := Request{Op: OpAppend, Key: name("k"), Value: []byte("x")}
			token := r.write(1, q)
			r.run()
			r.drop = nil
			r.change(actingAre(next...))
			r.pass(2 * r.view.LeaseTTL)
			if r.answered(token).Status == StatusMoved {
				r.do(2, q)
			}
			return r.get(2, "k") == "x"
		})
	}
}

// TestH11: acting replicas undo nothing; one that is out repairs what it alone wrote,
// by key.
func TestH11(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 3, 2)
		r.set(1, "k", "old")
		r.drop = lost(MsgAppend)
		r.write(1, setTo("k", "new"))
		r.run()
		r.drop = nil
		r.change(actingAre(2, 3, 1)) // the longest log of all that act
		r.pass(2 * r.view.LeaseTTL)
		if r.get(2, "k") != "new" || r.stored(3, "k") != "new" {
			t.Error("an entry of the longest log was undone")
		}
		r.drop = lost(MsgAppend)
		r.write(2, setTo("k", "newer"))
		r.run()
		r.drop = nil
		r.change(actingAre(1, 3)) // s2 is out, with what it alone has
		r.pass(2 * r.view.LeaseTTL)
		r.learn(2, 1)
		r.pass(time.Second)
		s := r.host(2).core.Stats()
		return r.stored(2, "k") == "new" && s.FullCopies == 0 && s.DigestMismatches == 0
	})
}
