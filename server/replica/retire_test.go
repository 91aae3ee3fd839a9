package replica

import (
	"slices"
	"testing"
	"time"

	"viewring/ring"
)

// drain makes a view in which a server drains, within the term.
func (r *rig) drain(id ring.ServerID) {
	r.nextView(func(v *ring.View) { v.Members[id-1].Status = ring.Draining })
	for _, h := range r.hosts {
		h.adopt()
	}
	r.run()
}

func put(key, value string) Request {
	return Request{Key: name(key), Op: OpSet, Value: []byte(value)}
}

// unanswered fails the test when a request has its answer.
func (r *rig) unanswered(token uint64) {
	r.t.Helper()
	if a, ok := r.got[token]; ok {
		r.t.Fatalf("request %d is answered: %+v", token, a)
	}
}

// TestH28DrainHandsOffFirst: a set at min-copies stays until another server holds a
// copy; only then the draining one asks to go.
func TestH28DrainHandsOffFirst(t *testing.T) {
	r := returner(t, 3, false, func(r *rig) { r.set(1, "old", "2") })
	r.change(func(p *ring.Partition) { p.MinCopies = 2 })
	r.pass(time.Second)
	r.drain(1)
	r.pass(time.Second)
	if n := r.asksToGo(1); n > 0 {
		t.Fatalf("asked %d times to leave too few copies", n)
	}
	r.set(1, "meanwhile", "1")
	r.joinsFrom(3, 2)
	r.asksOut(1, 2, 3)
	if got := r.get(2, "meanwhile"); got != "1" {
		t.Fatalf("the new primary has %q", got)
	}
}

// TestRetireAnswersFirst: a primary that drains asks to go when its writes are
// answered, and lets no new one in meanwhile.
func TestRetireAnswersFirst(t *testing.T) {
	r := acting(t, 3, 2)
	r.host(3).slowDisk = true
	first := r.write(1, put("a", "1"))
	r.run()
	r.drain(1)
	if n := r.asksToGo(1); n > 0 {
		t.Fatal("asked to go with a write under way")
	}
	second := r.write(1, put("a", "2"))
	r.run()
	r.unanswered(first)
	r.host(3).slowDisk = false
	r.host(3).sync()
	r.run()
	if a := r.answered(first); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
	if r.asksToGo(1) != 1 {
		t.Fatalf("asked %d times to go", r.asksToGo(1))
	}
	r.unanswered(second)
	r.change(actingAre(2, 3))
	r.run()
	if a := r.answered(second); a.Status != StatusMoved {
		t.Fatalf("%+v", a)
	}
}

// TestQuiesceEnds: writes go on when the view leader does not answer.
func TestQuiesceEnds(t *testing.T) {
	r := acting(t, 3, 2)
	r.drain(1)
	token := r.write(1, put("a", "1"))
	r.run()
	r.unanswered(token)
	r.pass(quiesceMax + 50*time.Millisecond)
	if a := r.answered(token); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
}

// TestWritesLiveThroughTerms: a primary that stays one answers in the next term
// what it sequenced in the last.
func TestWritesLiveThroughTerms(t *testing.T) {
	r := acting(t, 3, 2)
	r.host(3).crash()
	token := r.write(1, put("a", "1"))
	r.run()
	r.unanswered(token)
	r.change(actingAre(1, 2))
	r.run()
	if a := r.answered(token); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
	// Below min-copies nothing is committed: the answer waits, then is "unknown".
	r.host(2).crash()
	token = r.write(1, put("a", "2"))
	r.run()
	r.change(func(p *ring.Partition) { p.Acting = []ring.ServerID{1} })
	r.pass(time.Second)
	r.unanswered(token)
	r.pass(writeTTL)
	if a := r.answered(token); a.Status != StatusUnknown {
		t.Fatalf("%+v", a)
	}
}

// TestPrimariesChangeTogether: a primary that is to be replaced asks for it at the first
// tick of an interval, and serves until then.
func TestPrimariesChangeTogether(t *testing.T) {
	r := acting(t, 3, 1)
	targets := r.host(1).core.table.Targets(0)
	wrong := targets[1]
	r.ticks() // of this interval
	r.change(actingAre(wrong, targets[0], targets[2]))
	for _, h := range r.hosts { // nobody serves an older term
		r.host(wrong).core.PeerDone(r.host(wrong).at(), h.id, r.view.Epoch)
	}
	r.pings()
	r.run()
	handoffs := func() (n int) {
		for _, q := range r.asked {
			if q.Kind == AskHandoff && q.Term == r.view.Partitions[0].Term {
				n++
			}
		}
		return n
	}
	tickAt := func(d time.Duration) {
		r.mono += d - r.mono%handoffEvery
		r.pings()
		r.ticks()
	}
	tickAt(30 * time.Millisecond)
	r.set(wrong, "a", "1")
	tickAt(99 * time.Millisecond)
	if n := handoffs(); n != 0 {
		t.Fatalf("%d handoffs before the next interval", n)
	}
	held := r.hold(func(p parcel) bool { return p.msg.Type == MsgAck })
	token := r.write(wrong, put("a", "2"))
	r.run()
	tickAt(handoffEvery)
	if n := handoffs(); n != 0 {
		t.Fatalf("%d handoffs with a write under way", n)
	}
	held()
	r.run()
	if a := r.answered(token); a.Status != StatusOK || handoffs() != 1 {
		t.Fatalf("%+v, and %d handoffs when the write was answered: want one", a, handoffs())
	}
}

// TestPrimaryOfTooFewChangesAtOnce: below min-copies nothing is acknowledged, so there is
// nothing to serve until the interval is over.
func TestPrimaryOfTooFewChangesAtOnce(t *testing.T) {
	r := acting(t, 3, 1)
	targets := r.host(1).core.table.Targets(0)
	r.ticks() // of this interval
	wrong := targets[1]
	r.change(func(p *ring.Partition) {
		p.Acting, p.MinCopies = []ring.ServerID{wrong, targets[0], targets[2]}, 4
	})
	for _, h := range r.hosts { // nobody serves an older term
		r.host(wrong).core.PeerDone(r.host(wrong).at(), h.id, r.view.Epoch)
	}
	r.pings()
	r.run()
	if !slices.ContainsFunc(r.asked, func(q LeaderRequest) bool {
		return q.Kind == AskHandoff && q.Term == r.view.Partitions[0].Term && !q.CanWait
	}) {
		t.Error("no handoff is asked for, or one that can wait")
	}
}

// TestHandoffThatCanWait: what no client waits for may be asked for with others; below
// min-copies writes are refused until the view comes.
func TestHandoffThatCanWait(t *testing.T) {
	for min, want := range map[uint8]bool{1: true, 2: false} {
		r := returner(t, 2, false, func(r *rig) { r.set(1, "k", "v") })
		r.change(func(p *ring.Partition) { p.MinCopies = min })
		r.pass(2 * r.view.LeaseTTL)
		r.learn(2, 1)
		r.ticks() // of this interval: no other is needed
		r.run()
		i := slices.IndexFunc(r.asked, func(q LeaderRequest) bool { return q.Kind == AskHandoff && len(q.Acting) == 2 })
		if i < 0 {
			t.Fatalf("min-copies %d: no handoff is asked for", min)
		}
		if q := r.asked[i]; q.CanWait != want || q.Acting[0].ID != 1 {
			t.Errorf("min-copies %d: %+v, can wait: want %v", min, q, want)
		}
	}
}
