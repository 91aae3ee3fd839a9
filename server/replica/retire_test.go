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
	r.pass(time.Second)
	if !r.handoff() {
		t.Fatal("it does not step down")
	}
	r.asksOut(1, 2, 3)
	if got := r.get(2, "meanwhile"); got != "1" {
		t.Fatalf("the new primary has %q", got)
	}
}

// wantsActing is whom a primary asked last to act in this term; nil: it did not.
func (r *rig) wantsActing(id ring.ServerID) (acting []ring.ServerID) {
	p := &r.view.Partitions[0]
	for _, q := range r.asked {
		if q.Kind == AskHandoff && q.Term == p.Term && p.Primary() == id {
			acting = nil
			for _, a := range q.Acting {
				acting = append(acting, a.ID)
			}
		}
	}
	return acting
}

// stepsDown is a primary of three that drains, with a write of which its backups do not
// know yet. Its successor has taken over, and nothing was delivered since.
func stepsDown(t *testing.T) (r *rig, token uint64) {
	r = acting(t, 3, 2)
	r.drain(1)
	r.pass(handoffEvery + 50*time.Millisecond)
	if got := r.wantsActing(1); !slices.Equal(got, []ring.ServerID{2, 3, 1}) {
		t.Fatalf("a draining primary wants %v to act", got)
	}
	r.pass(quiesceMax) // the view leader takes its time
	r.drop = lost(MsgAppend)
	token = r.write(1, put("a", "1"))
	r.run()
	r.unanswered(token)
	r.drop = nil
	r.change(actingAre(2, 3, 1))
	return r, token
}

// TestRetireAnswersFirst: a primary that drains becomes a backup, and asks to go when it
// has answered all that it sequenced, though the others did not have it.
func TestRetireAnswersFirst(t *testing.T) {
	r, token := stepsDown(t)
	r.drop = lost(MsgAppend) // of the new primary: that it is committed
	r.pass(2 * successorMax)
	r.unanswered(token)
	if n := r.asksToGo(1); n > 0 {
		t.Fatalf("asked %d times to go, and owes an answer", n)
	}
	r.drop = nil
	r.pass(time.Second)
	if a := r.answered(token); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
	r.asksOut(1, 2, 3)
	if got := r.get(2, "a"); got != "1" {
		t.Fatalf("the successor has %q", got)
	}
}

// TestRetireWaitsForTheSuccessor: who owes nothing goes when its successor serves, and
// where that is not heard of, after a while.
func TestRetireWaitsForTheSuccessor(t *testing.T) {
	for silent, after := range map[bool]time.Duration{false: 50 * time.Millisecond, true: successorMax + 50*time.Millisecond} {
		r := acting(t, 3, 2)
		r.drain(1)
		r.pass(handoffEvery + 50*time.Millisecond)
		r.drop = lost(MsgState)
		if silent {
			r.drop = lost(MsgState, MsgAppend)
		}
		r.change(actingAre(2, 3, 1))
		r.pass(successorMax - 50*time.Millisecond)
		if n := r.asksToGo(1); n > 0 {
			t.Fatalf("asked %d times to go before its successor serves", n)
		}
		if !silent {
			r.drop = nil
			r.host(2).core.PeerDone(r.host(2).at(), 1, r.view.Epoch)
			r.pass(askAfter) // it asks for the States again
		}
		r.pass(after)
		if r.asksToGo(1) == 0 {
			t.Errorf("silent: %v: it does not ask to go", silent)
		}
	}
}

// TestAnsweredAsABackup: a primary that others take the place of answers what it sequenced
// as a backup, and as the primary of a later term. One that acts no more can't.
func TestAnsweredAsABackup(t *testing.T) {
	for _, next := range []struct {
		acting []ring.ServerID
		want   Status
	}{{[]ring.ServerID{2, 1, 3}, StatusOK}, {[]ring.ServerID{1, 2, 3}, StatusOK}, {[]ring.ServerID{2, 3}, StatusUnknown}} {
		r, token := stepsDown(t)
		if a, early := r.got[token]; early {
			t.Fatalf("%+v", a)
		}
		r.change(actingAre(next.acting...))
		r.pass(2 * r.view.LeaseTTL)
		if a := r.answered(token); a.Status != next.want {
			t.Errorf("then %v act: %+v", next.acting, a)
		}
	}
}

// TestWhoOwesIsKept: a primary that is no target stays behind the targets until it has
// answered; its successor drops it then.
func TestWhoOwesIsKept(t *testing.T) {
	r := acting(t, 4, 2)
	targets := r.host(1).core.table.Targets(0)
	other := ring.ServerID(10 - int(targets[0]+targets[1]+targets[2]))
	all := append(slices.Clone(targets), other)
	r.change(actingAre(append([]ring.ServerID{other}, targets...)...))
	r.pass(2 * r.view.LeaseTTL)
	if got := r.wantsActing(other); !slices.Equal(got, all) {
		t.Fatalf("%v wants %v to act, the targets are %v", other, got, targets)
	}
	r.drop = lost(MsgAppend)
	token := r.write(other, put("a", "1"))
	r.run()
	r.drop = nil
	r.change(actingAre(all...))
	r.drop = lost(MsgAppend) // it does not hear that its write is committed
	r.pass(time.Second)
	r.unanswered(token)
	if got := r.wantsActing(targets[0]); got != nil {
		t.Fatalf("%v wants %v to act, and %v owes an answer", targets[0], got, other)
	}
	r.drop = nil
	r.pass(time.Second)
	if a := r.answered(token); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
	if got := r.wantsActing(targets[0]); !slices.Equal(got, targets) {
		t.Fatalf("%v wants %v to act, the targets are %v", targets[0], got, targets)
	}
}

// TestNoSuccessor: where all others drain too, a primary waits for one who does not, and
// where one is down, it goes without.
func TestNoSuccessor(t *testing.T) {
	r := acting(t, 2, 1)
	r.drain(2)
	r.drain(1)
	r.pass(time.Second)
	if got := r.wantsActing(1); got != nil || r.asksToGo(1) == 0 {
		t.Errorf("nobody can come: it wants %v to act, and asked %d times to go", got, r.asksToGo(1))
	}
	r = acting(t, 3, 1)
	r.nextView(func(v *ring.View) { v.Members[2].Up = false })
	r.drain(1)
	r.pass(time.Second)
	if got := r.wantsActing(1); got != nil || r.asksToGo(1) == 0 {
		t.Errorf("one is down: it wants %v to act, and asked %d times to go", got, r.asksToGo(1))
	}
}

// TestQuiesceEnds: writes go on where none is under way, though the view leader does not answer; and after a moment where a
// backup does not.
func TestQuiesceEnds(t *testing.T) {
	for _, answers := range []bool{true, false} {
		r := acting(t, 3, 2)
		r.host(3).slowDisk = !answers
		first := r.write(1, put("a", "1"))
		r.run()
		r.drain(1)
		r.mono += handoffEvery - r.mono%handoffEvery
		r.pings()
		r.ticks()
		if got := r.wantsActing(1); (got != nil) != answers {
			t.Fatalf("the first write is answered: %v, wants %v to act", answers, got)
		}
		second := r.write(1, put("a", "2"))
		r.run()
		if !answers {
			r.unanswered(second)
			if n := r.host(1).core.Inspect(0).Last.Seq; n != 1 {
				t.Fatalf("%d writes are under way when the first should end", n)
			}
		} else if a := r.answered(second); a.Status != StatusOK {
			t.Fatalf("%+v, and nothing was under way", a)
		}
		r.pass(handoffEvery + quiesceMax)
		if got := r.wantsActing(1); got == nil {
			t.Fatal("it does not step down")
		}
		r.host(3).slowDisk = false
		r.host(3).sync()
		r.run()
		if a := r.answered(first); a.Status != StatusOK {
			t.Fatalf("%+v", a)
		}
		if answers {
			continue
		}
		if a := r.answered(second); a.Status != StatusOK {
			t.Fatalf("%+v", a)
		}
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
