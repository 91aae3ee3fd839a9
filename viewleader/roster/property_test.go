package roster

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// driver makes random commands, most of them plausible.
type driver struct {
	r     *rand.Rand
	s     *State
	at    int64
	incs  map[ring.ServerID]uint64
	inst  map[ring.ServerID]uint64
	store map[ring.ServerID]byte
	next  byte
}

func (d *driver) id() ring.ServerID { return ring.ServerID(1 + d.r.IntN(int(d.s.nextID))) }

func (d *driver) incarnated(id ring.ServerID) ring.Incarnated {
	if m := d.s.member(id); m != nil && d.r.IntN(20) > 0 {
		return ring.Incarnated{ID: id, Incarnation: m.Incarnation}
	}
	return ring.Incarnated{ID: id, Incarnation: d.r.Uint64N(5)}
}

func (d *driver) command() Command {
	d.at += d.r.Int64N(1000)
	c := Command{At: d.at}
	switch n := d.r.IntN(100); {
	case n < 6 && d.next < 9:
		d.next++
		c.Kind, c.Register = KindRegister, vocab.Register{Store: [16]byte{d.next}, Instance: d.r.Uint64() | 1,
			Incarnation: 1, Addr: fmt.Sprintf("h:%d", d.next), Whole: true}
		d.store[d.s.nextID] = d.next
	case n < 26:
		c.Kind, c.Register = KindRegister, d.comeback()
	case n < 40:
		c.Kind = KindExpire
		for range 1 + d.r.IntN(3) {
			c.Who = append(c.Who, d.incarnated(d.id()))
		}
	case n < 60:
		c = d.change(c)
	case n < 62:
		c.Kind, c.ID = KindOut, d.id()
	case n < 63:
		c.Kind, c.ID = KindLeave, d.id()
	case n < 65:
		c.Kind, c.ID = []Kind{KindDrain, KindDrain, KindUndrain}[d.r.IntN(3)], d.id()
	case n < 66:
		c.Kind, c.ID = KindRemove, d.id()
	case n < 67 && d.r.IntN(2) == 0:
		c.Kind = KindAcceptLoss
		for i := range d.s.parts {
			if p := &d.s.parts[i]; !d.s.anyUp(p.Acting) || d.r.IntN(200) == 0 {
				c.Partitions = append(c.Partitions, ring.PartitionID(i))
			}
		}
	case n < 67:
		c.Kind, c.MinCopies, c.LeaseTTL = KindConfigure, 1+d.r.IntN(3), time.Second
	case n < 85:
		c.Kind, c.Wait, c.TTL = KindLockGet, d.r.IntN(4) > 0, d.r.Int64N(3)*d.r.Int64N(5000)
		c.Lock, c.Client = fmt.Sprint("L", d.r.IntN(4)), fmt.Sprint("c", d.r.IntN(5))
	case n < 93:
		c.Kind, c.Lock, c.Client = KindLockFree, fmt.Sprint("L", d.r.IntN(4)), fmt.Sprint("c", d.r.IntN(5))
	case n < 94:
		c.Kind, c.ID, c.Weight = KindSetWeight, d.id(), d.r.Uint32N(6)
	case n < 95:
		c.Kind, c.ID, c.Zone = KindSetZone, d.id(), fmt.Sprint("z", d.r.IntN(4))
	case n < 96:
		c.Kind, c.Lock, c.Client = KindLockDequeue, fmt.Sprint("L", d.r.IntN(4)), fmt.Sprint("c", d.r.IntN(5))
	default:
		c.Kind = KindLockTick
	}
	return c
}

func (d *driver) comeback() vocab.Register {
	id := d.id()
	r := vocab.Register{ID: id, Store: [16]byte{d.store[id]}, Addr: fmt.Sprintf("h:%d", d.store[id]),
		Incarnation: 1, Instance: 1, Whole: d.r.IntN(6) > 0}
	if m := d.s.member(id); m != nil {
		r.Incarnation, r.Instance, r.Previous = m.Incarnation, m.Instance, m.Incarnation
	}
	if m := d.s.member(id); m != nil && (m.Start != 0 || d.r.IntN(3) == 0) {
		r.Starts = []uint64{m.Start - uint64(d.r.IntN(8)/7), d.r.Uint64() | 1}
	}
	switch d.r.IntN(10) {
	case 0:
		r.Instance++
	case 1, 2:
	default:
		r.Incarnation++
		r.Instance = d.r.Uint64() | 1
	}
	return r
}

func (d *driver) change(c Command) Command {
	c.Partition = ring.PartitionID(d.r.IntN(len(d.s.parts) + 1))
	p := &d.s.parts[int(c.Partition)%len(d.s.parts)]
	c.Term = p.Term - uint64(d.r.IntN(10)/9)
	c.From = d.incarnated(p.Primary())
	if d.r.IntN(2) == 0 {
		for i := range d.s.parts { // one that a member of W may bring back
			q := &d.s.parts[i]
			up := slices.IndexFunc(q.Writable, d.s.isUp)
			if up >= 0 && !d.s.anyUp(q.Acting) || len(q.Writable) > 0 && d.r.IntN(100) == 0 {
				return Command{Kind: KindRestore, At: c.At, Partition: ring.PartitionID(i), Term: q.Term, From: d.incarnated(q.Writable[max(0, up)])}
			}
		}
	}
	if d.r.IntN(4) == 0 {
		c.Kind = KindEject
		c.Who = []ring.Incarnated{d.incarnated(d.id())}
		if d.r.IntN(3) == 0 {
			c.From = d.incarnated(d.id())
		}
		return c
	}
	c.Kind = KindHandoff
	set := slices.Clone(p.Acting)
	if t, err := d.s.ringTable(); err == nil {
		targets := t.Targets(c.Partition % ring.PartitionID(len(d.s.parts)))
		if d.r.IntN(2) == 0 {
			set = slices.Clone(targets)
		} else if len(targets) > 0 {
			set = append(set, targets[d.r.IntN(len(targets))])
		}
	}
	d.r.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
	for _, id := range set {
		c.Who = append(c.Who, d.incarnated(id))
	}
	return c
}

func newDriver(seed uint64) *driver {
	return &driver{
		r: rand.New(rand.NewPCG(seed, 1)), s: New(Config{Partitions: 16, MinCopies: 2}), at: 1,
		incs: map[ring.ServerID]uint64{}, inst: map[ring.ServerID]uint64{}, store: map[ring.ServerID]byte{},
	}
}

func TestProperties(t *testing.T) {
	reset, restored := 0, 0
	for seed := range uint64(60) {
		d := newDriver(seed)
		twin := New(Config{Partitions: 16, MinCopies: 2})
		sets := make(map[[2]uint64]string)
		notWhole := 0
		for step := range 200 {
			batch := make([]Command, 1+d.r.IntN(3))
			for i := range batch {
				batch[i] = d.command()
			}
			before := d.s.View()
			token := d.s.locks.token
			results := d.s.Apply(batch)
			if err := checkStep(before, d.s.View(), batch, results, sets); err != nil {
				t.Fatalf("seed %d step %d: %v\n%+v", seed, step, err, batch)
			}
			if d.s.locks.token < token {
				t.Fatalf("seed %d step %d: token went back", seed, step)
			}
			for i, c := range batch {
				if c.Kind == KindRestore && results[i].Code == Done {
					restored++
				}
			}
			for _, p := range d.s.View().Partitions {
				if p.Term > 0 && len(p.Acting) == 0 {
					notWhole++
				}
			}
			for i, p := range d.s.View().Partitions {
				if p.ResetTerm != before.Partitions[i].ResetTerm {
					reset++
				}
			}
			twin = replay(t, twin, batch, d.r.IntN(20) == 0)
			if !bytes.Equal(twin.AppendSnapshot(nil), d.s.AppendSnapshot(nil)) {
				t.Fatalf("seed %d step %d: the replay differs", seed, step)
			}
		}
	}
	if reset < 40 || restored < 8 {
		t.Errorf("only %d partitions were made anew, %d restored by their servers' word", reset, restored)
	}
}

// replay sends the batch through the codec into a twin, now and then through a
// snapshot too.
func replay(t *testing.T, twin *State, batch []Command, snapshot bool) *State {
	t.Helper()
	if snapshot {
		restored, err := Restore(twin.AppendSnapshot(nil))
		if err != nil {
			t.Fatal(err)
		}
		twin = restored
	}
	decoded, err := DecodeCommands(AppendCommands(nil, batch))
	if err != nil {
		t.Fatal(err)
	}
	twin.Apply(decoded)
	return twin
}

// checkStep compares the views before and after one batch.
func checkStep(before, after *ring.View, batch []Command, results []Result, sets map[[2]uint64]string) error {
	if after.Epoch != before.Epoch && after.Epoch != before.Epoch+1 {
		return fmt.Errorf("epoch %d after %d", after.Epoch, before.Epoch)
	}
	if after.Epoch == before.Epoch && !bytes.Equal(viewBytes(before), viewBytes(after)) {
		return fmt.Errorf("the view of epoch %d was amended", after.Epoch)
	}
	notWhole := make(map[ring.ServerID]bool)
	for i, c := range batch {
		if c.Kind == KindRegister && results[i].Code == Done {
			notWhole[results[i].ID] = true // may not be whole, or may have been doubted
		}
	}
	for i := range after.Partitions {
		if err := checkRebirth(before, after, i, batch, results); err != nil {
			return fmt.Errorf("partition %d: %w (%+v -> %+v)", i, err, before.Partitions[i], after.Partitions[i])
		}
		if err := checkPartition(before, after, i, notWhole); err != nil {
			return fmt.Errorf("partition %d: %w (%+v -> %+v)", i, err, before.Partitions[i], after.Partitions[i])
		}
		p := &after.Partitions[i]
		key := [2]uint64{uint64(i), p.Term}
		set := fmt.Sprint(p.Acting, p.Writable, p.MinCopies)
		if old, ok := sets[key]; ok && old != set {
			return fmt.Errorf("partition %d has two configurations in term %d: %s and %s", i, p.Term, old, set)
		}
		sets[key] = set
	}
	return nil
}

// checkRebirth: a partition is made anew by an operator's command alone, in a term
// of its own, and only when nobody up held it.
func checkRebirth(before, after *ring.View, i int, batch []Command, results []Result) error {
	old, p := &before.Partitions[i], &after.Partitions[i]
	if p.ResetTerm == old.ResetTerm {
		return nil
	}
	named := false
	for j, c := range batch {
		named = named || c.Kind == KindAcceptLoss && results[j].Code == Done && slices.Contains(c.Partitions, ring.PartitionID(i))
	}
	switch {
	case !named:
		return fmt.Errorf("reset by nobody's word")
	case p.ResetTerm != after.Epoch || p.Term != after.Epoch:
		return fmt.Errorf("reset in term %d, epoch %d", p.ResetTerm, after.Epoch)
	case len(batch) == 1 && before.Member(p.Primary()) == nil:
		return fmt.Errorf("reset on %v", p.Acting)
	case len(batch) == 1 && !before.Unserved(ring.PartitionID(i)):
		return fmt.Errorf("reset although somebody up held it")
	case len(batch) == 1 && (len(p.Acting) != 1 || !slices.Equal(p.Writable, p.Acting) || p.MinCopies > old.MinCopies):
		return fmt.Errorf("reset as %+v", *p)
	}
	return nil
}

func checkPartition(before, after *ring.View, i int, registered map[ring.ServerID]bool) error {
	old, p := &before.Partitions[i], &after.Partitions[i]
	same := slices.Equal(old.Acting, p.Acting) && slices.Equal(old.Writable, p.Writable) && old.MinCopies == p.MinCopies
	switch {
	case p.Term == old.Term && !same:
		return fmt.Errorf("changed without a new term")
	case p.Term != old.Term && p.Term != after.Epoch:
		return fmt.Errorf("the term is not the epoch %d", after.Epoch)
	}
	if p.Term == after.Epoch && len(p.Acting) >= int(p.MinCopies) && !slices.Equal(p.Writable, p.Acting) {
		return fmt.Errorf("W is not the acting set")
	}
	for j, id := range p.Acting {
		if after.Member(id) == nil || slices.Index(p.Acting, id) != j {
			return fmt.Errorf("acting %v", p.Acting)
		}
	}
	// The last acting replica goes only when it comes back without its data.
	if len(p.Acting) == 0 && len(old.Acting) > 0 && p.ResetTerm == old.ResetTerm {
		for _, id := range old.Acting {
			if !registered[id] && len(old.Acting) == 1 {
				return fmt.Errorf("the last acting replica was removed")
			}
		}
	}
	// Whoever acts now acted before, or was handed the partition, or is restored from W.
	if len(p.Acting) > 0 && len(old.Acting) > 0 && p.ResetTerm == old.ResetTerm {
		kept := slices.ContainsFunc(p.Acting, old.IsActing)
		restored := len(p.Acting) == 1 && slices.Contains(old.Writable, p.Acting[0])
		if !kept && !restored && len(p.Acting) < int(old.MinCopies) {
			return fmt.Errorf("nobody who held everything acts")
		}
	}
	return nil
}

func viewBytes(v *ring.View) []byte { return fmt.Appendf(nil, "%+v", *v) }

func FuzzDecode(f *testing.F) {
	d := newDriver(1)
	for range 50 {
		c := []Command{d.command(), d.command()}
		f.Add(AppendCommands(nil, c))
		d.s.Apply(c)
	}
	f.Add(d.s.AppendSnapshot(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if cmds, err := DecodeCommands(b); err == nil {
			New(Config{Partitions: 16, MinCopies: 2}).Apply(cmds)
			again, err := DecodeCommands(AppendCommands(nil, cmds))
			if err != nil || len(again) != len(cmds) {
				t.Fatalf("%v: %d commands, then %d", err, len(cmds), len(again))
			}
		}
		if s, err := Restore(b); err == nil {
			s.Locks()
			s.View()
		}
	})
}

func TestFormatRefusedByName(t *testing.T) {
	if _, err := DecodeCommands([]byte{9, 0}); err == nil || !bytes.Contains([]byte(err.Error()), []byte("format version 9")) {
		t.Fatal(err)
	}
	if _, err := Restore([]byte{7}); err == nil || !bytes.Contains([]byte(err.Error()), []byte("format version 7")) {
		t.Fatal(err)
	}
}
