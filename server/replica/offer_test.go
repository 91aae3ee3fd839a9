package replica

import (
	"slices"
	"testing"
	"time"

	"viewring/ring"
)

// offers counts how often a restore was asked for in the present term.
func (r *rig) offers() (n int) {
	for _, q := range r.asked {
		if q.Kind == AskRestore && q.Term == r.view.Partitions[0].Term {
			n++
		}
	}
	return n
}

// left makes a view in which some servers are up and s1, down, is all that acts of
// [1 2]; or nobody does.
func (r *rig) left(acting []ring.ServerID, up ...ring.ServerID) {
	r.nextView(func(v *ring.View) {
		for i := range v.Members {
			v.Members[i].Up = slices.Contains(up, v.Members[i].ID)
		}
		v.Partitions[0].Acting, v.Partitions[0].Term = acting, v.Epoch
	})
	for _, h := range r.hosts {
		h.adopt()
	}
}

// behind is a rig whose s1 acts alone of W = [1 2] with min-copies 2, and whose s2
// has restarted and learns from it.
func behind(t *testing.T) *rig {
	r := acting(t, 3, 2)
	r.change(actingAre(1, 2))
	r.set(1, "a", "1")
	r.host(2).crash()
	r.change(actingAre(1))
	r.pass(r.view.LeaseTTL)
	r.restart(2, actingAre(1))
	r.learn(2, 1)
	r.pass(2 * r.view.LeaseTTL)
	if r.offers() > 0 {
		t.Fatal("a restore is asked for while s1 acts and is up")
	}
	return r
}

// TestOffer: a member of W that learned offers its copy when nobody of acting is
// up, again and again, and serves from it.
func TestOffer(t *testing.T) {
	for _, acting := range [][]ring.ServerID{nil, {1}} {
		r := behind(t)
		r.host(1).crash()
		r.left(acting, 2, 3)
		r.pass(time.Second)
		if n := r.offers(); n < 2 || n > 6 {
			t.Fatalf("acting %v: offered %d times in a second", acting, n)
		}
		r.change(actingAre(2))
		r.pass(2 * r.view.LeaseTTL)
		token := r.read(2, name("a"))
		r.run()
		r.confirmAll(2)
		if a := r.answered(token); string(a.Value) != "1" || r.offers() > 0 {
			t.Errorf("acting %v: it serves %+v, and offers %d times", acting, a, r.offers())
		}
	}
}

// TestNothingToOffer: what may lack something is not offered.
func TestNothingToOffer(t *testing.T) {
	for what, spoil := range map[string]func(r *rig){
		"unfinished": func(r *rig) { r.host(2).core.part(0).state = learning },
		"unfit":      func(r *rig) { r.host(2).core.part(0).damage = unfit },
		"not durable": func(r *rig) {
			r.host(2).slowDisk = true
			r.host(2).core.part(0).touch()
		},
		"not of W": func(r *rig) { r.change(func(p *ring.Partition) { p.Writable = []ring.ServerID{1} }) },
		"enough act": func(r *rig) {
			r.change(func(p *ring.Partition) { p.Acting, p.MinCopies = []ring.ServerID{1}, 1 })
		},
	} {
		r := behind(t)
		r.host(1).crash()
		spoil(r)
		if r.left(nil, 2); what == "enough act" {
			r.left([]ring.ServerID{1}, 2)
		}
		r.asked = nil
		r.pass(2 * time.Second)
		if n := r.offers(); n > 0 {
			t.Errorf("%s: offered %d times", what, n)
		}
	}
}

// TestDamagedOffersLate: a copy with a bad block leaves it to sound ones for a while.
func TestDamagedOffersLate(t *testing.T) {
	r := behind(t)
	r.host(1).crash()
	r.host(2).core.part(0).damage = damaged
	r.left(nil, 2)
	r.pass(damagedOffersAfter - 100*time.Millisecond)
	if n := r.offers(); n > 0 {
		t.Errorf("offered %d times at once", n)
	}
	r.pass(time.Second)
	if r.offers() == 0 {
		t.Error("never offered")
	}
}

// TestReturner: a member of W that leaves, and fell out before the targets had copies,
// acts again: else its partition took no writes until one of them has copied everything,
// and none ever can where the acting copy has a block that can't be read (seed 11003433
// of the simulation).
func TestReturner(t *testing.T) {
	holds(t, func() bool {
		r := acting(t, 3, 2)
		r.change(actingAre(1, 2))
		r.set(1, "k", "old")
		r.nextView(func(v *ring.View) { v.Members[1].Status = ring.Leaving })
		r.change(actingAre(1))
		r.pass(2 * r.view.LeaseTTL)
		r.learn(2, 1)
		r.pass(time.Second)
		if !r.handoff() {
			return false
		}
		r.pass(2 * r.view.LeaseTTL)
		token := r.write(1, put("k", "new"))
		r.run()
		return r.answered(token).Status == StatusOK && r.stored(2, "k") == "new"
	})
}
