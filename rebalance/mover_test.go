package rebalance

import (
	"slices"
	"sync"
	"testing"
	"time"

	"viewring/ring"
)

// fakeClock stands still until advanced.
type fakeClock struct {
	mu  sync.Mutex
	now time.Duration
}

func newFakeClock() *fakeClock { return &fakeClock{} }

func (c *fakeClock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += d
}

// learned records the calls of Learn.
type learned map[ring.PartitionID][]ring.ServerID

func (l learned) Learn(p ring.PartitionID, source ring.ServerID) { l[p] = append(l[p], source) }

func (l learned) sorted() (ps []ring.PartitionID) {
	for p := range l {
		ps = append(ps, p)
	}
	slices.Sort(ps)
	return ps
}

// act makes self act on p in a newer view.
func act(v *ring.View, self ring.ServerID, ps ...ring.PartitionID) *ring.View {
	next := v.Clone()
	next.Epoch++
	for _, p := range ps {
		next.Partitions[p].Term = next.Epoch
		next.Partitions[p].Acting = append(next.Partitions[p].Acting, self)
	}
	return next
}

func TestMoverToTheEnd(t *testing.T) {
	v, _ := converged(t, 1, members(4), 64)
	v, tab := joined(t, v)
	plan := missing(v, tab, 5)
	clock, l := newFakeClock(), learned{}
	m := NewMover(Config{Self: 5, Parallel: 4, Clock: clock}, l)
	m.Tick() // no view yet
	m.Adopt(v, tab)
	if got := m.Progress(); len(l) != 4 || got.Left != len(plan) || got.Running != 4 || got.TimeLeft >= 0 {
		t.Fatalf("started %v, %+v", l, got)
	}
	for done := 0; done < len(plan); done++ {
		if len(l) != min(done+4, len(plan)) {
			t.Fatalf("%d of %d started with %d done", len(l), len(plan), done)
		}
		p := plan[done].Partition
		if !v.Partitions[p].IsActing(l[p][0]) || len(l[p]) != 1 {
			t.Fatalf("partition %d from %v", p, l[p])
		}
		clock.advance(100 * time.Millisecond)
		m.Copied(p, 1000)
		v = act(v, 5, p)
		m.Adopt(v, tab)
		m.Adopt(v, tab) // nothing new
	}
	got := m.Progress()
	if got.Left != 0 || got.Running != 0 || got.Done != len(plan) || got.Bytes != uint64(1000*len(plan)) || got.TimeLeft != 0 {
		t.Errorf("at the end: %+v", got)
	}
}

// TestMoverWhole gives the place of a copy that has everything to another transfer: it
// waits for a view, and views come seldom.
func TestMoverWhole(t *testing.T) {
	v, _ := converged(t, 1, members(4), 64)
	v, tab := joined(t, v)
	plan := missing(v, tab, 5)
	clock, l := newFakeClock(), learned{}
	m := NewMover(Config{Self: 5, Parallel: 2, Clock: clock}, l)
	m.Adopt(v, tab)
	p := plan[0].Partition
	m.Copied(p, 1000)
	if !m.Whole(p) || m.Whole(p) || m.Whole(plan[len(plan)-1].Partition) { // told twice, and not started
		t.Error("what is no news is told as such, or the other way round")
	}
	if len(l) != 2 {
		t.Fatalf("%d started by Whole itself", len(l))
	}
	m.Tick()
	m.Tick()
	if got := m.Progress(); len(l) != 3 || got.Running != 3 || got.Left != len(plan) || got.Done != 0 {
		t.Errorf("%d started, %+v: one more is wanted", len(l), got)
	}
	next := v.Clone() // its source goes: it is asked to learn from another, and copies again
	next.Epoch++
	acting := &next.Partitions[p].Acting
	*acting = slices.DeleteFunc(slices.Clone(*acting), func(id ring.ServerID) bool { return id == l[p][0] })
	m.Adopt(next, tab)
	if !m.Whole(p) || len(l[p]) != 2 {
		t.Errorf("a transfer with another source still counts as whole, or has none: %v", l[p])
	}
	m.Copied(p, 1000) // it learns anew: a place of its own again
	m.Whole(plan[1].Partition)
	m.Tick()
	if len(l) != 3 {
		t.Errorf("%d started while two copy", len(l))
	}
}

func TestMoverFewestCopiesFirst(t *testing.T) {
	v, _ := converged(t, 1, members(4), 64)
	v, tab := joined(t, v)
	last := missing(v, tab, 5)
	urgent := last[len(last)-1].Partition
	v.Partitions[urgent].Acting = v.Partitions[urgent].Acting[:1]
	l := learned{}
	NewMover(Config{Self: 5, Parallel: 1, Clock: newFakeClock()}, l).Adopt(v, tab)
	if got := l.sorted(); !slices.Equal(got, []ring.PartitionID{urgent}) {
		t.Errorf("started %v, want %d", got, urgent)
	}
}

// TestMoverRoomySource copies from who can take most of those that have a partition.
func TestMoverRoomySource(t *testing.T) {
	v, _ := converged(t, 1, members(4), 64)
	v, tab := joined(t, v)
	near, l := learned{}, learned{}
	NewMover(Config{Self: 5, Parallel: 100, Clock: newFakeClock()}, near).Adopt(v, tab)
	m := NewMover(Config{Self: 5, Parallel: 100, Clock: newFakeClock()}, l)
	m.Hear(1, 4<<20)
	m.Hear(2, 1<<20)
	m.Hear(3, 5<<20)
	m.Hear(4, 5<<20)
	m.Adopt(v, tab)
	slow := 0
	for p, sources := range l {
		if near[p][0] == 2 {
			slow++
		} else if sources[0] != near[p][0] {
			t.Errorf("partition %d comes from %v, and %v is nearer and can take as much", p, sources[0], near[p][0])
		}
		if sources[0] == 2 {
			t.Errorf("partition %d comes from one that can take little", p)
		}
	}
	if slow == 0 {
		t.Error("the slow one was nearest to nothing")
	}
}

// TestMoverUrgency: what has one copy left counts least, then what has lost one.
func TestMoverUrgency(t *testing.T) {
	v, tab := converged(t, 1, members(4), 64)
	v = v.Clone()
	v.Partitions[3].Acting = v.Partitions[3].Acting[:1]
	v.Partitions[4].Acting = v.Partitions[4].Acting[:2]
	m := NewMover(Config{Self: 4, Clock: newFakeClock()}, learned{})
	if got := m.Urgency(3); got != 1 || m.Sole() {
		t.Errorf("%v without a view, sole %t", got, m.Sole())
	}
	if m.Adopt(v, tab); !m.Sole() {
		t.Error("nobody is told that a partition has one copy left")
	}
	for p, want := range map[ring.PartitionID]float64{3: urgencyOfOne, 4: urgencyOfFew, 5: 1, 999: 1} {
		if got := m.Urgency(p); got != want {
			t.Errorf("partition %d: %v, want %v", p, got, want)
		}
	}
	whole, tab := converged(t, 9, members(4), 64)
	if m.Adopt(whole, tab); m.Sole() {
		t.Error("all copies are there, and some partition is said to have one")
	}
}

func TestMoverNewerViews(t *testing.T) {
	v, oldTab := converged(t, 1, members(4), 64)
	old := v
	v, tab := joined(t, v)
	l := learned{}
	m := NewMover(Config{Self: 5, Parallel: 2, Clock: newFakeClock()}, l)
	m.Adopt(v, tab)
	first := l.sorted()
	m.Adopt(old, oldTab) // an older view changes nothing
	if got := m.Progress().Running; got != 2 {
		t.Errorf("%d run after an older view", got)
	}
	// The source of one goes: another is found, the other goes on as it is.
	next := v.Clone()
	next.Epoch++
	gone := l[first[0]][0]
	p := &next.Partitions[first[0]]
	p.Acting = slices.DeleteFunc(p.Acting, func(id ring.ServerID) bool { return id == gone })
	m.Adopt(next, tab)
	if calls := l[first[0]]; len(calls) != 2 || calls[1] == gone || len(l[first[1]]) != 1 {
		t.Errorf("after %v went: %v, %v", gone, calls, l[first[1]])
	}
	// The ring wants nothing of us any more.
	out := next.Clone()
	out.Epoch++
	out.Members[4].Status = ring.Leaving
	outTab, err := ring.TableOf(out, tab)
	if err != nil {
		t.Fatal(err)
	}
	m.Adopt(out, outTab)
	if got := m.Progress(); got.Running != 0 || got.Left != 0 || got.Done != 0 {
		t.Errorf("unwanted: %+v", got)
	}
	// And again it does: started anew.
	back := next.Clone()
	back.Epoch = out.Epoch + 1
	m.Adopt(back, tab)
	if got := m.Progress(); got.Running != 2 || len(l[first[1]]) != 2 {
		t.Errorf("wanted again: %+v, %v", got, l)
	}
}

func TestMoverStall(t *testing.T) {
	v, _ := converged(t, 1, members(4), 64)
	v, tab := joined(t, v)
	clock, l := newFakeClock(), learned{}
	m := NewMover(Config{Self: 5, Parallel: 2, Clock: clock}, l)
	m.Adopt(v, tab)
	both := l.sorted()
	clock.advance(stallAfter - time.Second)
	m.Copied(both[0], 1)
	m.Tick()
	if len(l) != 2 {
		t.Fatalf("started early: %v", l)
	}
	clock.advance(time.Second)
	m.Tick()
	m.Tick()
	if calls := l[both[1]]; len(l) != 3 || len(calls) != 2 || calls[0] == calls[1] || len(l[both[0]]) != 1 {
		t.Errorf("after a stall: %v", l)
	}
}

func TestMoverPause(t *testing.T) {
	v, _ := converged(t, 1, members(4), 64)
	v, tab := joined(t, v)
	clock, l := newFakeClock(), learned{}
	m := NewMover(Config{Self: 5, Parallel: 2, Clock: clock}, l)
	m.Pause()
	m.Adopt(v, tab)
	if got := m.Progress(); len(l) != 0 || !got.Paused || got.Left == 0 {
		t.Errorf("paused: %v, %+v", l, got)
	}
	wait, changed := m.Take(0, 1, 1)
	if wait >= 0 {
		t.Errorf("a page passes while paused, or in %v", wait)
	}
	clock.advance(time.Hour)
	m.Tick()
	if len(l) != 0 {
		t.Errorf("started while paused: %v", l)
	}
	m.Resume()
	select {
	case <-changed:
	default:
		t.Error("who waits is not told of the resume")
	}
	if wait, _ := m.Take(0, 1, 1); wait != 0 || len(l) != 2 {
		t.Errorf("resumed: wait %v, %v", wait, l)
	}
}

func TestBucket(t *testing.T) {
	now := time.Hour
	b := bucket{rate: 1000}
	// The burst is spent, and a page beyond it is lent.
	for range 2 {
		if wait := b.wait(now); wait != 0 {
			t.Fatalf("waits %v", wait)
		}
		b.take(100)
	}
	if wait := b.wait(now); wait != 100*time.Millisecond {
		t.Errorf("waits %v for 100 bytes at 1000/s", wait)
	}
	now += 100 * time.Millisecond
	if wait := b.wait(now); wait != 0 {
		t.Errorf("still waits %v", wait)
	}
	b.take(500)
	if wait := b.wait(now); wait != 500*time.Millisecond {
		t.Errorf("waits %v for 500 bytes", wait)
	}
	b.set(now, 0) // no limit: at once
	for range 100 {
		if wait := b.wait(now); wait != 0 {
			t.Fatalf("waits %v without a limit", wait)
		}
		b.take(1 << 30)
	}
}

// TestGateSettings: who changes the rate and who pauses do not undo each other.
func TestGateSettings(t *testing.T) {
	g := newGate(newFakeClock(), 1)
	for i := range int64(2000) {
		var both sync.WaitGroup
		both.Go(func() { g.setPaused(i%2 == 0) })
		both.Go(func() { g.setRate(i + 1) })
		both.Wait()
		if g.paused() != (i%2 == 0) || g.rate() != i+1 {
			t.Fatalf("paused %t, rate %d after %t and %d", g.paused(), g.rate(), i%2 == 0, i+1)
		}
	}
}

// Over a long time the bytes let through are the rate's, whatever the pages.
func TestGateRate(t *testing.T) {
	clock := newFakeClock()
	g := newGate(clock, 1<<20)
	g.hear(1, 0)
	sent := 0
	for clock.Now() < 100*time.Second {
		page := 1 + (sent*7919)%300_000
		wait, _ := g.take(1, page, 1)
		if wait > 0 {
			clock.advance(wait)
			continue
		}
		sent += page
	}
	if want := 100 << 20; sent < want*99/100 || sent > want*101/100 {
		t.Errorf("%d bytes in 100 s at 1 MiB/s", sent)
	}
}

func TestProgressRate(t *testing.T) {
	v, _ := converged(t, 1, members(4), 256)
	v, tab := joined(t, v)
	plan := missing(v, tab, 5)
	clock := newFakeClock()
	clock.advance(12345 * time.Millisecond)
	m := NewMover(Config{Self: 5, Parallel: 100, Clock: clock}, learned{})
	m.Adopt(v, tab)
	// One transfer of 2000 bytes every half second.
	for i := range 30 {
		m.Copied(plan[i].Partition, 2000)
		v = act(v, 5, plan[i].Partition)
		m.Adopt(v, tab)
		clock.advance(500 * time.Millisecond)
	}
	got := m.Progress()
	left := len(plan) - 30
	if got.Rate < 3800 || got.Rate > 4300 || got.LeftBytes != uint64(2000*left) {
		t.Errorf("rate %d, %d bytes left for %d", got.Rate, got.LeftBytes, left)
	}
	if want := time.Duration(left) * time.Second / 2; got.TimeLeft < want*9/10 || got.TimeLeft > want*11/10 {
		t.Errorf("time left %v, want about %v", got.TimeLeft, want)
	}
	clock.advance(time.Minute)
	if got := m.Progress(); got.Rate != 0 || got.TimeLeft >= 0 {
		t.Errorf("after a silent minute: %+v", got)
	}
}
