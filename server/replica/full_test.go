package replica

import (
	"slices"
	"testing"
	"time"

	"viewring/ring"
)

func (h *host) setFull(full bool) {
	h.core.SetFull(h.at(), full)
	h.r.run()
}

// TestFullPrimary: where the others suffice it leaves; until then writes go on.
func TestFullPrimary(t *testing.T) {
	r := acting(t, 3, 2)
	r.host(1).setFull(true)
	r.pass(handoffEvery + quiesceMax + 50*time.Millisecond)
	if !slices.Equal(r.wantsActing(1), []ring.ServerID{2, 3, 1}) {
		t.Fatalf("wants %v to act", r.wantsActing(1))
	}
	r.set(1, "a", "1")
	r.pass(fullPatience) // nobody takes it out: the reserve must not be used up
	if a := r.do(1, put("a", "2")); a.Status != StatusFull || a.Number != 1 {
		t.Fatalf("%+v", a)
	}
	r.change(actingAre(2, 3, 1))
	r.pass(2 * r.view.LeaseTTL)
	if got := r.wantsActing(2); got != nil {
		t.Fatalf("its successor wants %v to act", got)
	}
	r.asksOut(1, 2, 3)
	r.set(2, "a", "3")
}

// TestFullBackup: the primary hears of it without a write; where it can't be done
// without, what needs room is refused, reads and deletes go on, and all of it when
// there is room again.
func TestFullBackup(t *testing.T) {
	r := acting(t, 2, 2)
	r.set(1, "a", "1")
	r.set(1, "b", "1")
	r.host(2).setFull(true)
	if n := r.asksToGo(2); n > 0 {
		t.Fatal("asked to leave too few copies")
	}
	for _, op := range []OpCode{OpSet, OpAppend, OpIncr} {
		if a := r.do(1, Request{Key: name("a"), Op: op, Value: []byte("2")}); a.Status != StatusFull || a.Number != 2 {
			t.Fatalf("operation %d: %+v", op, a)
		}
	}
	if got := r.get(1, "a"); got != "1" {
		t.Fatalf("%q", got)
	}
	if a := r.do(1, Request{Key: name("b"), Op: OpDelete}); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
	r.change(actingAre(1, 2)) // a new term knows it from the start
	r.run()
	if a := r.do(1, put("a", "2")); a.Status != StatusFull {
		t.Fatalf("%+v", a)
	}
	r.host(2).setFull(false)
	r.set(1, "a", "3")
}

// TestFullNoMoreIsHeard: that there is room again is said once; lost, it is asked for.
func TestFullNoMoreIsHeard(t *testing.T) {
	r := acting(t, 2, 2)
	r.host(2).setFull(true)
	r.drop = lost(MsgAck)
	r.host(2).setFull(false)
	r.drop = nil
	if a := r.do(1, put("a", "1")); a.Status != StatusFull {
		t.Fatalf("%+v", a)
	}
	r.pass(2 * resendAfter)
	r.set(1, "a", "1")
}

// TestFullTakesWhatIsUnderWay: entries sequenced before are taken and acknowledged.
func TestFullTakesWhatIsUnderWay(t *testing.T) {
	r := acting(t, 2, 2)
	r.drop = lost(MsgAppend)
	token := r.write(1, put("a", "1"))
	r.run()
	r.host(2).setFull(true)
	r.drop = nil
	r.pass(time.Second)
	if a := r.answered(token); a.Status != StatusOK {
		t.Fatalf("%+v", a)
	}
}

// TestFullRetry: a retry of what was done is answered with what it did.
func TestFullRetry(t *testing.T) {
	r := acting(t, 2, 2)
	q := request(1, 1, 0)
	first := r.do(1, q)
	r.host(1).setFull(true)
	if again := r.do(1, q); again.Status != StatusOK || again.Version != first.Version {
		t.Fatalf("%+v, first %+v", again, first)
	}
}

// TestFullLearnsNothing: neither now nor what it has begun; afterwards it does.
func TestFullLearnsNothing(t *testing.T) {
	r := returner(t, 3, true, func(r *rig) { r.set(1, "old", "2") })
	learner := r.host(3)
	r.drop = lost(MsgPage)
	r.learn(3, 2)
	r.run()
	if learner.core.Inspect(0).Learning == false {
		t.Fatal("it does not learn")
	}
	learner.setFull(true)
	r.drop = nil
	r.pass(time.Second)
	if got := learner.core.Inspect(0); got.Learning || len(learner.store.items) > 0 {
		t.Fatalf("%+v with %d items", got, len(learner.store.items))
	}
	r.learn(3, 2)
	r.run()
	if learner.core.Inspect(0).Learning {
		t.Fatal("it learns while full")
	}
	r.pass(time.Second)
	if r.handoff() {
		t.Fatal("handed off to a full server")
	}
	learner.setFull(false)
	r.learn(3, 2)
	r.pass(2 * time.Second)
	if !r.handoff() {
		t.Fatal("no handoff when it has room again")
	}
}
