package sim

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"viewring/ring"
	"viewring/server/replica"
)

// badBlock is a range of a partition's keys on a disk that cannot be read, but for
// those that were written since. Scans fail on it.
type badBlock struct {
	first, last replica.Key
	written     map[replica.Key]bool
}

func (b *badBlock) clone() *badBlock {
	if b == nil {
		return nil
	}
	return &badBlock{first: b.first, last: b.last, written: maps.Clone(b.written)}
}

func (b *badBlock) holds(key replica.Key) bool {
	return b != nil && b.first <= key && key <= b.last
}

// wrote notes that a key has newer bytes elsewhere.
func (b *badBlock) wrote(key replica.Key) {
	if b.holds(key) {
		b.written[key] = true
	}
}

// read is what reading a key comes to, for a disk that may have flipped bits.
func (s *space) read(key replica.Key) ([]byte, error) {
	if s.bad.holds(key) && !s.bad.written[key] {
		return nil, fmt.Errorf("%w: bad block", replica.ErrCorrupt)
	}
	item := s.items[key]
	if item == nil || !s.flipped {
		return item, nil
	}
	if _, err := replica.DecodeItem(key, item); err != nil {
		return nil, err
	}
	return item, nil
}

const scrubEvery = 400 * time.Millisecond

// flipBit changes a bit of an item that another acting replica has as well.
func (w *world) flipBit(s *server) bool {
	return w.flipIn(s, ring.PartitionID(w.rng.IntN(w.partitions)))
}

func (w *world) flipIn(s *server, p ring.PartitionID) bool {
	return w.spoil(s, p, 1, func(d *mapDrive, keys []replica.Key) {
		key := w.pickFlipped(keys)
		item := bytes.Clone(d.durable[p].items[key])
		item[w.rng.IntN(len(item))] ^= 1 << w.rng.IntN(8)
		for _, s := range []*space{d.durable[p], d.visible[p]} {
			s.items[key], s.flipped = item, true
		}
	})
}

// pickFlipped prefers the keys of users to the many records.
func (w *world) pickFlipped(keys []replica.Key) replica.Key {
	users := slices.DeleteFunc(slices.Clone(keys), func(k replica.Key) bool { return k.Space() != replica.SpaceUser })
	if len(users) > 0 && w.chance(0.7) {
		keys = users
	}
	return keys[w.rng.IntN(len(keys))]
}

// flipUnderLag flips bits on a primary and on a backup whose link is slow: what mends
// them meets entries that are under way.
func (w *world) flipUnderLag() bool {
	v := w.leader.state.View()
	p := ring.PartitionID(w.rng.IntN(w.partitions))
	acting := v.Partitions[p].Acting
	if len(acting) < 3 {
		return false
	}
	primary, backup := w.byID(acting[0]), w.byID(acting[1+w.rng.IntN(2)])
	if primary == nil || backup == nil {
		return false
	}
	l := link{primary.id(), backup.id()}
	w.slow[l] = true
	w.after(2500*time.Millisecond, func() { delete(w.slow, l) })
	for range 6 {
		w.after(time.Duration(w.rng.Int64N(int64(2500*time.Millisecond))), func() {
			s := primary
			if w.chance(0.5) {
				s = backup
			}
			if w.flipIn(s, p) && w.chance(0.7) {
				w.scrubServer(s)
			}
		})
	}
	return true
}

// breakBlock makes a range of a partition's items unreadable.
func (w *world) breakBlock(s *server) bool {
	p := ring.PartitionID(w.rng.IntN(w.partitions))
	return w.spoil(s, p, 2, func(d *mapDrive, keys []replica.Key) {
		from := w.rng.IntN(len(keys))
		to := min(from+w.rng.IntN(4), len(keys)-1)
		for _, s := range []*space{d.durable[p], d.visible[p]} {
			s.bad = &badBlock{first: keys[from], last: keys[to], written: make(map[replica.Key]bool)}
		}
	})
}

// spoil lets damage do something to a server's copy of p, to keys of which enough of
// at least two others that act have the same bytes, synced and sound. Where one copy is
// enough to go on, the others may leave before anything is repaired (seed 70039645): what was
// damaged is lost then.
func (w *world) spoil(s *server, p ring.PartitionID, enough int, damage func(d *mapDrive, keys []replica.Key)) bool {
	d, ok := s.disk.drive.(*mapDrive)
	if !ok || !s.alive || s.node == nil || s.doomed || s.disk.rolledBack || w.calm {
		return false
	}
	vp := &w.leader.state.View().Partitions[p]
	acting := vp.Acting
	if !slices.Contains(acting, s.id()) || len(acting) < 3 || vp.MinCopies < 2 || d.durable[p] == nil || w.damaged(p) {
		return false
	}
	for _, id := range acting {
		o := w.byID(id)
		if o == nil || !o.alive || o.doomed || o.disk.rolledBack {
			return false
		}
	}
	var keys []replica.Key
	for _, key := range slices.Sorted(maps.Keys(d.durable[p].items)) {
		if w.copiesLike(d, p, key, acting) > enough {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return false
	}
	damage(d, keys)
	s.disk.harmed[p] = true
	if !w.flips {
		w.flips = true
		w.after(scrubEvery, w.scrub)
	}
	return true
}

// copiesLike counts who has the same bytes at a key as d has synced, d included.
func (w *world) copiesLike(d *mapDrive, p ring.PartitionID, key replica.Key, ids []ring.ServerID) (n int) {
	for _, id := range ids {
		od := w.byID(id).disk.drive.(*mapDrive)
		if od.durable[p] != nil && bytes.Equal(od.durable[p].items[key], d.durable[p].items[key]) &&
			bytes.Equal(od.visible[p].items[key], d.durable[p].items[key]) {
			n++
		}
	}
	return n
}

// damaged reports whether any disk has a copy of p with damage that is not repaired.
func (w *world) damaged(p ring.PartitionID) bool {
	return slices.ContainsFunc(w.servers, func(s *server) bool { return s.damagedIn(p) })
}

// damagedIn reports whether the server's copy of p has such damage. It may leave
// acting for that, so nothing else may rest on it alone.
func (s *server) damagedIn(p ring.PartitionID) bool {
	d, ok := s.disk.drive.(*mapDrive)
	return ok && (d.visible[p].unsound() != nil || d.durable[p].unsound() != nil)
}

// unsound returns what of a copy cannot be read: keys, and the block's first.
func (s *space) unsound() (keys []replica.Key) {
	if s == nil {
		return nil
	}
	if s.flipped {
		for _, key := range slices.Sorted(maps.Keys(s.items)) {
			if _, err := replica.DecodeItem(key, s.items[key]); err != nil {
				keys = append(keys, key)
			}
		}
	}
	if s.bad != nil {
		keys = append(keys, s.bad.first)
	}
	return keys
}

// scrub tells the lanes what their disks cannot read.
func (w *world) scrub() {
	if w.converged {
		return
	}
	w.after(scrubEvery, w.scrub)
	for _, s := range w.servers {
		w.scrubServer(s)
	}
}

func (w *world) scrubServer(s *server) {
	d, ok := s.disk.drive.(*mapDrive)
	if !ok || !s.alive || s.node == nil {
		return
	}
	for _, p := range slices.Sorted(maps.Keys(d.visible)) {
		sp := d.visible[p]
		keys := sp.unsound()
		if len(keys) == 0 {
			continue
		}
		broken := sp.bad != nil
		w.count("scrub finds damage")
		s.lanes[int(p)%lanes].post(func(at replica.Instant, c *replica.Core) {
			for _, key := range keys {
				c.Repair(at, p, key)
			}
			if broken {
				c.Damaged(at, p)
			}
		})
	}
}

// unequal says which copies of a partition do not have the same bytes, or have
// some that cannot be read. A bad block stays where no copy can be spared.
func (w *world) unequal(p ring.PartitionID, targets []ring.ServerID) string {
	spare := len(targets) > int(w.leader.state.View().Partitions[p].MinCopies)
	var first *space
	for _, id := range targets {
		d, ok := w.byID(id).disk.drive.(*mapDrive)
		if !ok {
			return ""
		}
		sp := d.durable.space(p)
		if bad := sp.unsound(); len(bad) > 1 || bad != nil && (spare || sp.bad == nil) {
			return fmt.Sprintf("%v cannot read %q", id, bad)
		}
		if first == nil {
			first = sp
		}
		if !maps.EqualFunc(sp.items, first.items, bytes.Equal) {
			return fmt.Sprintf("%v and %v have different bytes", targets[0], id)
		}
	}
	return ""
}
