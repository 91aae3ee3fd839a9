package replica

import (
	"slices"
	"testing"
	"time"

	"viewring/ring"
)

// stopsSince returns what was told of stops, and forgets it.
func (r *rig) stopsSince() []time.Duration {
	told := r.stop
	r.stop = nil
	return told
}

// TestStops: who serves next tells for how long the partition took no writes, whether it served before or not.
func TestStops(t *testing.T) {
	const state, view = 30 * time.Millisecond, 10 * time.Millisecond
	for _, next := range [][]int{{1, 2, 3}, {2, 1, 3}} {
		r := acting(t, 3, 2)
		r.stopsSince()
		r.nextTerm(actingAre(idsOf(next)...), 1)
		r.mono += view
		for _, h := range r.hosts {
			h.adopt()
		}
		release := r.hold(lost(MsgState))
		r.run()
		r.mono += state
		if told := r.stopsSince(); told != nil {
			t.Errorf("%v: %v, and nobody serves", next, told)
		}
		r.drop = nil
		release()
		r.doneBy(1)
		r.run()
		// A State that was held says how it was when it was sent.
		want := []time.Duration{view + state}
		if next[0] != 1 {
			want[0] = view
		}
		if told := r.stopsSince(); len(told) != 1 || told[0] < want[0] || told[0] > view+state {
			t.Errorf("%v: stops of %v, want %v", next, told, want)
		}
	}
}

// doneBy tells all that a server serves no older term.
func (r *rig) doneBy(id ring.ServerID) {
	for _, h := range r.hosts {
		if h.id != id {
			h.core.PeerDone(h.at(), id, r.view.Epoch)
		}
	}
}

func idsOf(ns []int) []ring.ServerID {
	var ids []ring.ServerID
	for _, n := range ns {
		ids = append(ids, ring.ServerID(n))
	}
	return ids
}

// TestStopsQuiesced: writes that wait for those under way wait for the view too; where it comes later, that is a stop of its own.
func TestStopsQuiesced(t *testing.T) {
	for _, late := range []bool{false, true} {
		r := acting(t, 3, 2)
		r.host(3).slowDisk = true
		token := r.write(1, put("a", "1"))
		r.run()
		r.drain(1)
		r.mono += handoffEvery - r.mono%handoffEvery
		r.pings()
		r.ticks()
		r.host(3).sync()
		r.host(3).slowDisk = false
		r.run()
		if a := r.answered(token); a.Status != StatusOK {
			t.Fatalf("%+v", a)
		}
		r.stopsSince()
		took := quiesceMax / 2
		want := []time.Duration{took}
		if late {
			took = 2 * quiesceMax
			want = []time.Duration{quiesceMax}
		}
		r.mono += took
		r.change(actingAre(2, 3, 1))
		r.doneBy(1)
		r.run()
		told := r.stopsSince()
		told = slices.DeleteFunc(told, func(d time.Duration) bool { return d < time.Millisecond }) // nothing took any time
		if !slices.Equal(told, want) {
			t.Errorf("the view is late: %v: stops of %v, want %v", late, told, want)
		}
	}
}

// TestStopsOfTheDead: a primary that failed tells nobody since when.
func TestStopsOfTheDead(t *testing.T) {
	r := acting(t, 3, 2)
	r.stopsSince()
	r.host(1).crash()
	r.change(actingAre(2, 3))
	r.pass(3 * time.Second)
	if !r.host(2).core.Serves(0) {
		t.Fatal("nobody serves")
	}
	if told := r.stopsSince(); told != nil {
		t.Errorf("stops of %v are told", told)
	}
}
