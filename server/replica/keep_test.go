package replica

import (
	"testing"
	"time"

	"viewring/ring"
)

// tailed starts a rig of two whose s1 has written k where s2 did not get it. s2 then
// acts alone.
func tailed(t *testing.T, min int) *rig {
	r := acting(t, 2, min)
	r.set(1, "k", "old")
	r.set(1, "other", "v")
	r.drop = lost(MsgAppend)
	r.write(1, setTo("k", "tail"))
	r.run()
	r.drop = nil
	r.change(actingAre(2))
	r.pass(2 * r.view.LeaseTTL)
	return r
}

// TestTailGoesOn: too few act, so nothing was sequenced since: what a member of W has
// above the acting replica's log is that log's tail. It comes back as it is.
func TestTailGoesOn(t *testing.T) {
	r := tailed(t, 2)
	r.joinsFrom(1, 2)
	r.pass(2 * r.view.LeaseTTL)
	r.wantStored("k", "tail")
	if s := r.host(1).core.Stats(); s.FullCopies+s.DeltaCopies != 0 {
		t.Errorf("copied: %+v", s)
	}
	if got := r.get(r.view.Partitions[0].Primary(), "k"); got != "tail" {
		t.Errorf("read %q", got)
	}
}

// TestTailDoesNotGoOn: enough act without it, and have gone on: the tail is dropped.
func TestTailDoesNotGoOn(t *testing.T) {
	holds(t, func() bool {
		r := tailed(t, 1)
		r.change(func(p *ring.Partition) {
			actingAre(2)(p)
			p.Writable = []ring.ServerID{1, 2} // as it is until the view leader knows better
		})
		r.pass(2 * r.view.LeaseTTL)
		r.learn(1, 2)
		r.run()
		r.write(2, setTo("k", "counts"))
		r.pass(time.Second)
		return r.handoff() && r.stored(1, "k") == "counts" && r.stored(2, "k") == "counts"
	})
}

// TestUnfinishedDoesNotGoOn: a member of W that had to give its copy up has begun to copy
// a log that is longer than that of who is restored then. It is not whole.
func TestUnfinishedDoesNotGoOn(t *testing.T) {
	r := acting(t, 3, 2)
	r.set(1, "k", "old")
	r.drop = lost(MsgAppend)
	r.write(1, setTo("k", "tail"))
	r.run()
	r.drop = lost(MsgPage)
	r.change(actingAre(1))
	r.pass(2 * r.view.LeaseTTL)
	r.host(2).core.parts[0].spoil(unfit)
	r.learn(2, 1)
	r.run()
	if r.host(2).core.parts[0].state != learning {
		t.Fatal("s2 keeps its copy")
	}
	r.host(1).crash()
	r.change(actingAre(3))
	r.pass(2 * r.view.LeaseTTL)
	if r.handoff() {
		t.Fatal("handed off to an unfinished copy")
	}
	r.drop = nil
	r.pass(8 * time.Second)
	if !r.handoff() {
		t.Fatal("no handoff when everything is copied")
	}
	r.pass(2 * r.view.LeaseTTL)
	if got := r.stored(2, "k"); got != "old" {
		t.Errorf("s2 stores %q", got)
	}
}

// TestTailHealsTheSoleCopy: the replica that acts alone cannot read a key that the
// other member of W has overwritten in its tail: nobody has the bytes from before.
func TestTailHealsTheSoleCopy(t *testing.T) {
	r := tailed(t, 2)
	r.host(2).spoilKey("k")
	r.host(2).store.badBlock = true
	r.host(2).core.Damaged(r.host(2).at(), 0)
	r.joinsFrom(1, 2)
	r.asksOut(2, 1)
	r.joinsFrom(2, 1)
	r.pass(2 * r.view.LeaseTTL)
	r.wantStored("k", "tail")
	r.wantStored("other", "v")
}

// TestDeltaInPlace: a delta that is too large for memory goes on in place: what the
// returner alone wrote goes, what it has in common stays, and nothing is copied that did
// not change. A restart in the middle makes the copy worth nothing.
func TestDeltaInPlace(t *testing.T) {
	for _, restart := range []bool{false, true} {
		r := acting(t, 2, 1, Limits{StageBytes: 50})
		r.set(1, "common", "v")
		r.set(1, "k", "old")
		r.set(1, "gone", "v")
		r.drop = lost(MsgAppend)
		r.write(1, batchOf("k", "dropped", "mine", "dropped"))
		r.run()
		r.drop = nil
		r.change(actingAre(2))
		r.pass(2 * r.view.LeaseTTL)
		r.do(2, batchOf("gone", "-", "new", "v"))
		r.drop = lost(MsgPage)
		r.learn(1, 2)
		r.run()
		if p := r.host(1).core.parts[0]; p.state != learning || p.learn.phase == staging || r.stored(1, "common") != "v" {
			t.Fatalf("state %v, learner %v", p.state, p.learn.phase)
		}
		if restart {
			r.host(1).crash()
			r.restart(1, actingAre(2))
			r.learn(1, 2)
		}
		r.drop = nil
		r.set2(2, "later", "v")
		r.pass(3 * time.Second)
		if s := r.host(1).core.Stats(); !r.handoff() || s.DigestMismatches != 0 || s.FullCopies != 0 != restart || !restart && s.CopiedKeys > 4 {
			t.Errorf("restart %v: %+v", restart, s)
		}
		r.pass(2 * r.view.LeaseTTL)
		for key, want := range map[string]string{"common": "v", "k": "old", "gone": "", "mine": "", "new": "v", "later": "v"} {
			r.wantStored(key, want)
		}
	}
}

// TestUnreadableTail: the replica that acts alone cannot read which keys its tail has.
// Nobody can be told what may be read, but a member of W comes back as it is, shorter or
// longer, and goes on when the other one has left.
func TestUnreadableTail(t *testing.T) {
	for alone := ring.ServerID(1); alone <= 2; alone++ {
		back := 3 - alone
		r := tailed(t, 2) // s1 is the longer one
		r.host(1).crash()
		r.host(2).crash()
		r.host(alone).store.badRows = true
		r.restart(alone, actingAre(alone))
		r.pass(2 * r.view.LeaseTTL)
		r.restart(back, actingAre(alone))
		r.pass(2 * r.view.LeaseTTL)
		if alone == 1 { // the tail is its own
			token := r.read(1, name("other"))
			r.run()
			if a := r.answered(token); a.Status != StatusUnavailable {
				t.Errorf("%+v", a)
			}
		}
		r.joinsFrom(back, alone)
		if alone == 1 {
			r.asksOut(1, 2)
			r.joinsFrom(1, 2)
		}
		r.pass(2 * r.view.LeaseTTL)
		want := map[ring.ServerID]string{1: "old", 2: "tail"}[alone]
		r.wantStored("k", want)
		r.wantStored("other", "v")
		if got := r.get(r.view.Partitions[0].Primary(), "k"); got != want {
			t.Errorf("s%d alone: %q", alone, got)
		}
	}
}

// TestUnknownDigest: a member of W with a bad block comes back below min-copies. It must
// not be wiped, and takes the newer state of what it cannot read.
func TestUnknownDigest(t *testing.T) {
	r := tailed(t, 2)
	r.change(actingAre(1)) // s2 is the one without the tail, and away
	r.host(2).spoilKey("k")
	r.host(2).store.badBlock = true
	r.host(2).core.Damaged(r.host(2).at(), 0)
	r.run()
	r.host(2).crash()
	r.restart(2, actingAre(1))
	r.pass(2 * r.view.LeaseTTL)
	r.learn(2, 1)
	r.pass(time.Second)
	if !r.handoff() {
		t.Fatal("no handoff")
	}
	r.pass(2 * r.view.LeaseTTL)
	r.wantStored("k", "tail")
	if s := r.host(2).core.Stats(); s.FullCopies != 0 {
		t.Errorf("wiped: %+v", s)
	}
	if r.host(2).core.parts[0].damage != damaged {
		t.Error("the bad block is forgotten")
	}
}
