package roster

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// told returns the kinds and servers of the events after since.
func told(s *State, since uint64) string {
	var words []string
	for _, e := range s.Events(since) {
		words = append(words, fmt.Sprintf("%v:%d", e.Kind, e.Server))
	}
	return strings.Join(words, " ")
}

func TestEvents(t *testing.T) {
	w := newWorld(t, 2)
	seen := uint64(0)
	expect := func(want string) {
		t.Helper()
		if got := told(w.s, seen); got != want {
			t.Fatalf("events %q, want %q", got, want)
		}
		for _, e := range w.s.Events(seen) {
			if e.Epoch != w.s.Epoch() || e.At.UnixMilli() != w.at || e.Number != seen+1 {
				t.Fatalf("%+v after event %d, in epoch %d at %d", e, seen, w.s.Epoch(), w.at)
			}
			seen = e.Number
		}
		if seen != w.s.LastEvent() {
			t.Fatalf("the last event is %d, seen %d", w.s.LastEvent(), seen)
		}
	}
	w.must(reg(0, 1, 1))
	w.inc[1] = 1
	expect("made:0 joined:1")
	for i := byte(2); i <= 4; i++ {
		w.must(reg(0, i, 1))
		w.inc[ring.ServerID(i)] = 1
		expect(fmt.Sprintf("joined:%d", i))
	}
	targets := w.targets(0)
	w.fill(targets...)
	expect("")
	w.at += 5000
	w.expire(targets...)
	expect(fmt.Sprintf("down:%d down:%d down:%d", targets[0], targets[1], targets[2]))
	w.at += 5000
	w.must(acceptLoss(0))
	other := w.s.View().Partitions[0].Acting[0]
	expect(fmt.Sprintf("accepted-loss:%d", other))
	if e := w.s.Events(seen - 1)[0]; e.Detail != "partition 0" {
		t.Errorf("detail %q", e.Detail)
	}
	w.restart(targets[0], false)
	if got := told(w.s, seen); !strings.HasPrefix(got, fmt.Sprintf("up:%d", targets[0])) {
		t.Errorf("a return is told as %q", got)
	}
	seen = w.s.LastEvent()
	w.restart(targets[1], true)
	expect(fmt.Sprintf("up:%d", targets[1]))
	w.must(Command{Kind: KindOut, ID: targets[2]})
	expect(fmt.Sprintf("out:%d", targets[2]))
	w.must(Command{Kind: KindRemove, ID: targets[2]})
	if got := told(w.s, seen); !strings.HasPrefix(got, fmt.Sprintf("leaving:%d removed:%d", targets[2], targets[2])) {
		t.Errorf("a removal is told as %q", got)
	}
	seen = w.s.LastEvent()
	w.must(Command{Kind: KindLeave, ID: other})
	expect(fmt.Sprintf("leaving:%d", other))
	w.must(Command{Kind: KindConfigure, MinCopies: 1, LeaseTTL: 1e9})
	expect("configured:0")
	w.refuse(Command{Kind: KindLeave, ID: 99}, "not a member")
	expect("") // what is refused did not happen
}

// A restore and a loss name their partitions.
func TestEventsOfRestores(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.expire(2, 3)
	w.expire(1)
	last := w.s.LastEvent()
	w.restart(2, true)
	if got := told(w.s, last); got != "up:2 restored:2" {
		t.Errorf("events %q", got)
	}
	w = newWorld(t, 1)
	w.join(1)
	last = w.s.LastEvent()
	w.restart(1, false)
	if got := told(w.s, last); got != "up:1 lost:1" || w.s.Events(last)[1].Detail != "16 partitions: 0-15" {
		t.Errorf("events %q: %+v", got, w.s.Events(last))
	}
}

// The events are bounded, keep their numbers, and come through a snapshot; what
// was handed out stays as it was.
func TestEventsAreBounded(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	var early, copied []vocab.Event
	for i := range 3 * EventsMax {
		if i == EventsMax-10 { // before the oldest are dropped
			early = w.s.Events(0)
			copied = slices.Clone(early)
		}
		w.expire(2)
		w.must(reg(2, 2, 1)) // the same process
		restored, err := Restore(w.s.AppendSnapshot(nil))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(restored.Events(0), w.s.Events(0)) || restored.LastEvent() != w.s.LastEvent() {
			t.Fatal("a snapshot changes the events")
		}
	}
	all := w.s.Events(0)
	if len(all) != EventsMax || all[len(all)-1].Number != w.s.LastEvent() || w.s.LastEvent() < 6*EventsMax {
		t.Errorf("%d events, the last is %d of %d", len(all), all[len(all)-1].Number, w.s.LastEvent())
	}
	for i, e := range all {
		if e.Number != all[0].Number+uint64(i) {
			t.Fatalf("event %d after %d", e.Number, all[0].Number)
		}
	}
	if some := w.s.Events(w.s.LastEvent() - 3); len(some) != 3 || some[0].Number != w.s.LastEvent()-2 {
		t.Errorf("the last three: %+v", some)
	}
	if w.s.Events(w.s.LastEvent()) != nil || w.s.Events(1<<40) != nil {
		t.Error("events from the future")
	}
	if !slices.Equal(early, copied) {
		t.Error("what was handed out has changed")
	}
	if len(w.s.AppendSnapshot(nil)) > 100_000 {
		t.Error("the snapshot is not bounded")
	}
	if !bytes.Equal(w.s.AppendSnapshot(nil), w.s.AppendSnapshot(nil)) {
		t.Error("two snapshots differ")
	}
}

func TestPartitionRanges(t *testing.T) {
	for want, ps := range map[string][]ring.PartitionID{
		"partition 4": {4}, "4 partitions: 3, 7-9": {3, 7, 8, 9}, "2 partitions: 0-1": {0, 1}, "2 partitions: 1, 3": {1, 3},
	} {
		if got := partitionRanges(ps); got != want {
			t.Errorf("%v: %q, want %q", ps, got, want)
		}
	}
	var many []ring.PartitionID
	for i := range ring.PartitionID(5000) {
		many = append(many, 2*i)
	}
	w := newWorld(t, 1)
	w.s.note(vocab.EventLost, 0, "%s", partitionRanges(many))
	if d := w.s.Events(0)[0].Detail; len(d) > eventDetailMax || !strings.HasPrefix(d, "5000 partitions: 0, 2") {
		t.Errorf("detail %q", d)
	}
}
