package seglog

import (
	"errors"
	"fmt"
	"io"
	"time"

	"viewring/internal/disk"
)

// Collecting a segment copies the records that are still needed to the end of the log. The
// segment is freed when the copies are durable, and so is the record that says it is free
// (segment cleaning in LFS: Rosenblum, Ousterhout 1992).

const (
	collectChunk = 256 << 10 // bytes of records that are copied before the copies are waited for
	graveEntries = 4096      // accounted for at a time
	lookEvery    = 500 * time.Millisecond

	retryFirst = time.Second // after a failure of a checkpoint or a collection
	retryLast  = time.Minute
)

// runBackground collects garbage and writes checkpoints when they are due.
func (s *Store) runBackground() {
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	pause, grown := retryFirst, s.grown
	for s.Err() == nil {
		select {
		case <-look.C:
		case <-grown:
		case <-s.failure:
			return
		case <-s.quit:
			return
		}
		freed := s.stats.freed.Load()
		if err := s.tidy(true); err != nil && !s.closing.Load() && s.Err() == nil {
			s.opts.Logger.Error("collection or checkpoint of the log failed", "err", err, "next try in", pause)
			look.Reset(pause)
			pause, grown = min(2*pause, retryLast), nil
			continue
		}
		pause, grown = retryFirst, s.grown
		if look.Reset(lookEvery); s.stats.freed.Load() > freed {
			look.Reset(0) // there may be more
		}
	}
}

// tidy does what is due. Paced, it collects one segment at most, no faster than it must.
func (s *Store) tidy(paced bool) error {
	s.waitFor(s.tidying)
	defer s.tidying.unlock()
	if s.closing.Load() {
		return ErrClosed
	}
	for s.digGraves(graveEntries) {
	}
	s.removeAgain()
	var failed error
	if s.checkpointDue() {
		failed = s.Checkpoint() // collection frees space for it
	}
	return errors.Join(failed, s.collectPass(paced))
}

// tailMax is how much log there is between two checkpoints at most, by CheckpointBytes:
// it is what a start reads besides the checkpoint.
const tailMax = 16

// checkpointDue reports whether as much log was written as a checkpoint takes, so that log and
// checkpoints together write no more than twice what the log does.
func (s *Store) checkpointDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sinceCkp >= min(max(s.opts.CheckpointBytes, s.lastCkp), tailMax*s.opts.CheckpointBytes)
}

// collectPass collects until the log takes no more than it may; paced, one segment at most.
func (s *Store) collectPass(paced bool) error {
	s.mu.Lock()
	end := s.nextNumber
	s.low = s.low && !s.hasSpace()
	s.mu.Unlock()
	for helped := false; s.Err() == nil && !s.closing.Load(); {
		g, stuck := s.victim(end, paced)
		if stuck && !helped {
			helped = true
			if err := s.Checkpoint(); err != nil { // tombstones wait for one
				return err
			}
			continue
		}
		if g == nil {
			return nil
		}
		if err := s.collectAt(g, paced); err != nil || paced {
			return err
		}
	}
	return nil
}

// victim returns the segment to collect next, or nil if the log takes no more than it may or
// nothing can be gained. stuck says that a checkpoint would let some be collected. Segments
// from the number end on are left alone, so a pass ends whatever it gains. Each segment is
// looked at once: there may be a hundred thousand.
func (s *Store) victim(end uint32, paced bool) (best *segment, stuck bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	live := int64(0)
	var most float64
	var drops int64
	var oldest *segment
	var before dead
	for _, g := range s.table.order {
		live += g.live
		drop := s.droppable(g, before)
		before.add(g)
		if g.number >= end || g == s.cur || !g.over && g.number >= s.cur.number || !g.durable.Load() || g.collected {
			continue
		}
		kept := g.live
		if !drop {
			kept += g.dropBytes
			stuck = stuck || g.dropBytes > 0 && !s.isCovered(g)
		}
		drops += g.dropBytes
		if oldest == nil {
			oldest = g
		}
		if share := float64(g.won(kept)) / float64(g.size); share > most {
			best, most = g, share // segments differ in length
		}
	}
	enough := s.sums.disk.Load() <= s.allowed()
	if paced {
		soft, _ := s.bounds()
		enough = s.length() <= soft
	}
	if enough && !s.low {
		return nil, false
	}
	if drops > live/8+s.opts.SegmentBytes && !stuck {
		return oldest, false // what they are kept for is in the oldest segments
	}
	return best, stuck && best == nil
}

// won returns how much space is freed by collecting a segment of which so many bytes of records
// are kept; 0 if that is not worth it. Copies are packed, so what small frames waste is gained
// too.
func (g *segment) won(kept int64) int64 {
	records := int64(g.liveItems+g.liveRows) + g.dropBytes/recordBytes
	body := kept + min(records, kept/recordBytes)*slotBytes
	packed := body + body/sectorBytes*sumBytes + (kept/collectChunk+1)*disk.BlockBytes
	packed += disk.BlockBytes                                   // the word that it is free
	won := g.size - int64(g.first) - 2*disk.BlockBytes - packed // two for seals
	if kept == 0 {
		return g.size
	}
	if won < g.size/8 {
		return 0
	}
	return won
}

// dead says whether some segments have records that are dead.
type dead struct{ items, rows bool }

func (d *dead) add(g *segment) {
	d.items = d.items || g.items > g.liveItems
	d.rows = d.rows || g.rows > g.liveRows
}

// isCovered reports whether the durable checkpoint knows all that a segment says.
func (s *Store) isCovered(g *segment) bool { return (spot{g.number, g.end}).before(s.covered) }

// droppable reports whether the tombstones of a segment are no longer needed: no earlier
// segment has a dead record, and the checkpoint has what they say.
func (s *Store) droppable(g *segment, before dead) bool {
	return s.isCovered(g) && !before.items && !(before.rows && g.dropRows > 0)
}

// deadBefore looks at the segments before one. The caller holds mu.
func (s *Store) deadBefore(g *segment) (d dead) {
	for _, o := range s.table.order {
		if o.number >= g.number {
			break
		}
		d.add(o)
	}
	return d
}

// Collect frees the segments that have the least in them until the log takes no more
// than it may, and returns how many.
func (s *Store) Collect() (freed int, err error) {
	before := s.stats.freed.Load()
	err = s.tidy(false)
	return int(s.stats.freed.Load() - before), err
}

// copyLeft copies what the index has of a segment and its frames do not tell of.
func (s *Store) copyLeft(c *content, g *segment) error {
	s.mu.Lock()
	left := g.live
	s.mu.Unlock()
	if left == 0 {
		return nil
	}
	return s.copyUnreadable(c)
}

// collect copies what is needed of a segment and frees it.
func (s *Store) collect(g *segment) error { return s.collectAt(g, false) }

// collectAt is collect. If it is paced, it is no faster than new writes make garbage, as long
// as the log is not too long. If the log is, because records that segments are free wait behind
// a busy writer, several segments are collected before one wait for all of them.
func (s *Store) collectAt(g *segment, paced bool) error {
	s.waitFor(s.background)
	defer s.background.unlock()
	if s.closing.Load() {
		return ErrClosed
	}
	s.sums.collecting.Store(true)
	defer s.sums.collecting.Store(false)
	began := s.stats.copied.Load()
	var freed []*segment
	var err error
	for g != nil {
		var done bool
		if done, err = s.empty(g, paced); !done {
			break
		}
		freed, g = append(freed, g), nil
		if paced && len(freed) < emptyMax && s.stats.copied.Load()-began < s.opts.SegmentBytes {
			g = s.demanded()
		}
	}
	if len(freed) == 0 {
		return err
	}
	if err := s.barrier(); err != nil {
		return err
	}
	return errors.Join(err, s.free(freed))
}

// demanded returns the next segment to collect if the log is longer than it may be, not
// counting what is about to be freed; otherwise nil.
func (s *Store) demanded() *segment {
	s.mu.Lock()
	_, hard := s.bounds()
	ok, end := s.length() > hard && s.cur != nil, uint32(0)
	if ok {
		end = s.cur.number
	}
	s.mu.Unlock()
	if !ok {
		return nil
	}
	g, _ := s.victim(end, true)
	return g
}

// empty copies the needed records of a segment, which is to be freed when the copies are
// durable. It returns false if the segment has to stay.
func (s *Store) empty(g *segment, paced bool) (done bool, err error) {
	if !g.durable.Load() {
		if err := s.barrier(); err != nil { // its seal comes before the frames of the next
			return false, err
		}
	}
	s.mu.Lock()
	g.collected = true
	defer func() {
		if err != nil { // for another time
			s.mu.Lock()
			g.collected = false
			s.mu.Unlock()
		}
	}()
	drop := s.droppable(g, s.deadBefore(g))
	kept := g.live
	if !drop {
		kept += g.dropBytes
	}
	won := g.won(kept)
	s.mu.Unlock()
	if kept > 0 {
		c, err := s.readAll(g)
		if err != nil && !disk.Unreadable(err) {
			return false, fmt.Errorf("collect segment %d: %w", g.number, err)
		}
		if err != nil {
			// It stays: its readable records are read one by one.
			s.damage.Add(1)
			s.opts.Logger.Error("cannot collect a segment", "segment", g.number, "err", err)
			return false, nil
		}
		m := &moving{c: c, slots: c.gather(), drop: drop, paced: paced, won: won, size: g.size, done: make(chan struct{})}
		if len(m.slots) == 0 {
			close(m.done)
		}
		err = s.carry(m)
		if err == nil {
			err = s.copyLeft(c, g)
		}
		if err != nil {
			return false, fmt.Errorf("collect segment %d: %w", g.number, err)
		}
	}
	s.mu.Lock()
	s.leaving += g.size
	s.mu.Unlock()
	return true, nil
}

// emptyMax is how many segments are freed together.
const emptyMax = 64

// readAll reads a segment. What was cut off its file reads as zeros.
func (s *Store) readAll(g *segment) (*content, error) {
	c := &content{id: s.id, seg: g.number, base: max(g.first, disk.BlockBytes)}
	s.mu.Lock()
	size := g.size
	s.mu.Unlock()
	buf := make([]byte, max(0, size-int64(c.base))&^(disk.BlockBytes-1))
	b, err := g.read(buf, c.base)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	clear(buf[len(b):])
	c.b = buf
	return c, nil
}

// moveOne copies a record if it is needed.
func (s *Store) moveOne(c *content, p *placed, drop bool) (bytes int, err error) {
	q := s.part(p.part)
	if p.kind == kindFree || p.gen != q.gen && p.kind != kindLoss {
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
	case kindLoss:
		if s.lossAt.place() != here {
			return 0, nil
		}
		return int(s.lossAt.bytes()), s.putLoss()
	case kindItem, kindLost:
		e = q.items.findSpot(p.bound, here)
	case kindRow:
		e = q.rows.findSpot(p.bound, here)
	}
	if e == nil {
		return 0, nil
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
	r.bound, r.hashed = p.bound, true
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
		// A later record of the same key replaces as much. One of another key does so only
		// while it has the bound for itself, and a third one may come to it.
		if p.kind == kindDropRow || ok && s.hasKey(t, p.bound, r.key) {
			return 0, nil
		}
		if !ok && p.flags&flagCollides == 0 && !e.shared() && !t.crowded(p.bound) {
			return 0, nil // no other key was ever seen to have this bound
		}
		r.flags = flagCollides
	}
	if !ok {
		return s.copyLost(p) // what it deleted is not known any more
	}
	if err := s.reserve(r.bytes(), 1); err != nil {
		return 0, err
	}
	r.bound, r.hashed = p.bound, true
	s.append(&r)
	return r.bytes(), nil
}

// hasKey reports whether a key is certainly in the index: its record was read.
func (s *Store) hasKey(t *tree, b bound, key []byte) bool {
	f := t.seek(b)
	for e := t.get(f); e != nil && e.bound() == b; e = t.get(f) {
		if same, _ := s.isKey(e, key); same {
			return true
		}
		f = t.next(f)
	}
	return false
}

// copyLost writes a record "lost" in place of a deletion that cannot be read. It is safe to
// say that its key is lost, because it is then repaired.
func (s *Store) copyLost(p *placed) (int, error) {
	q := s.part(p.part)
	r := record{kind: kindLost, part: p.part, gen: p.gen, key: rowKey(p.bound)}
	x := q.items.get(q.items.seek(p.bound))
	beside := x != nil && x.bound() == p.bound
	if beside {
		r.flags |= flagCollides
	}
	if err := s.reserve(r.bytes(), 1); err != nil {
		return 0, err
	}
	e := s.append(&r)
	e.size |= bitLost
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items.insert(e)
	if beside {
		q.items.share(p.bound)
	}
	return r.bytes(), nil
}
