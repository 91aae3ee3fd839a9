package roster

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// folder is a data folder: what outlives a process, and what a copy of it has.
type folder struct {
	inc    uint64
	starts []uint64
	holds  int // writes that it has
}

// starter plays data folders against a roster: s1 acts on everything, s2 learns.
type starter struct {
	r       *rand.Rand
	w       *world
	written int // writes there ever were, all acknowledged by whoever acts
	copied  bool
	whole   int
	without int
}

// start boots a process on f and registers it; the answer may be lost, or the
// registration. A process that knows that it is registered may write.
func (d *starter) start(t *testing.T, f *folder) {
	f.inc++
	name := d.r.Uint64() | 1
	f.starts = append(slices.Clone(f.starts), name)
	if d.r.IntN(4) == 0 {
		return // it ends before it registers
	}
	c := reg(1, 1, f.inc)
	c.Register.Instance, c.Register.Starts = d.r.Uint64()|1, f.starts
	if d.w.apply(c).Code != Done {
		if d.copied {
			return
		}
		t.Fatal("a newer start of the only folder was refused")
	}
	d.w.inc[1] = f.inc
	whole := slices.Contains(d.w.s.View().Partitions[0].Acting, 1)
	switch {
	case whole && f.holds != d.written:
		t.Fatalf("whole with %d of %d writes, starts %x", f.holds, d.written, f.starts)
	case !whole && !d.copied:
		t.Fatalf("the only folder is not whole, starts %x", f.starts)
	case whole:
		d.whole++
	default:
		d.without++
		d.w.must(d.w.handoff(0, 2, 1)) // it has learned
		f.holds = d.written
	}
	if d.r.IntN(3) == 0 {
		return // the answer is lost, and the process ends: it served nothing
	}
	f.starts = f.starts[len(f.starts)-1:]
	d.written += d.r.IntN(3)
	f.holds = d.written
}

// TestStarts: a folder passes as whole only with every write that there was,
// however often it is started, copied, put back or run from several copies, and
// whatever answers are lost; one that nobody copied always does.
func TestStarts(t *testing.T) {
	whole, without := 0, 0
	for seed := range uint64(300) {
		w := newWorld(t, 1)
		w.join(2)
		w.fill(1, 2)
		d := &starter{r: rand.New(rand.NewPCG(seed, 1)), w: w}
		folders := []*folder{{inc: 1, starts: []uint64{d.r.Uint64() | 1}}}
		c := reg(1, 1, 2)
		folders[0].inc, c.Register.Starts = 2, folders[0].starts
		w.must(c) // from here on its starts have names
		w.inc[1] = 2
		for range 60 {
			f := folders[d.r.IntN(len(folders))]
			if seed%3 > 0 && d.r.IntN(6) == 0 { // of a folder that nobody runs on
				d.copied = true
				image := *f
				if other := d.r.IntN(len(folders) + 1); other < len(folders) && len(folders) > 1 {
					*folders[other] = image
				} else if len(folders) < 4 {
					folders = append(folders, &image)
				}
				continue
			}
			d.start(t, f)
		}
		whole, without = whole+d.whole, without+d.without
	}
	if whole < 1000 || without < 500 {
		t.Errorf("%d starts were whole, %d were not", whole, without)
	}
}

// A folder that was put back and started twice while the view leader was away
// counts as many starts as the registered one (seed 3000923 of the simulation).
func TestRolledBackAndStartedTwice(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	w.fill(1, 2)
	for n := uint64(2); n <= 4; n++ {
		c := reg(1, 1, n)
		c.Register.Starts = []uint64{100 + n - 1, 100 + n}
		w.must(c)
	}
	w.part(ids{2, 1}, ids{2, 1})
	c := reg(1, 1, 6) // the folder of start 2, then its own 3, 4 and 5
	c.Register.Starts = []uint64{102, 903, 904, 905}
	w.must(c)
	w.part(ids{2}, ids{2})
	// From here on its own starts count.
	w.inc[1] = 6
	w.must(w.handoff(0, 2, 1))
	c = reg(1, 1, 7)
	c.Register.Starts = []uint64{905, 906}
	w.must(c)
	w.part(ids{2, 1}, ids{2, 1})
	// And a program that knows no names any more does not pass for it.
	w.must(reg(1, 1, 8))
	w.part(ids{2}, ids{2})
}

// A refused copy of a folder says nothing against the folder itself.
func TestRefusedCopyDoesNotHarm(t *testing.T) {
	w := newWorld(t, 2)
	w.join(2)
	w.fill(1, 2)
	c := reg(1, 1, 2)
	c.Register.Starts = []uint64{7}
	w.must(c)
	clone := reg(1, 1, 2)
	clone.Register.Instance, clone.Register.Starts = 99, []uint64{6, 8}
	w.refuse(clone, "another process")
	c = reg(1, 1, 3)
	c.Register.Starts = []uint64{7, 9}
	w.must(c)
	w.part(ids{2, 1}, ids{2, 1})
	clone = reg(1, 1, 4)
	clone.Register.Instance, clone.Register.Starts = 98, []uint64{6, 8, 10}
	w.must(clone)
	w.part(ids{2}, ids{2})
}

func restore(from ring.Incarnated, term uint64) Command {
	return Command{Kind: KindRestore, From: from, Term: term}
}

// A member of W that has been up without acting is restored when it says that its
// copy is whole: the last acting one came back without its data (seeds 4018552 and
// 4037447 of the simulation), or is down.
func TestRestoreOfASoundLearner(t *testing.T) {
	for _, lost := range []bool{true, false} {
		w := newWorld(t, 2)
		w.join(3)
		w.fill(1, 2)
		w.expire(1)
		w.restart(1, true) // up beside the acting s2
		w.part(ids{2}, ids{1, 2})
		term := w.s.View().Partitions[0].Term
		w.refuse(restore(w.now(1), term), "is up")
		w.expire(2)
		if lost {
			w.restart(2, false)
			w.part(nil, ids{1})
			w.refuse(restore(w.now(1), term), "is in term")
			term = w.s.Epoch()
		}
		w.refuse(restore(w.now(3), term), "is not one of those")
		w.refuse(restore(ring.Incarnated{ID: 1, Incarnation: w.inc[1] - 1}, term), "incarnation")
		w.must(restore(w.now(1), term))
		if p := w.s.View().Partitions[0]; !slices.Equal(p.Acting, ids{1}) || p.Term != w.s.Epoch() {
			t.Errorf("%+v", p)
		}
		events := w.s.Events(0)
		if e := events[len(events)-1]; e.Kind != vocab.EventRestored || e.Server != 1 {
			t.Errorf("the last event is %+v", e)
		}
		if !lost { // and the former one waits, though it comes back with its data
			w.restart(2, true)
			w.part(ids{1}, ids{1, 2})
		}
	}
}

// What was ejected may lack something and not know it, and where acting replicas
// are enough they may have acknowledged more: neither is restored by its own word.
func TestRestoreRefused(t *testing.T) {
	w := newWorld(t, 2)
	w.join(3)
	w.fill(1, 2)
	w.expire(2)
	w.restart(2, true)
	w.expire(2) // as learner
	w.must(w.eject(0, 1, 2))
	w.restart(2, true)
	w.expire(1)
	w.refuse(restore(w.now(2), w.s.View().Partitions[0].Term), "was ejected")
	w = newWorld(t, 2)
	w.join(3)
	w.fill(1, 2, 3)
	w.expire(1)
	w.expire(2, 3)
	w.part(ids{2, 3}, ids{2, 3})
	w.restart(1, true)
	w.refuse(restore(w.now(1), w.s.View().Partitions[0].Term), "is not one of those")
	w.refuse(restore(w.now(2), w.s.View().Partitions[0].Term), "is down")
}

// Commands and snapshots of the formats before: starts had no names, and an ejected
// member was a tainted one.
func TestFormatsBeforeStarts(t *testing.T) {
	cmds := []Command{reg(1, 1, 2)}
	first := AppendCommands(nil, cmds)
	first[0] = commandsFormatFirst
	first = first[:len(first)-1] // no starts
	got, err := DecodeCommands(first)
	if err != nil || got[0].Register.Starts != nil || got[0].Register.Incarnation != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	w := newWorld(t, 1)
	w.join(1)
	w.s.members[0].Start = 0x0102030405060708
	w.s.parts = w.s.parts[:1]
	w.s.parts[0].tainted = 1
	b := w.s.AppendSnapshot(nil)
	old := beforeSessions(b)
	old[0] = snapshotFormatSecond
	i := bytes.Index(old, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	old = slices.Delete(old, i, i+8)
	i = bytes.Index(old, []byte{1, 1, 1, 1, 1, 1, 1, 0, 0}) // parts, term, min-copies, acting, W, tainted, ejected, reset
	old = slices.Delete(old, i+8, i+9)
	s, err := Restore(old)
	if err != nil {
		t.Fatal(err)
	}
	if p := s.parts[0]; s.members[0].Start != 0 || p.tainted != 1 || p.ejected != 1 {
		t.Errorf("%+v, %+v", s.members[0], p)
	}
}
