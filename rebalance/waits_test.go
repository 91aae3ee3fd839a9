package rebalance

import (
	"slices"
	"testing"
	"time"

	"viewring/ring"
)

// TestWaits: a copy that does not come says why, by the first reason that applies.
func TestWaits(t *testing.T) {
	v, _ := converged(t, 1, members(4), 64)
	v, tab := joined(t, v)
	plan := missing(v, tab, 5)
	clock, l := newFakeClock(), learned{}
	m := NewMover(Config{Self: 5, Parallel: 100, Clock: clock}, l)
	none := func(ring.PartitionID) bool { return false }
	if got := m.Waits(none); got != nil {
		t.Errorf("without a view: %+v", got)
	}
	m.Adopt(v, tab)
	clock.advance(stallAfter - time.Second)
	if got := m.Waits(none); got != nil {
		t.Errorf("too early: %+v", got)
	}
	clock.advance(time.Second)
	from := map[ring.ServerID]int{}
	for _, sources := range l {
		from[sources[0]]++
	}
	total := 0
	for i, w := range m.Waits(none) {
		if w.Why != WhySilent || w.Copies != from[w.On] || w.For != stallAfter || i > 0 && w.Copies > from[m.Waits(none)[0].On] {
			t.Errorf("%+v, %v", w, from)
		}
		total += w.Copies
	}
	if total != len(plan) {
		t.Errorf("%d wait of %d", total, len(plan))
	}

	// One source is lively, one copy waits for its primary, one for the rate.
	lively := plan[0].Partition
	source := l[lively][0]
	m.Copied(lively, 100)
	whole, held := plan[1].Partition, plan[2].Partition
	m.Whole(whole)
	clock.advance(stallAfter / 2)
	m.Copied(lively, 100)
	clock.advance(stallAfter / 2)
	seen := map[Why]int{}
	for _, w := range m.Waits(func(p ring.PartitionID) bool { return p == held }) {
		seen[w.Why] += w.Copies
		switch {
		case w.Why == WhyPrimary && w.On != v.Partitions[whole].Primary(), w.Why == WhyLimit && (w.On != 0 || w.One != held),
			(w.Why == WhySlow) != (w.On == source && w.Why != WhyPrimary):
			t.Errorf("%+v", w)
		}
	}
	if seen[WhyPrimary] != 1 || seen[WhyLimit] != 1 || seen[WhySlow] == 0 || seen[WhySlow]+seen[WhySilent] != len(plan)-3 {
		t.Errorf("%v", seen)
	}
	m.Pause()
	if got := m.Waits(none); len(got) != 1 || got[0].Why != WhyPaused || got[0].Copies != len(plan) {
		t.Errorf("paused: %+v", got)
	}
	m.Resume()
	if got := m.Waits(none); got != nil {
		t.Errorf("resumed: %+v", got)
	}
}

// TestStretch: progress is of the newest stretch, and the rate seen is of the seconds in which
// something came.
func TestStretch(t *testing.T) {
	v, _ := converged(t, 1, members(4), 64)
	v, tab := joined(t, v)
	plan := missing(v, tab, 5)
	clock := newFakeClock()
	m := NewMover(Config{Self: 5, Parallel: 100, Clock: clock}, learned{})
	clock.advance(time.Second)
	m.Adopt(v, tab)
	half := len(plan) / 2
	all := make([]ring.PartitionID, len(plan))
	for i, tr := range plan {
		if all[i] = tr.Partition; i == half {
			clock.advance(time.Hour) // a pause
		}
		m.Copied(tr.Partition, 50_000)
		m.Copied(tr.Partition, 50_000)
		clock.advance(time.Second)
	}
	if got := m.Progress(); got.StretchDone != 0 || got.StretchBytes != uint64(100_000*len(plan)) || got.Seen != 100_000 {
		t.Errorf("%+v", got)
	}
	m.Adopt(act(v, 5, all[:half]...), tab)
	if got := m.Progress(); got.StretchDone != half || got.Left != len(plan)-half || got.LeftBytes != 0 { // all bytes have come
		t.Errorf("half way: %+v", got)
	}
	whole := act(v, 5, all...)
	whole.Epoch += 2
	m.Adopt(whole, tab)
	if got := m.Progress(); got.StretchDone != len(plan) || got.Left != 0 || got.Seen != 100_000 {
		t.Errorf("over: %+v", got)
	}
	again := whole.Clone() // it lacks one once more
	again.Epoch++
	p := all[0]
	again.Partitions[p].Acting = slices.DeleteFunc(again.Partitions[p].Acting, func(id ring.ServerID) bool { return id == 5 })
	clock.advance(time.Minute)
	m.Adopt(again, tab)
	m.Copied(p, 70)
	if got := m.Progress(); got.StretchDone != 0 || got.StretchBytes != 70 || got.Seen != 100_000 || got.Done != len(plan) || got.LeftBytes != 0 {
		t.Errorf("the next stretch: %+v", got)
	}
}
