package seglog

import (
	"errors"
	"fmt"
	"io"
	"time"

	"viewring/internal/disk"
)

// Collecting a segment copies what of it is needed to the end of the log, and frees it
// when the copies are durable, and the word that it is free is as well.

const (
	collectChunk = 256 << 10 // bytes of records that are copied before the copies are waited for
	graveEntries = 4096      // accounted for at a time
	lookEvery    = 500 * time.Millisecond
)

// runBackground collects garbage and writes checkpoints when they are due.
func (s *Store) runBackground() {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-s.quit:
			return
		}
		if err := s.tidy(); err != nil {
			s.fail(err)
			return
		}
	}
}

// tidy does what is due.
func (s *Store) tidy() error {
	s.tidying.Lock()
	defer s.tidying.Unlock()
	for s.digGraves(graveEntries) {
	}
	s.mu.Lock()
	due := s.sinceCkp >= s.opts.CheckpointBytes
	s.mu.Unlock()
	if due {
		if err := s.Checkpoint(); err != nil {
			return err
		}
	}
	for s.Err() == nil {
		select {
		case <-s.quit:
			return nil
		default:
		}
		g, stuck := s.victim()
		if stuck {
			if err := s.Checkpoint(); err != nil { // tombstones wait for one
				return err
			}
			if g, _ = s.victim(); g == nil {
				return nil
			}
		}
		if g == nil {
			return nil
		}
		if err := s.collect(g); err != nil {
			return err
		}
	}
	return nil
}

// victim returns the segment that is to be collected, nil when the log takes no more
// than it may. stuck says that a checkpoint would let some be collected.
func (s *Store) victim() (best *segment, stuck bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	disk, live := int64(0), int64(0)
	var least, drops int64
	var oldest *segment
	for _, n := range s.numbers() {
		g := s.seg(n)
		disk += g.size
		live += g.live
		if g == s.cur || !g.over && g.number >= s.cur.number || !g.durable.Load() || g.collected {
			continue
		}
		kept := g.live
		if !s.droppable(g, g.dropRows > 0) {
			kept += g.dropBytes
			stuck = stuck || g.dropBytes > 0 && !(spot{g.number, g.end}).before(s.covered)
		}
		drops += g.dropBytes
		if oldest == nil {
			oldest = g
		}
		if best == nil || kept < least {
			best, least = g, kept
		}
	}
	if disk <= int64(float64(live)*s.opts.SpaceFactor)+2*s.opts.SegmentBytes {
		return nil, false
	}
	if drops > live/8+s.opts.SegmentBytes && !stuck {
		return oldest, false // what they are kept for is in the oldest segments
	}
	if best == nil || least >= best.size*9/10 {
		return nil, stuck
	}
	return best, false
}

// droppable reports whether the tombstones of a segment are needed no more: no segment
// before it has a record that is dead, and the checkpoint knows what they say.
func (s *Store) droppable(g *segment, rows bool) bool {
	if s.opts.bugs.on(bugDropTombstones) {
		return true
	}
	if !(spot{g.number, g.end}).before(s.covered) {
		return false
	}
	for n, o := range s.table.segs {
		if n < g.number && (o.items > o.liveItems || rows && o.rows > o.liveRows) {
			return false
		}
	}
	return true
}

// Collect frees the segments that have the least in them until the log takes no more
// than it may, and returns how many.
func (s *Store) Collect() (freed int, err error) {
	before := s.stats.freed.Load()
	err = s.tidy()
	return int(s.stats.freed.Load() - before), err
}

// collect copies what is needed of a segment and frees it.
func (s *Store) collect(g *segment) error {
	s.background.Lock()
	defer s.background.Unlock()
	s.sums.collecting.Store(true)
	defer s.sums.collecting.Store(false)
	s.mu.Lock()
	g.collected = true
	drop := s.droppable(g, g.dropRows > 0)
	idle := g.live == 0 && (g.dropBytes == 0 || drop)
	s.mu.Unlock()
	if !idle {
		c, err := s.readAll(g)
		if err != nil {
			// It stays: what of it can be read is read one by one.
			s.damage.Add(1)
			s.opts.Logger.Error("a segment is not collected", "segment", g.number, "err", err)
			return nil
		}
		if err := s.copyLive(c, g, drop); err != nil {
			return fmt.Errorf("collect segment %d: %w", g.number, err)
		}
	}
	return s.free(g)
}

// readAll reads a segment. What its file has been cut off of reads as zeros.
func (s *Store) readAll(g *segment) (*content, error) {
	c := &content{id: s.id, seg: g.number, base: max(g.first, disk.BlockBytes)}
	buf := make([]byte, max(0, g.size-int64(c.base))&^(disk.BlockBytes-1))
	b, err := g.read(buf, c.base)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	clear(buf[len(b):])
	c.b = buf
	return c, nil
}

// copyLive copies the records of a segment that are needed, in their order.
func (s *Store) copyLive(c *content, g *segment, drop bool) error {
	sum := 0
	for h, ok := c.locate(c.base); ok; h, ok = c.locate(h.off + uint32(h.bytes())) {
		slots, _ := c.slots(&h)
		for len(slots) > 0 {
			n, bytes, err := s.move(c, slots, drop)
			if err != nil {
				return err
			}
			slots = slots[n:]
			if sum += bytes; sum >= collectChunk && !s.opts.bugs.on(bugFreeEarly) {
				sum = 0
				if err := s.barrier(); err != nil {
					return err
				}
			}
		}
	}
	s.mu.Lock()
	left := g.live
	s.mu.Unlock()
	if left > 0 {
		if err := s.copyUnreadable(c); err != nil {
			return err
		}
	}
	if s.opts.bugs.on(bugFreeEarly) {
		return nil
	}
	return s.barrier()
}

// move copies some records; it returns how many it has seen, and what it has copied.
func (s *Store) move(c *content, slots []placed, drop bool) (seen, bytes int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.work.Signal()
	for i := range slots {
		if bytes >= collectChunk || s.Err() != nil {
			return i, bytes, s.Err()
		}
		n, err := s.moveOne(c, &slots[i], drop)
		if err != nil {
			return i, bytes, err
		}
		bytes += n
	}
	s.stats.copied.Add(int64(bytes))
	return len(slots), bytes, nil
}

// moveOne copies a record if it is needed.
func (s *Store) moveOne(c *content, p *placed, drop bool) (bytes int, err error) {
	q := s.part(p.part)
	if p.kind == kindFree || p.gen != q.gen {
		return 0, nil
	}
	here := spot{c.seg, p.off}
	var e *entry
	switch p.kind {
	case kindDelete, kindDropRow:
		if drop {
			return 0, nil
		}
		return s.copyTombstone(c, q, p)
	case kindState:
		if q.state.place() != here {
			return 0, nil
		}
		if err := s.reserve(align8(recordBytes+stateBytes+len(q.meta)), 1); err != nil {
			return 0, err
		}
		s.putState(p.part)
		return int(q.state.bytes()), nil
	case kindItem, kindLost:
		e = q.items.findSpot(p.bound, here)
	case kindRow:
		e = q.rows.findSpot(p.bound, here)
	}
	if e == nil {
		if !s.opts.bugs.on(bugMoveOverNewer) || p.kind != kindItem {
			return 0, nil
		}
		if e = q.items.get(q.items.seek(p.bound)); e == nil || e.bound() != p.bound {
			return 0, nil
		}
	}
	return s.copyEntry(c, q, p, e)
}

// findSpot returns the entry at a bound that points to a place.
func (t *tree) findSpot(b bound, at spot) *entry {
	f := t.seek(b)
	for e := t.get(f); e != nil && e.bound() == b; e = t.get(f) {
		if e.place() == at {
			return e
		}
		f = t.next(f)
	}
	return nil
}

// copyEntry copies the record of an entry and lets the entry point to the copy. One that
// cannot be read becomes a record that says so.
func (s *Store) copyEntry(c *content, q *partition, p *placed, e *entry) (int, error) {
	r, _, ok := c.id.readRecord(c.record(p), spot{c.seg, p.off})
	lost := e.lost() || !ok || r.kind != p.kind
	if lost {
		if s.opts.bugs.on(bugLostForgotten) {
			return 0, nil
		}
		if !e.lost() {
			s.damage.Add(1)
		}
		r = record{kind: kindLost, part: p.part, gen: p.gen, key: rowKey(e.bound())}
		if p.kind == kindRow {
			r = record{kind: kindRow, part: p.part, gen: p.gen, key: rowKey(e.bound())}
			r.flags |= flagDoubt // a row without its value: never told of
		}
	}
	r.flags = r.flags &^ flagCollides
	if e.doubted() {
		r.flags |= flagDoubt
	}
	if p.kind != kindRow && q.items.crowded(e.bound()) {
		r.flags |= flagCollides
	}
	if err := s.reserve(r.bytes(), 1); err != nil {
		return 0, err
	}
	n := s.append(&r)
	if r.kind == kindLost {
		n.size |= bitLost
	}
	if r.flags&flagCollides != 0 {
		n.size |= bitShare
	}
	q.mu.Lock()
	s.dead(e, countsAs(p.kind))
	*e = n
	q.mu.Unlock()
	return int(n.bytes()), nil
}

// countsAs is how a record of a kind counts.
func countsAs(k kind) kind {
	if k == kindRow {
		return kindRow
	}
	return kindItem
}

// crowded reports whether several entries have a bound.
func (t *tree) crowded(b bound) bool {
	n := t.get(t.next(t.seek(b)))
	return n != nil && n.bound() == b
}

// copyTombstone copies a deletion, unless the key is there again.
func (s *Store) copyTombstone(c *content, q *partition, p *placed) (int, error) {
	r, _, ok := c.id.readRecord(c.record(p), spot{c.seg, p.off})
	t := &q.items
	if p.kind == kindDropRow {
		t = &q.rows
		r, ok = record{kind: p.kind, part: p.part, gen: p.gen, key: rowKey(p.bound)}, true
	}
	r.flags = 0
	if e := t.get(t.seek(p.bound)); e != nil && e.bound() == p.bound {
		if p.kind == kindDropRow || p.flags&flagCollides == 0 && !q.items.crowded(p.bound) && e.size&bitShare == 0 {
			return 0, nil // what is there now was written later, and replaces as much
		}
		if ok {
			if _, found, _ := s.match(q, r.key, p.bound, NotKnown); found {
				return 0, nil
			}
		}
		r.flags = flagCollides
	}
	if !ok {
		return s.copyLost(p) // what it deleted is not known any more
	}
	if err := s.reserve(r.bytes(), 1); err != nil {
		return 0, err
	}
	s.append(&r)
	return r.bytes(), nil
}

// copyLost stands in for a deletion that cannot be read: that its key is lost is safe
// to say, for it is mended.
func (s *Store) copyLost(p *placed) (int, error) {
	q := s.part(p.part)
	r := record{kind: kindLost, part: p.part, gen: p.gen, key: rowKey(p.bound)}
	if err := s.reserve(r.bytes(), 1); err != nil {
		return 0, err
	}
	e := s.append(&r)
	e.size |= bitLost
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items.insert(e)
	return r.bytes(), nil
}

// copyUnreadable notes as lost what the index has in a segment and no frame there: the
// frames are damaged.
func (s *Store) copyUnreadable(c *content) error {
	known := make(map[uint32]bool)
	for h, ok := c.locate(c.base); ok; h, ok = c.locate(h.off + uint32(h.bytes())) {
		slots, _ := c.slots(&h)
		for i := range slots {
			known[slots[i].off] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.work.Signal()
	for n := range s.parts {
		q := s.parts[n].Load()
		if q == nil {
			continue
		}
		if q.state.seg == c.seg && !known[q.state.off] {
			if err := s.reserve(align8(recordBytes+stateBytes+len(q.meta)), 1); err != nil {
				return err
			}
			s.putState(uint16(n))
		}
		var bad []placed
		for _, t := range []*tree{&q.items, &q.rows} {
			k := kindRow
			if t.items {
				k = kindItem
			}
			t.each(func(e *entry) {
				if e.seg == c.seg && !known[e.off] {
					bad = append(bad, placed{slot{bound: e.bound(), size: e.bytes(), gen: q.gen, part: uint16(n), kind: k}, e.off})
				}
			})
		}
		for i := range bad {
			if _, err := s.moveOne(c, &bad[i], false); err != nil {
				return err
			}
		}
	}
	return nil
}

// free takes a segment out of the log. Its file goes when the log says durably that it
// has gone: else its absence would be damage.
func (s *Store) free(g *segment) error {
	s.mu.Lock()
	if !s.opts.bugs.on(bugFreeUnsaid) {
		r := record{kind: kindFree, key: rowKey(bound{pos: uint64(g.number)})}
		if err := s.reserve(r.bytes(), 1); err != nil {
			s.mu.Unlock()
			return err
		}
		s.append(&r)
		s.work.Signal()
	}
	s.dropSegment(g) // the heads of later segments do not name it
	s.mu.Unlock()
	if !s.opts.bugs.on(bugFreeEarly) {
		if err := s.barrier(); err != nil {
			return err
		}
	}
	if err := s.fs.Remove(segmentName(g.number)); err != nil {
		return fmt.Errorf("remove segment %d: %w", g.number, err)
	}
	s.stats.freed.Add(1)
	return nil
}
