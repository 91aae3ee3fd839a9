package seglog

import (
	"time"

	"viewring/internal/disk"
)

// moving is a segment whose records are being copied. Guarded by mu.
type moving struct {
	c     *content
	slots []placed
	drop  bool  // tombstones are needed no more
	next  int   // of slots: those before it were copied, or are not needed
	paced bool  // no faster than new writes make garbage
	began int64 // fresh bytes before it
	size  int64 // of the segment's file
	won   int64 // bytes that there are again when it is freed
	err   error
	done  chan struct{} // closed when all were copied, or one could not be
}

// gather lists the records of a segment, in their order.
func (c *content) gather() (all []placed) {
	for h, ok := c.locate(c.base); ok; h, ok = c.locate(h.off + uint32(h.bytes())) {
		slots, _ := c.slots(&h)
		all = append(all, slots...)
	}
	return all
}

// carry copies the records of m that are needed.
//
// Most of them ride: the writer adds them to the frames of sets, as they are due. If there
// are no sets, or somebody waits for the end, they get frames of their own, between those of
// sets.
func (s *Store) carry(m *moving) error {
	s.mu.Lock()
	m.began = s.fresh
	s.moving = m
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.moving = nil
		s.mu.Unlock()
	}()
	look := time.NewTicker(lateEvery)
	defer look.Stop()
	seen, quiet, late := int64(-1), 0, 0 // looks in a row at which nothing was written, and less was copied than is due
	for !m.isDone() {
		s.mu.Lock()
		now, due, low := s.fresh, s.due(m), s.low
		behind := m.next < due
		s.mu.Unlock()
		var err error
		switch {
		case !m.paced || low || quiet >= quietLooks || s.hurried.Load() > 0:
			err = s.moveChunk(m, true)
		case behind && (late >= lateLooks || due == len(m.slots)):
			// A writer that has whole frames waiting takes no copies along. Those who fill
			// them wait behind these, which are no more than a segment has.
			err = s.moveChunk(m, false)
		default:
			select {
			case <-m.done:
			case <-s.hurry:
			case <-s.failure:
				return s.Err()
			case <-s.quit:
				return ErrClosed
			case <-look.C:
				quiet, late = counted(quiet, now == seen), counted(late, behind)
				seen = now
			}
		}
		if err != nil {
			return err
		}
	}
	return m.err
}

// While a collection goes on it is looked at so often: when nothing is written for half a
// second, or copies that ride have been late for a while, others are made.
const (
	lateEvery  = 50 * time.Millisecond
	quietLooks = 10
	lateLooks  = 4
)

// counted is how many looks in a row said yes.
func counted(n int, yes bool) int {
	if !yes {
		return 0
	}
	return n + 1
}

func (m *moving) isDone() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// moveChunk copies as many records as go into one frame of their own: otherwise the writer
// would take them one by one, and pad each frame. With wait it returns when they are durable.
func (s *Store) moveChunk(m *moving, wait bool) error {
	s.mu.Lock()
	bytes := 0
	for end := m.next + looksMax; m.more() && bytes < collectChunk && m.next < end && s.Err() == nil; {
		bytes += s.moveNext(m)
	}
	s.work.Signal()
	s.mu.Unlock()
	if !wait {
		return s.Err()
	}
	return s.barrier()
}

// looksMax is how many records are looked at under one lock. Records that are no longer needed
// take no space in a frame, and batches wait meanwhile.
const looksMax = 4096

func (m *moving) more() bool { return m.err == nil && m.next < len(m.slots) }

// moveNext copies the next record if it is needed. The caller holds mu.
func (s *Store) moveNext(m *moving) (bytes int) {
	p := &m.slots[m.next]
	bytes, m.err = s.moveOne(m.c, p, m.drop)
	m.next++
	s.stats.copied.Add(int64(bytes))
	if !m.more() {
		close(m.done)
	}
	return bytes
}

// ride adds copies to the growing frame before it is written: as many as are due, and then
// those that fit into its padding, where they cost nothing. The caller holds mu.
func (s *Store) ride() {
	m := s.moving
	if m == nil || !m.more() {
		return
	}
	due := m.next
	if m.paced {
		due = s.due(m)
	}
	for bytes, end := 0, m.next+looksMax; m.more() && bytes < collectChunk && m.next < end && len(s.queue) == 0 && s.Err() == nil; {
		if m.next >= due && !s.findFit(m) {
			return
		}
		bytes += s.moveNext(m)
	}
}

// fitLooks is how many records are looked at for one that goes into the padding.
const fitLooks = 32

// findFit lets the next record be one whose copy takes only padding of the frame that grows,
// or none; false: none of the next few. Records of items and rows, of which one at most is in
// the index for each, may change places.
func (s *Store) findFit(m *moving) bool {
	for i := m.next; i < min(len(m.slots), m.next+fitLooks); i++ {
		p := &m.slots[i]
		if p.kind != kindItem && p.kind != kindRow && p.kind != kindState {
			return false // tombstones stay where they are
		}
		if s.fits(p) || !s.isNeeded(m.c.seg, p) {
			m.slots[m.next], m.slots[i] = m.slots[i], m.slots[m.next]
			return true
		}
	}
	return false
}

// isNeeded reports whether a record of an item, a row or a state is the newest.
func (s *Store) isNeeded(seg uint32, p *placed) bool {
	q, here := s.part(p.part), spot{seg, p.off}
	switch {
	case p.gen != q.gen:
		return false
	case p.kind == kindState:
		return q.state.place() == here
	case p.kind == kindRow:
		return q.rows.findSpot(p.bound, here) != nil
	}
	return q.items.findSpot(p.bound, here) != nil
}

// fits reports whether the copy of an item or a row takes only padding of the frame that grows.
func (s *Store) fits(p *placed) bool {
	if p.kind == kindState {
		return false // the meta may have become longer
	}
	f, n := s.building, max(int(p.size), align8(recordBytes+boundBytes)) // it may be lost
	records := len(f.slots) + 1
	bytes := frameBytes(f.body+n, records, len(f.prev.parts))
	return bytes <= f.bytes() && f.body+n <= frameBytesSoft && int64(f.off)+int64(bytes+sealReserve(records)) <= f.seg.size
}

// due returns up to which record a collection should have come. Its copies are spread over as
// many bytes of new writes as it gives back, so that the log keeps its length. They are spread
// over fewer as the length nears its bound, and over none beyond. The caller holds mu.
func (s *Store) due(m *moving) int {
	soft, hard := s.bounds()
	span := float64(m.won) * min(1, 2*float64(hard-s.length())/float64(hard-soft))
	done := float64(s.fresh - m.began)
	if span <= done {
		return len(m.slots)
	}
	return int(done / span * float64(len(m.slots)))
}

// length returns the length of the log, without the idle end of its newest segment and without
// what was already copied of those being collected. It grows with each byte that is written and
// shrinks with each that collection gives back, not by whole segments. The caller holds mu.
func (s *Store) length() int64 {
	n := s.sums.disk.Load() - s.leaving
	if s.cur != nil && !s.cur.over {
		n -= s.cur.size - int64(s.cur.end)
	}
	if m := s.moving; m != nil && len(m.slots) > 0 {
		n -= m.size * int64(m.next) / int64(len(m.slots))
	}
	return n
}

// A part of what lives may lie beside it, on top of SpaceFactor: no less than some of the segments
// that there are, no more than two of Options.SegmentBytes.
const (
	slackPart     = 10
	slackSegments = 3
)

// allowed is how long the log may be, by its files.
func (s *Store) allowed() int64 {
	live := s.sums.live.Load()
	return int64(float64(live)*s.opts.SpaceFactor) + min(2*s.opts.SegmentBytes, max(live/slackPart, slackSegments*s.segmentBytes()))
}

// bounds returns the lengths of the log between which it is collected as fast as new writes make
// garbage; beyond hard it is collected as fast as possible. Its files take up to a segment more:
// the idle end of the newest.
func (s *Store) bounds() (soft, hard int64) {
	one := s.segmentBytes()
	hard = s.allowed() - one
	return hard - max(1, min(one, s.sums.live.Load()/5)), hard // so filling alone collects nothing
}

// The length of segments: at most Options.SegmentBytes, but no more than a part of what lives,
// for two of them are beside it.
const (
	segmentPart  = 24
	segmentLeast = 1 << 20
)

// segmentBytes is how long the next segment gets.
func (s *Store) segmentBytes() int64 {
	n := s.opts.SegmentBytes
	for live := s.sums.live.Load(); n/2 >= segmentLeast && n*segmentPart > live; {
		n /= 2
	}
	return n &^ (disk.BlockBytes - 1)
}

// waitFor takes a gate. A collection that is under way then hurries.
func (s *Store) waitFor(g gate) {
	s.hurried.Add(1)
	defer s.hurried.Add(-1)
	select {
	case s.hurry <- struct{}{}:
	default: // told already
	}
	g.lock()
}
