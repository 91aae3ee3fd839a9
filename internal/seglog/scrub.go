package seglog

import (
	"context"
	"fmt"

	"viewring/internal/disk"
)

// Finding is something that cannot be read and is needed.
type Finding struct {
	Part uint16
	Key  []byte // of the item; nil where it is not known, or it is no item
	Err  error
}

// Scrubbing is what a look at everything needs.
type Scrubbing struct {
	Pace  func(bytes int) error // is told of what was read; its error ends the scrub
	Found func(Finding)         // is told of what is corrupt
	// Item, unless nil, is told of every other item. The slices are valid during the call.
	Item func(part uint16, key, value []byte)
}

// Scrub reads all segments, one after the other and each from its beginning, and verifies
// each record that is needed. What it finds may have been overwritten since: whoever is
// told looks again. A segment in which one scrub has met damage is collected by the next:
// what is needed is repaired by then, and what is not is not met again. It runs beside
// everything else.
func (s *Store) Scrub(ctx context.Context, job *Scrubbing) error {
	if err := s.collectHurt(); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	if err := s.endSegment(); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	s.mu.Lock()
	numbers := s.numbers()
	s.mu.Unlock()
	for _, n := range numbers {
		if err := s.scrubSegment(ctx, job, n); err != nil {
			return fmt.Errorf("scrub: segment %d: %w", n, err)
		}
	}
	s.tellLost(job)
	return nil
}

// tellLost tells of the partitions of which the index knows that something is lost: a
// segment that was collected before its turn came has been read for that, and what could
// not be read of it is known by then.
func (s *Store) tellLost(job *Scrubbing) {
	for n, p := range s.present() {
		lost := 0
		look := func(e *entry) {
			if e.lost() || e.doubted() {
				lost++
			}
		}
		p.mu.RLock()
		p.items.each(look)
		p.rows.each(look)
		p.mu.RUnlock()
		if lost > 0 {
			job.Found(Finding{Part: n, Err: fmt.Errorf("%w: %d records are lost", ErrCorrupt, lost)})
		}
	}
}

// endSegment lets the log go on in a new segment, and waits for all before it: what is
// read then is on the disk.
func (s *Store) endSegment() error {
	s.mu.Lock()
	if s.building != nil {
		s.full()
	}
	var err error
	if s.cur != nil && s.cur.end > s.cur.first && s.Err() == nil && !s.closing.Load() {
		err = s.openSegment(0, 0)
		s.work.Signal()
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.barrier()
}

// scrubber is a look at one segment.
type scrubber struct {
	s       *Store
	job     *Scrubbing
	c       content
	checked int  // live records of items and rows
	bad     bool // damage was met
}

func (s *Store) scrubSegment(ctx context.Context, job *Scrubbing, n uint32) error {
	g := s.acquire(n)
	if g == nil {
		return nil // collected meanwhile, and read for that
	}
	defer g.release()
	if !g.durable.Load() {
		return nil // it was begun after the scrub was
	}
	k := &scrubber{s: s, job: job}
	at := max(g.first, disk.BlockBytes)
	for at < g.end {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		next, err := k.frame(g, at)
		if err != nil {
			return err
		}
		at = next
	}
	s.mu.Lock()
	missed := g.liveItems+g.liveRows > k.checked
	s.mu.Unlock()
	if missed {
		if err := k.missed(ctx, n); err != nil {
			return err
		}
	}
	if k.bad {
		s.opts.Logger.Error("a segment is damaged", "segment", n)
		g.hurt.Store(true)
	}
	return nil
}

// collectHurt collects the segments that a scrub has met damage in.
func (s *Store) collectHurt() error {
	s.waitFor(s.tidying)
	defer s.tidying.unlock()
	s.mu.Lock()
	var hurt []*segment
	for _, n := range s.numbers() {
		if g := s.seg(n); g.hurt.Load() && !g.collected && g != s.cur {
			hurt = append(hurt, g)
		}
	}
	s.mu.Unlock()
	for _, g := range hurt {
		if err := s.collect(g); err != nil {
			return err
		}
	}
	return nil
}

// frame looks at the frame at a place and returns where the next one is.
func (k *scrubber) frame(g *segment, at uint32) (next uint32, err error) {
	b, err := g.read(make([]byte, headBytes), at)
	if err != nil {
		k.bad = true
		return g.end, nil // what is needed of the rest is looked for by the index
	}
	h, ok := k.s.id.readFrameHead(b, magicHead)
	if !ok || h.seg != g.number || h.off != at || uint64(at)+uint64(h.bytes()) > uint64(g.size) {
		k.bad = true
		return at + disk.BlockBytes, k.job.Pace(disk.BlockBytes)
	}
	k.c = content{id: k.s.id, seg: g.number, base: at}
	if k.c.b, err = g.read(make([]byte, h.bytes()), at); err != nil || len(k.c.b) < h.bytes() {
		k.bad = true
		return at + uint32(h.bytes()), nil
	}
	if err := k.job.Pace(h.bytes()); err != nil {
		return 0, err
	}
	k.bad = k.bad || k.c.judge(&h) != whole
	slots, _ := k.c.slots(&h)
	for i := range slots {
		k.slot(&slots[i])
	}
	return at + uint32(h.bytes()), nil
}

// slot looks at one record.
func (k *scrubber) slot(p *placed) {
	q := k.s.parts[p.part].Load()
	if q == nil {
		return
	}
	here := spot{k.c.seg, p.off}
	q.mu.RLock()
	var e *entry
	lost := false // it is known to be
	switch p.kind {
	case kindItem, kindLost:
		e = q.items.findSpot(p.bound, here)
	case kindRow:
		e = q.rows.findSpot(p.bound, here)
	}
	if e != nil {
		lost = e.lost() || e.doubted()
	}
	isState := p.kind == kindState && q.state.place() == here
	q.mu.RUnlock()
	if e == nil && !isState {
		return
	}
	if e != nil {
		k.checked++
	}
	r, keyOK, ok := k.s.id.readRecord(k.c.record(p), here)
	switch {
	case lost:
	case ok && r.kind == p.kind:
		if p.kind == kindItem && k.job.Item != nil {
			k.job.Item(p.part, r.key, r.value)
		}
	case isState:
		k.bad = true
		k.s.rewriteState(p.part)
	default:
		k.bad = true
		f := Finding{Part: p.part, Err: fmt.Errorf("%w: record at %d of segment %d", ErrCorrupt, p.off, k.c.seg)}
		if keyOK && p.kind == kindItem {
			f.Key = append([]byte{}, r.key...)
		}
		k.job.Found(f)
	}
}

// missed looks for what the index has in a segment and its frames do not tell of: what can
// be read of that is no finding.
func (k *scrubber) missed(ctx context.Context, n uint32) error {
	for part := range k.s.parts {
		q := k.s.parts[part].Load()
		if q == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		for _, t := range []*tree{&q.items, &q.rows} {
			var here []entry
			q.mu.RLock()
			t.each(func(e *entry) {
				if e.seg == n {
					here = append(here, *e)
				}
			})
			q.mu.RUnlock()
			k.look(uint16(part), t.kind(), here)
		}
	}
	return nil
}

// look reads entries of one partition, each by itself.
func (k *scrubber) look(part uint16, want kind, here []entry) {
	for i := range here {
		e := &here[i]
		r, keyOK, err := k.s.readEntry(e, want)
		if err == nil || e.lost() || e.doubted() {
			continue
		}
		f := Finding{Part: part, Err: fmt.Errorf("%w: record at %d of segment %d", ErrCorrupt, e.off, e.seg)}
		if keyOK && want == kindItem {
			f.Key = append([]byte{}, r.key...)
		}
		k.job.Found(f)
	}
}

// rewriteState writes a partition's state anew: its record cannot be read any more, and
// what is in memory is right.
func (s *Store) rewriteState(part uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.part(part)
	if s.Err() != nil || s.closing.Load() {
		return
	}
	if err := s.reserve(align8(recordBytes+stateBytes+len(p.meta)), 1); err != nil {
		s.opts.Logger.Error("cannot rewrite the damaged state of a partition", "partition", part, "err", err)
		return
	}
	s.putState(part)
	s.work.Signal()
}
