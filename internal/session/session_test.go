package session

import (
	"slices"
	"testing"
	"time"
)

// TestClientKnowsFirst: however late the view leader hears of a client, with a clock
// that runs a tenth slower, the client takes its session for lost no later than the
// view leader ends it; and a new head gives all of it again.
func TestClientKnowsFirst(t *testing.T) {
	const ttl = 1000 * time.Millisecond
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	k := NewKeeper(ttl, at(0))
	var w Watch
	w.Begin(at(100))
	w.Open(7, ttl, at(100))
	if k.Pause() != ttl/4 || !k.Until().Equal(at(900)) {
		t.Fatal(k.Pause(), k.Until())
	}
	if !k.Heard(at(250), at(300)) || !w.Keep(7, at(260)) {
		t.Fatal("not heard")
	}
	k.Failed()
	if k.Pause() != RetryEvery || !k.Until().Equal(at(1150)) {
		t.Fatal(k.Pause(), k.Until())
	}
	if k.Heard(at(1140), at(1150)) {
		t.Error("it is heard when the session is over")
	}
	for now := 300; now < 1260; now += 100 {
		if silent := w.Silent(at(now)); len(silent) > 0 {
			t.Fatalf("silent at %d: %v", now, silent)
		}
	}
	if silent := w.Silent(at(1260)); !slices.Equal(silent, []uint64{7}) || w.Keep(7, at(1260)) || w.Silent(at(1300)) != nil {
		t.Errorf("%v", silent)
	}
	w.Begin(at(2000))
	w.Open(7, ttl, at(2000))
	if silent := w.Silent(at(3300)); silent != nil {
		t.Errorf("who stood still ends %v", silent)
	}
	for now := 3400; now < 4300; now += 100 {
		if w.Silent(at(now)) != nil {
			t.Errorf("silent at %d", now)
		}
	}
	if w.Silent(at(4300)) == nil {
		t.Error("never silent")
	}
	w.Ended(7)
	if w.Keep(7, at(4300)) {
		t.Error("kept though it has ended")
	}
}
