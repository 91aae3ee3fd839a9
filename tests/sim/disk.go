package sim

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"viewring/ring"
	"viewring/server/replica"
)

// space is what a disk has of one partition.
type space struct {
	items map[replica.Key][]byte
	index map[uint64][]byte
	meta  []byte
	last  uint64 // as meta says, once asked for
	known bool

	flipped bool      // bits of items were, at some time
	bad     *badBlock // nil: none
}

func (s *space) clone() *space {
	return &space{items: maps.Clone(s.items), index: maps.Clone(s.index), meta: bytes.Clone(s.meta),
		flipped: s.flipped, bad: s.bad.clone()}
}

// inPlaces are the keys in the order of scans.
func (s *space) inPlaces() []replica.Key {
	cursors := make([]replica.Cursor, 0, len(s.items))
	for k := range s.items {
		cursors = append(cursors, replica.After(k)) // its hash once, not for each comparison
	}
	slices.SortFunc(cursors, func(a, b replica.Cursor) int { return cmp.Or(cmp.Compare(a.Place, b.Place), cmp.Compare(a.Key, b.Key)) })
	keys := make([]replica.Key, len(cursors))
	for i := range cursors {
		keys[i] = cursors[i].Key
	}
	return keys
}

// tables is the content of a disk.
type tables map[ring.PartitionID]*space

func (t tables) space(p ring.PartitionID) *space {
	s := t[p]
	if s == nil {
		s = &space{items: make(map[replica.Key][]byte), index: make(map[uint64][]byte)}
		t[p] = s
	}
	return s
}

func (t tables) apply(b *replica.Batch) {
	for i := range b.Ops {
		o := &b.Ops[i]
		s := t.space(o.Partition)
		switch o.Kind {
		case replica.PutItem:
			s.items[o.Key] = o.Value
			s.bad.wrote(o.Key)
		case replica.DeleteItem:
			delete(s.items, o.Key)
			s.bad.wrote(o.Key)
		case replica.PutIndex:
			s.index[o.Seq] = o.Value
		case replica.TrimIndex:
			maps.DeleteFunc(s.index, func(seq uint64, _ []byte) bool { return seq <= o.Seq })
		case replica.CutIndex:
			maps.DeleteFunc(s.index, func(seq uint64, _ []byte) bool { return seq > o.Seq })
		case replica.PutMeta:
			s.meta, s.known = o.Value, false
		case replica.WipePartition:
			delete(t, o.Partition)
		}
	}
}

// drive keeps a server's partitions: what was applied is visible at once, what
// was synced survives a crash, and of what lies between, a crash keeps a part.
type drive interface {
	replica.Storage
	apply(lane int, b *replica.Batch)
	synced(lane int, number uint64)       // all batches of the lane up to number
	crash(draw func(n int) int)           // draw decides what is kept of the rest
	syncedMeta(p ring.PartitionID) []byte // the meta that a crash now would leave
	syncedLast(p ring.PartitionID) uint64 // the head of the log that it stands for
	hasSynced(p ring.PartitionID, key replica.Key) (has, known bool)
	boot() // after the start or a crash
}

// disk is what outlives a process: a drive, and what a real server keeps of its
// own, always synced.
type disk struct {
	drive
	id          ring.ServerID
	store       [16]byte
	incarnation uint64
	starts      []uint64 // the last that the view leader confirmed, and all since
	epoch       uint64
	view        *ring.View                  // of epoch
	lease       time.Duration               // the longest L seen
	rolledBack  bool                        // it has lost what it had, and nobody knows yet
	old         *oldDisk                    // what it was once
	lostBefore  uint64                      // the incarnation from which on nothing was lost
	lostTerms   map[ring.PartitionID]uint64 // the terms that stood when it was
	harmed      map[ring.PartitionID]bool   // the partitions of which something was damaged
}

// oldDisk is a copy of a disk.
type oldDisk struct {
	tables      tables
	incarnation uint64
	starts      []uint64
	epoch       uint64
	view        *ring.View
}

// mapDrive is a drive of maps: quick, and the same in every run.
type mapDrive struct {
	visible tables
	durable tables
	pending [lanes][]*replica.Batch
}

func newMapDrive() *mapDrive { return &mapDrive{visible: make(tables), durable: make(tables)} }

func (d *mapDrive) boot() {}

func (d *mapDrive) apply(lane int, b *replica.Batch) {
	d.visible.apply(b)
	d.pending[lane] = append(d.pending[lane], b)
}

func (d *mapDrive) synced(lane int, number uint64) {
	for len(d.pending[lane]) > 0 && d.pending[lane][0].Number <= number {
		d.durable.apply(d.pending[lane][0])
		d.pending[lane] = d.pending[lane][1:]
	}
}

// crash loses what was not synced, except for a prefix of each lane's batches.
func (d *mapDrive) crash(draw func(n int) int) {
	for lane := range d.pending {
		for _, b := range d.pending[lane][:draw(len(d.pending[lane])+1)] {
			d.durable.apply(b)
		}
		d.pending[lane] = nil
	}
	d.visible = make(tables, len(d.durable))
	for p, s := range d.durable {
		d.visible[p] = s.clone()
	}
}

func (d *mapDrive) syncedMeta(p ring.PartitionID) []byte {
	if s := d.durable[p]; s != nil {
		return s.meta
	}
	return nil
}

func (d *mapDrive) syncedLast(p ring.PartitionID) uint64 {
	s := d.durable[p]
	if s == nil || s.meta == nil {
		return 0
	}
	if !s.known {
		s.last, s.known = replica.MetaLast(s.meta), true
	}
	return s.last
}

func (d *mapDrive) hasSynced(p ring.PartitionID, key replica.Key) (has, known bool) {
	s := d.durable[p]
	return s != nil && s.items[key] != nil, true
}

// Get implements replica.Storage.
func (d *mapDrive) Get(p ring.PartitionID, key replica.Key) ([]byte, error) {
	if s := d.visible[p]; s != nil {
		return s.read(key)
	}
	return nil, nil
}

// GetPart implements replica.Storage.
func (d *mapDrive) GetPart(p ring.PartitionID, key replica.Key, cut replica.Cut) (pc replica.Piece, item []byte, err error) {
	if item, err = d.Get(p, key); err == nil {
		pc, err = replica.CutItem(key, item, cut)
	}
	return pc, item, err
}

// Scan implements replica.Storage.
func (d *mapDrive) Scan(p ring.PartitionID, from replica.Cursor, fn func(replica.Key, []byte) bool) error {
	s := d.visible[p]
	if s == nil {
		return nil
	}
	for _, k := range s.inPlaces() {
		if !from.Before(k) {
			continue
		}
		if s.bad.holds(k) {
			return replica.ErrCorrupt
		}
		if !fn(k, s.items[k]) {
			break
		}
	}
	return nil
}

// ScanKeys implements replica.Storage.
func (d *mapDrive) ScanKeys(p ring.PartitionID, _ replica.Key, from replica.Cursor, fn func(replica.Key) bool) error {
	return d.Scan(p, from, func(key replica.Key, _ []byte) bool { return fn(key) })
}

// ScanInto implements replica.Storage.
func (d *mapDrive) ScanInto(p ring.PartitionID, from replica.Cursor, room func(n int) []byte, fn func(key replica.Key, item []byte) bool) error {
	return d.Scan(p, from, func(key replica.Key, item []byte) bool {
		if b := room(len(item)); b != nil {
			copy(b, item)
			item = b
		}
		return fn(key, item)
	})
}

// Index implements replica.Storage.
func (d *mapDrive) Index(p ring.PartitionID, after uint64, fn func(uint64, []byte) bool) error {
	s := d.visible[p]
	if s == nil {
		return nil
	}
	for _, seq := range slices.Sorted(maps.Keys(s.index)) {
		if seq > after && !fn(seq, s.index[seq]) {
			break
		}
	}
	return nil
}

// Metas implements replica.Storage.
func (d *mapDrive) Metas(fn func(ring.PartitionID, []byte) bool) error {
	for _, p := range slices.Sorted(maps.Keys(d.visible)) {
		if m := d.visible[p].meta; m != nil && !fn(p, m) {
			break
		}
	}
	return nil
}
