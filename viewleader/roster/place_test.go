package roster

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

func (w *world) placed(id ring.ServerID, weight uint32, zone string) {
	w.t.Helper()
	if m := w.s.View().Member(id); m.Weight != weight || m.Zone != zone {
		w.t.Fatalf("%v has weight %d in zone %q, want %d in %q", id, m.Weight, m.Zone, weight, zone)
	}
}

// start registers a server anew, started with a weight (0: none) and a zone.
func (w *world) start(id ring.ServerID, weight uint32, zone string) Command {
	w.inc[id]++
	c := reg(id, byte(id), w.inc[id])
	if c.Register.Zone = zone; weight > 0 {
		c.Register.Weight = weight + 1
	}
	return c
}

// An operator's weight and zone stay over restarts with the flags that a server had, and
// give way to others.
func TestPlaceIsRemembered(t *testing.T) {
	w := newWorld(t, 1)
	w.join(3)
	w.must(w.start(2, 0, "a"))
	w.placed(2, 1, "a")
	w.must(Command{Kind: KindSetWeight, ID: 2, Weight: 5})
	w.must(Command{Kind: KindSetZone, ID: 2, Zone: "b"})
	w.placed(2, 5, "b")
	w.must(w.start(2, 0, "a"))
	w.placed(2, 5, "b")
	w.must(w.start(2, 3, "a")) // a weight that it was not started with before
	w.placed(2, 3, "b")
	w.must(Command{Kind: KindSetWeight, ID: 2, Weight: 4})
	w.must(w.start(2, 3, "a"))
	w.placed(2, 4, "b")
	again := w.start(2, 3, "c")
	w.must(again)
	w.placed(2, 4, "c")
	w.must(Command{Kind: KindSetZone, ID: 2})
	w.expire(2)
	w.must(again) // the same process, which was taken for dead
	w.placed(2, 4, "")
	s, err := Restore(w.s.AppendSnapshot(nil))
	if err != nil || !bytes.Equal(s.AppendSnapshot(nil), w.s.AppendSnapshot(nil)) {
		t.Fatalf("restored: %v", err)
	}
	w.s = s
	w.must(w.start(2, 3, "c"))
	w.placed(2, 4, "")
	events := w.s.Events(0)
	if n := slices.IndexFunc(events, func(e vocab.Event) bool { return e.Kind == vocab.EventPlaced }); n < 0 || events[n].Server != 2 {
		t.Errorf("no event of it: %+v", events)
	}
}

func TestPlaceRefusals(t *testing.T) {
	w := newWorld(t, 1)
	w.join(2)
	w.refuse(Command{Kind: KindSetWeight, ID: 3, Weight: 2}, "s3 is not a member")
	w.refuse(Command{Kind: KindSetZone, ID: 3}, "s3 is not a member")
	w.refuse(Command{Kind: KindSetWeight, ID: 1}, "can leave")
	w.refuse(Command{Kind: KindSetWeight, ID: 1, Weight: ring.WeightMax + 1}, "want 1 to 64")
	w.refuse(Command{Kind: KindSetZone, ID: 1, Zone: strings.Repeat("z", ZoneBytesMax+1)}, "zone of 65 bytes")
	w.must(Command{Kind: KindSetWeight, ID: 1, Weight: 1})
	w.s.members[1].Weight = ring.SharesMax - 1
	w.refuse(Command{Kind: KindSetWeight, ID: 1, Weight: 2}, "add up to 4097")
	heavy := reg(0, 7, 1)
	heavy.Register.Weight = 3
	w.refuse(heavy, "add up to 4098")
}

// Where weights are, no server may be of a build that knows none: it would place partitions
// elsewhere.
func TestWeightsNeedAllBuilds(t *testing.T) {
	w := newWorld(t, 1)
	w.join(2)
	w.must(Command{Kind: KindSetWeight, ID: 1, Weight: 2})
	again := w.start(2, 0, "")
	again.Register.Weight = 1
	w.refuse(again, "does not know")
	newcomer := reg(0, 6, 1)
	newcomer.Register.Weight = 1
	w.refuse(newcomer, "does not know")
	w.must(Command{Kind: KindSetWeight, ID: 1, Weight: 1})
	w.must(again)
}

// As long as nobody sets weights or zones a snapshot is as builds write it that know no weights,
// and read so: what a server stands in is what it said.
func TestSnapshotWithoutWeights(t *testing.T) {
	w := newWorld(t, 1)
	w.join(1)
	w.must(w.start(1, 0, "zone"))
	b := w.s.AppendSnapshot(nil)
	s, err := Restore(b)
	if err != nil {
		t.Fatal(err)
	}
	if m := s.members[0]; b[0] != snapshotFormatFourth || m.SaidZone != "zone" || m.SaidWeight != 0 {
		t.Errorf("format %d: %+v", b[0], m)
	}
	heavier := reg(1, 1, 9)
	heavier.Register.Zone, heavier.Register.Weight = "zone", 4
	for _, c := range []Command{{Kind: KindSetZone, ID: 1, Zone: "other"}, {Kind: KindSetWeight, ID: 1, Weight: 2}, heavier} {
		one := newWorld(t, 1)
		one.join(1)
		one.must(one.start(1, 0, "zone"))
		one.must(c)
		if b := one.s.AppendSnapshot(nil); b[0] != snapshotFormat {
			t.Errorf("%+v: format %d", c, b[0])
		}
	}
}
