package replica

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"viewring/ring"
)

// TestH12: a page comes from a source that has all that the learner's subscription
// takes for granted.
func TestH12(t *testing.T) {
	holds(t, func() bool {
		r := returner(t, 3, true, func(r *rig) { r.set(1, "k", "old") })
		r.drop = func(p parcel) bool { return p.msg.Type == MsgAppend && p.to == 2 }
		r.write(1, setTo("k", "new"))
		r.run()
		r.learn(3, 2)
		r.run()
		r.drop = nil
		r.pass(2 * time.Second)
		return r.joins(3) && r.stored(3, "k") == "new"
	})
}

// TestH13: an append reaches a learner that has not copied its key, and a page
// from before the append after it.
func TestH13(t *testing.T) {
	holds(t, func() bool {
		r := returner(t, 2, true, func(r *rig) { r.set(1, "k", "a") })
		release := r.hold(lost(MsgPage))
		r.learn(2, 1)
		r.run()
		r.do(1, Request{Op: OpAppend, Key: name("k"), Value: []byte("b")})
		r.drop = nil
		release()
		r.pass(2 * time.Second)
		return r.joins(2) && r.stored(2, "k") == "ab"
	})
}

// overtaken starts a rig whose s2 learns: it has a live write of "k", then hears of
// what happens next before a page that was read before that.
func overtaken(t *testing.T, next Request) *rig {
	r := returner(t, 2, true, func(*rig) {})
	r.drop = lost(MsgFetch)
	r.learn(2, 1)
	r.run()
	r.set(1, "k", "first") // absent there as here: applied as it comes
	release := r.hold(lost(MsgPage))
	r.pass(learnRetryAfter + 50*time.Millisecond)
	r.do(1, next)
	r.drop = nil
	if len(release()) == 0 {
		t.Fatal("there is no page")
	}
	r.pass(2 * time.Second)
	return r
}

// TestH13NewerStays: what a live entry made is not replaced by a page from before it.
func TestH13NewerStays(t *testing.T) {
	holds(t, func() bool {
		r := overtaken(t, setTo("k", "second"))
		return r.joins(2) && r.stored(2, "k") == "second"
	})
}

// TestDeletedStays: a deleted key does not come back with a page from before.
func TestDeletedStays(t *testing.T) {
	holds(t, func() bool {
		r := overtaken(t, Request{Op: OpDelete, Key: name("k")})
		return r.joins(2) && r.stored(2, "k") == ""
	})
}

// TestH14: histories decide what is old, not versions alone: a dropped write of a
// later term must not survive an older one that counts.
func TestH14(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 1)
		r.set(1, "k", "counts")
		r.change(actingAre(1, 2))
		r.pass(2 * r.view.LeaseTTL)
		r.drop = lost(MsgAppend)
		r.write(1, setTo("k", "dropped"))
		r.run()
		r.drop = nil
		r.change(actingAre(2))
		r.pass(2 * r.view.LeaseTTL)
		r.learn(1, 2)
		r.pass(time.Second)
		s := r.host(1).core.Stats()
		return r.handoff() && r.stored(1, "k") == "counts" && s.FullCopies == 0 && s.DigestMismatches == 0
	})
}

// TestH14Uncommitted: a page shows what is committed. (Should one not, the learner
// remembers, and starts over where it could have been dropped: one full copy more.)
func TestH14Uncommitted(t *testing.T) {
	r := returner(t, 3, true, func(r *rig) {
		for i := range 5 {
			r.set(1, fmt.Sprint("key", i), "v")
		}
	})
	r.change(func(p *ring.Partition) {
		actingAre(1, 2)(p)
		p.MinCopies = 2
	})
	r.pass(2 * r.view.LeaseTTL)
	r.drop = lost(MsgFetch)
	r.learn(3, 1)
	r.run()
	r.drop = lost(MsgAppend)
	r.write(1, setTo("a first key", "tail"))
	r.pass(2 * learnRetryAfter)
	r.host(1).crash()
	r.drop = nil
	r.change(actingAre(2))
	r.pass(3 * r.view.LeaseTTL)
	if s := r.host(3).core.Stats(); s.FullCopies != 1 || s.DigestMismatches != 0 {
		t.Errorf("%+v", s)
	}
	if got := r.stored(3, "a first key"); r.stored(3, "key0") != "v" || got != "" {
		t.Errorf("what was dropped reads %q", got)
	}
}

// TestH15: a full copy begins empty: what was deleted beyond the index does not
// come back.
func TestH15(t *testing.T) {
	holds(t, func() bool {
		r := returner(t, 2, false, func(r *rig) {
			r.do(1, Request{Op: OpDelete, Key: name("gone")})
			for i := range 20 {
				r.set(1, fmt.Sprint("key", i), "v")
			}
		}, Limits{IndexRows: 4, IndexTrimEvery: 2})
		r.learn(2, 1)
		r.pass(2 * time.Second)
		return r.joins(2) && r.stored(2, "gone") == ""
	})
}

// TestH16: a negative answer under a request id is logged: its late duplicate
// answers the same, though it could succeed now.
func TestH16(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 2)
		r.set(1, "k", "v")
		q := request(1, 1, 0)
		q.Op, q.Cond = OpSet, CondAbsent
		if a := r.do(1, q); a.Status != StatusCondFailed {
			t.Fatalf("%+v", a)
		}
		r.do(1, Request{Op: OpDelete, Key: name("k")})
		return r.do(1, q).Status == StatusCondFailed && r.get(1, "k") == ""
	})
}

// TestH16Deposed: without an id, too, a negative answer needs more than a belief
// in one's own term.
func TestH16Deposed(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 1)
		r.set(1, "k", "v")
		r.nextTerm(actingAre(2), 2)
		r.pass(2 * r.view.LeaseTTL)
		r.do(2, Request{Op: OpDelete, Key: name("k")})
		token := r.write(1, Request{Op: OpSet, Cond: CondAbsent, Key: name("k")})
		r.run()
		_, answered := r.got[token]
		return !answered
	})
}

// TestH17: a retry is answered together with the first try.
func TestH17(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 2)
		r.drop = lost(MsgAck)
		first := r.write(1, request(1, 1, 0))
		again := r.write(1, request(1, 1, 0))
		r.run()
		_, early := r.got[again]
		r.drop = nil
		r.pass(time.Second)
		return !early && r.answered(first).Number == 1 && r.answered(again).Number == 1
	})
}

// TestH17Collected: an id whose record is gone is refused, whether the client's
// mark or its age took it.
func TestH17Collected(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 2)
		r.do(1, request(1, 1, 0))
		r.do(1, request(1, 2, 0))
		a := r.do(1, request(1, 1, 0))
		return a.Status == StatusExpiredID && r.get(1, "k") == "xx"
	})
	holds(t, func() bool {
		r := acting(t, 2, 2)
		r.do(1, request(1, 1, 0))
		r.age()
		a := r.do(1, request(1, 1, 0))
		return a.Status == StatusExpiredID && r.get(1, "k") == "x"
	})
}

// TestH22: one target that cannot be reached does not keep another from acting.
func TestH22(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 3, 1)
		r.host(2).crash()
		r.host(3).crash()
		r.change(actingAre(1))
		r.pass(2 * r.view.LeaseTTL)
		r.restart(3, actingAre(1))
		r.pass(2 * r.view.LeaseTTL)
		r.learn(3, 1)
		r.pass(time.Second)
		return r.handoff() && slices.Equal(r.view.Partitions[0].Acting, []ring.ServerID{1, 3})
	})
}

// TestH25: a restarted server forgot what it promised; it waits as long as that
// could hold.
func TestH25(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 1)
		r.set(1, "k", "old")
		r.nextView(func(v *ring.View) {
			v.Members[1].Incarnation++
			actingAre(2)(&v.Partitions[0])
			v.Partitions[0].Term = v.Epoch
		})
		r.host(2).boot(false)
		r.host(2).adopt()
		r.write(2, setTo("k", "new"))
		r.run()
		written := r.stored(2, "k") == "new"
		if r.get(1, "k") != "old" {
			t.Error("s1 has a lease and does not use it")
		}
		r.pass(r.view.LeaseTTL)
		if r.stored(2, "k") != "new" {
			t.Error("the wait is longer than a lease")
		}
		return !written
	})
}

// TestH25LongestLease: the wait after a start is for the longest L that was ever
// promised, and a promise to an earlier start counts for nothing.
func TestH25LongestLease(t *testing.T) {
	r := newRig(t, 1)
	h := r.host(1)
	core, err := NewCore(Config{Self: 1, Incarnation: 1, Lanes: 1, LeaseSeen: 10 * time.Second}, h.store, h.at())
	if err != nil {
		t.Fatal(err)
	}
	h.core = core
	r.change(actingAre(1))
	r.pass(9900 * time.Millisecond)
	if core.Inspect(0).Serving {
		t.Error("serves before the longest lease is over")
	}
	r.pass(100 * time.Millisecond)
	if !core.Inspect(0).Serving {
		t.Error("does not serve after it")
	}
	later := NewNode(1, 2)
	if _, ok := later.OnPromise(h.at(), 2, NewNode(2, 1).OnPing(h.at(), 1, h.node.Ping(h.at()))); ok {
		t.Error("a promise to an earlier start counts")
	}
}

// TestH26: digests are compared at the head of the log with everything durable,
// never while writes are under way; then, and only then, a stray may go.
func TestH26(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 4, 2)
		targets := r.host(1).core.table.Targets(0)
		stray := ring.ServerID(10)
		for _, id := range targets {
			stray -= id
		}
		r.drop = func(p parcel) bool { return p.from == stray }
		r.change(actingAre(targets...))
		r.pass(2 * r.view.LeaseTTL)
		r.drop = lost(MsgAck)
		r.write(targets[0], setTo("k", "v"))
		r.pass(2 * strayAskEvery)
		kept := r.host(stray).core.Inspect(0).Whole
		r.drop = nil
		r.pass(2 * time.Second)
		if r.host(stray).core.Inspect(0).Whole {
			t.Error("a stray is kept though all that count agree")
		}
		return kept
	})
}

// TestH28: a server that drains acts until others are enough.
func TestH28(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 3, 2)
		r.change(actingAre(1, 2))
		r.pass(2 * r.view.LeaseTTL)
		drop := func() bool {
			return slices.ContainsFunc(r.asked, func(q LeaderRequest) bool {
				return q.Kind == AskEject && q.Acting[0].ID == 2 && q.Term == r.view.Partitions[0].Term
			})
		}
		r.nextView(func(v *ring.View) { v.Members[1].Status = ring.Draining })
		for _, h := range r.hosts {
			h.adopt()
		}
		r.pass(time.Second)
		early := drop()
		r.change(actingAre(1, 2, 3))
		r.pass(time.Second)
		if !drop() {
			t.Error("it does not go when others are enough")
		}
		return !early
	})
}

// TestH30: a read that waited for a commit looks at the lease before it is
// answered: the acknowledgement may have been on its way for long.
func TestH30(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 1)
		release := r.hold(lost(MsgAck))
		r.write(1, setTo("k", "older"))
		r.run()
		r.nextTerm(actingAre(2), 2)
		r.pass(r.view.LeaseTTL)
		r.set(2, "k", "new")
		token := r.read(1, name("k"))
		r.run()
		release()
		r.run()
		if r.host(1).core.Inspect(0).Commit == 0 {
			t.Error("the acknowledgements came to nothing")
		}
		return !r.reads(token, "older")
	})
}

// TestH30Deposed: a read that waits when its primary is deposed goes elsewhere.
func TestH30Deposed(t *testing.T) {
	r := acting(t, 2, 2)
	r.drop = lost(MsgAck)
	r.write(1, setTo("k", "v"))
	token := r.read(1, name("k"))
	r.run()
	r.change(actingAre(2, 1))
	r.run()
	if a := r.answered(token); a.Status != StatusMoved {
		t.Errorf("%+v", a)
	}
}

// TestOldSubscription: a "ready" from before a learner lost its copy is no word on
// the copy that it makes now.
func TestOldSubscription(t *testing.T) {
	holds(t, func() bool {
		r := returner(t, 2, false, func(r *rig) { r.set(1, "k", "v") })
		release := r.hold(func(p parcel) bool { return p.msg.Type == MsgAck && p.msg.Flags&flagReady != 0 })
		r.learn(2, 1)
		r.pass(500 * time.Millisecond)
		r.host(2).store = newMemory()
		r.nextView(func(v *ring.View) { v.Members[1].Incarnation++ }) // it does not act: the term stays
		r.host(2).boot(false)
		for _, h := range r.hosts {
			h.adopt()
		}
		r.drop = lost(MsgPage)
		r.learn(2, 1)
		r.run()
		if len(release()) == 0 {
			t.Fatal("the learner was not ready")
		}
		r.pass(200 * time.Millisecond)
		return !r.handoff()
	})
}

// TestSubscribeTwice: a learner that was dropped meanwhile, and whose Subscribe comes once
// more, goes by the first answer: the second one says more than it has (seed 60041291).
func TestSubscribeTwice(t *testing.T) {
	r := returner(t, 2, false, func(r *rig) { r.set(1, "a", "1") })
	var subscribe parcel
	r.drop = func(p parcel) bool {
		if p.msg.Type == MsgSubscribe {
			subscribe = p
		}
		return p.msg.Type == MsgPage
	}
	r.learn(2, 1)
	r.run()
	for _, up := range []bool{false, true} {
		r.nextView(func(v *ring.View) { v.Members[1].Up = up })
		r.host(1).adopt()
	}
	r.host(2).adopt()
	r.set(1, "b", "2") // nobody follows: it is in no window any more
	r.drop = lost(MsgSubscribed, MsgPage)
	r.deliver(subscribe)
	r.run()
	r.set(1, "c", "3")
	r.drop = nil
	r.pass(10 * time.Second)
	if !r.handoff() || r.stored(2, "b") != "2" {
		t.Error("the learner learns no more")
	}
}

// TestFirstReady: what a learner told before it was ready is what it had, not what was
// durable there. Its first "ready" says that, also where it is less.
func TestFirstReady(t *testing.T) {
	r := returner(t, 2, false, func(r *rig) { r.set(1, "a", "1") })
	r.drop = lost(MsgPage)
	r.learn(2, 1)
	r.run()
	p := r.host(1).core.part(0)
	f := p.lead.follower(2)
	if f == nil || f.ready() {
		t.Fatalf("%+v does not learn", f)
	}
	head := p.log.last.Seq
	tell := func(flags uint8, seq uint64) {
		r.deliver(parcel{2, 1, &Message{Type: MsgAck, Partition: 0, Term: p.term, Flags: flags, Sub: f.sub, Seq: seq}})
	}
	tell(0, head)
	if f.match != head || f.ready() {
		t.Fatalf("it has %d, and is taken to have %d", head, f.match)
	}
	tell(flagReady, head-1)
	if f.match != head-1 || !f.ready() {
		t.Errorf("%d is durable there, %d is taken to be (ready: %v)", head-1, f.match, f.ready())
	}
}

// TestOldMarks: what was synced of a log that was replaced meanwhile says nothing
// of the one that took its place.
func TestOldMarks(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 1, Limits{StageBytes: 1})
		r.host(2).slowDisk = true
		r.set2(1, "k", "v")
		r.change(actingAre(1))
		r.pass(2 * r.view.LeaseTTL)
		r.set(1, "k", "w")
		r.learn(2, 1)
		r.pass(time.Second) // a delta is too large for the stage: everything is copied
		ready := false
		r.drop = func(p parcel) bool {
			ready = ready || p.from == 2 && p.msg.Type == MsgAck && p.msg.Flags&flagReady != 0
			return false
		}
		if n := len(r.host(2).unsynced); n < 2 {
			t.Fatalf("%d batches are not durable", n)
		}
		r.host(2).syncFirst()
		r.run()
		early := ready
		r.host(2).sync()
		r.run()
		if !ready {
			t.Error("not ready when everything is durable")
		}
		return !early
	})
}

// set2 writes without waiting for the answer.
func (r *rig) set2(to ring.ServerID, key, value string) {
	r.write(to, setTo(key, value))
	r.run()
}

// TestWritesOfAFormerLife: a partition is made anew at the primary that it had
// before, which has seen no view in between. What it sequenced then is gone, and
// must not be taken for what it sequences under the same numbers now.
func TestWritesOfAFormerLife(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 2, 2)
		r.drop = lost(MsgAck)
		former := r.write(1, setTo("k", "former"))
		r.run()
		r.change(func(p *ring.Partition) {
			p.Acting, p.Writable, p.MinCopies, p.ResetTerm = []ring.ServerID{1}, []ring.ServerID{1}, 1, r.view.Epoch+1
		})
		r.run()
		r.set(1, "other", "v")
		r.pass(500 * time.Millisecond)
		return r.answered(former).Status == StatusUnknown && r.get(1, "k") == ""
	})
}
