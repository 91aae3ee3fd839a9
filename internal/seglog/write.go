package seglog

import (
	"fmt"
	"slices"
	"time"

	"viewring/internal/disk"
)

// OpKind says what an operation of a batch does.
type OpKind uint8

// The operations, and which fields of Op each uses besides Part.
const (
	Put     OpKind = iota + 1 // Key, Value, Known
	Delete                    // Key, Known
	PutRow                    // Seq, Value
	Trim                      // Seq: drops rows with seq ≤ Seq
	Cut                       // Seq: drops rows with seq > Seq
	PutMeta                   // Value
	Wipe                      // drops items, rows and meta
)

// Presence is what the caller knows of a key. A wrong word may take two keys for one
// if their hashes collide.
type Presence uint8

// What can be known. With KnownPresent and KnownAbsent a write need not read the key
// that is stored, unless hashes collide.
const (
	NotKnown Presence = iota
	KnownPresent
	KnownAbsent
)

// Op is one operation of a batch. Key and Value are not kept.
type Op struct {
	Kind  OpKind
	Known Presence
	Part  uint16
	Seq   uint64
	Key   []byte
	Value []byte
}

// frame is a synced write: batches that came while the one before was on its way.
type frame struct {
	seg   *segment
	off   uint32
	lsn   uint64
	buf   []byte // from off; guarded by seg.mem while frames are read
	body  int
	slots []slot
	flags uint32
	prev  frameSummary // of the frame before
	head  *segmentHead // of the first frame of a segment
	seals *frame       // of the first frame of a segment: ends the one before
	done  chan struct{}
	err   error // after done
}

// frameSummary is what a frame tells of the one before: should all of that be lost, it
// is known of which partitions something is.
type frameSummary struct {
	parts   []uint16
	records uint32
}

const (
	frameBytesSoft = 1 << 20  // then another one begins
	queueBytesMax  = 64 << 20 // then Apply waits
	frameBytesMin  = 64 << 10 // of a buffer
)

// Apply carries out a batch, in order and as a whole: visible when it returns,
// durable when wait has returned nil. Batches become durable in the order of calls. An
// error of either ends the store; an invalid operation only the batch.
func (s *Store) Apply(ops []Op) (wait func() error, err error) {
	for i := range ops {
		if err := ops[i].check(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.queued > queueBytesMax && s.Err() == nil && !s.closing.Load() {
		s.queueShrank.Wait()
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	if s.closing.Load() {
		return nil, ErrClosed
	}
	if err := s.checkSpace(ops); err != nil {
		return nil, err
	}
	if err := s.admit(ops); err != nil {
		return nil, err
	}
	body, records := s.bound(ops)
	if err := s.reserve(body, records); err != nil {
		return nil, err
	}
	s.fresh += int64(body + records*slotBytes)
	for i := range ops {
		s.apply(&ops[i])
	}
	for _, p := range s.dirty {
		s.putState(p)
	}
	s.dirty = s.dirty[:0]
	f := s.building
	s.work.Signal()
	return func() error {
		<-f.done
		return f.err
	}, nil
}

func (o *Op) check() error {
	if len(o.Key) > KeyBytesMax || len(o.Value) > ValueBytesMax {
		return fmt.Errorf("a key of %d bytes and a value of %d: at most %d and %d", len(o.Key), len(o.Value), KeyBytesMax, ValueBytesMax)
	}
	if o.Kind == 0 || o.Kind > Wipe {
		return fmt.Errorf("unknown operation %d", o.Kind)
	}
	return nil
}

// admit says what of a batch cannot be carried out, before anything of it is. The caller
// holds mu.
func (s *Store) admit(ops []Op) error {
	s.batch++
	for i := range ops {
		o := &ops[i]
		switch o.Kind {
		case PutRow, Trim, Cut, Wipe:
		default:
			continue
		}
		p := s.part(o.Part)
		if p.batch != s.batch {
			p.batch, p.floorThen = s.batch, p.floor
		}
		switch o.Kind {
		case PutRow:
			if o.Seq <= p.floorThen {
				return fmt.Errorf("row %d of partition %d: rows up to %d were trimmed", o.Seq, o.Part, p.floorThen)
			}
		case Trim:
			p.floorThen = max(p.floorThen, o.Seq)
		case Cut:
			p.floorThen = min(p.floorThen, o.Seq)
		case Wipe:
			p.floorThen = 0
		}
	}
	return nil
}

// bound is the most that a batch takes in a frame.
func (s *Store) bound(ops []Op) (body, records int) {
	add := func(n int) { body, records = body+align8(recordBytes+n), records+1 }
	for i := range ops {
		o := &ops[i]
		switch o.Kind {
		case Put, Delete:
			add(len(o.Key) + len(o.Value))
		case PutRow:
			add(boundBytes + len(o.Value))
		case Cut:
			if p := s.parts[o.Part].Load(); p != nil {
				for f := p.rows.seek(bound{pos: o.Seq + 1}); p.rows.get(f) != nil; f = p.rows.next(f) {
					add(boundBytes)
				}
			}
			for range i { // rows of this batch
				add(boundBytes)
			}
		case PutMeta:
			add(stateBytes + len(o.Value))
		}
		if o.Kind == Trim || o.Kind == Wipe || o.Kind == Cut {
			n := stateBytes
			if p := s.parts[o.Part].Load(); p != nil {
				n += len(p.meta)
			}
			add(n)
		}
	}
	return body, records
}

// reserve sees to it that the frame that grows has room for so much more. The caller
// holds mu.
func (s *Store) reserve(body, records int) error {
	if f := s.building; f != nil && f.body > 0 && f.body+body > frameBytesSoft {
		s.full()
	}
	if f := s.building; f != nil {
		n := len(f.slots) + records
		need := frameBytes(f.body+body, n, len(f.prev.parts)) + sealReserve(n)
		if int64(f.off)+int64(need) <= f.seg.size {
			f.grow(headBytes + f.body + body)
			return nil
		}
		s.full()
	}
	if s.cur != nil && !s.cur.over {
		need := frameBytes(body, records, len(s.prev.parts)) + sealReserve(records)
		if int64(s.cur.end)+int64(need) <= s.cur.size {
			s.begin()
			s.building.grow(headBytes + body)
			return nil
		}
	}
	return s.openSegment(body, records)
}

// nextSegment makes the head of the segment that comes after cur.
func (s *Store) nextSegment() *segmentHead {
	h := &segmentHead{number: s.nextNumber, firstLSN: s.lsn, live: s.numbers()}
	if s.cur != nil {
		h.prev = s.cur.number
		for p := range s.cur.parts {
			h.parts = append(h.parts, p)
		}
		slices.Sort(h.parts)
	}
	return h
}

// openSegment lets frames go to a new segment from now on. The one before is sealed
// after the new one was made: a sealed segment without a successor has lost it.
func (s *Store) openSegment(body, records int) error {
	h := s.nextSegment()
	need := int64(h.bytes() + frameBytes(body, records, len(s.prev.parts)) + sealReserve(records))
	if need > 1<<31 {
		return fmt.Errorf("a batch of %d bytes", body)
	}
	var seal *frame
	if s.cur != nil && !s.cur.over {
		seal = s.sealFrame(frameSeal)
		s.cur.over = true
	} else if s.cur != nil && s.cur.closed {
		// The store is closed no more: without this segment it has lost one.
		seal = s.sealFrame(frameSeal)
		seal.off += s.cur.sealBytes
		s.cur.closed = false
		s.cur.durable.Store(false) // it is not collected before that is written
	}
	if s.preallocateBytes == 0 {
		s.preallocateBytes = s.segmentBytes()
	}
	g := &segment{number: h.number, files: s.files, size: max(s.preallocateBytes, int64(alignBlock(int(need)))), first: uint32(h.bytes()), end: uint32(h.bytes()),
		parts: make(map[uint16]bool)}
	h.blocks = uint32(g.size / disk.BlockBytes)
	s.nextNumber++
	if low := !s.hasSpace(); low != s.low {
		s.low = low
		s.opts.Logger.Warn("free disk space changed", "full", low)
	}
	s.addSegment(g)
	s.cur = g
	s.begin()
	s.building.head, s.building.seals = h, seal
	s.building.grow(headBytes + body)
	s.preallocateBytes = s.segmentBytes()
	select {
	case s.wantPreallocated <- s.preallocateBytes:
	default: // told already
	}
	select {
	case s.grown <- struct{}{}:
	default: // told already
	}
	return nil
}

// sealFrame makes the frame that ends the current segment. It has no number of its
// own: none is missing where it is.
func (s *Store) sealFrame(flags uint32) *frame {
	return &frame{seg: s.cur, off: s.cur.end, lsn: s.lsn, prev: s.prev, flags: flags, buf: s.buffers.take()[:headBytes], done: make(chan struct{})}
}

// begin begins a frame at the end of the segment.
func (s *Store) begin() {
	f := &frame{seg: s.cur, off: s.cur.end, lsn: s.lsn, prev: s.prev, buf: s.buffers.take()[:headBytes], done: make(chan struct{})}
	s.lsn++
	s.building, s.last = f, f
	g := s.cur
	g.mem.Lock()
	g.mem.frames = append(g.mem.frames, f)
	g.mem.Unlock()
}

// grow makes room for n bytes in all.
func (f *frame) grow(n int) {
	if n <= cap(f.buf) {
		return
	}
	b := disk.Aligned(max(alignBlock(n), 2*cap(f.buf)))
	f.seg.mem.Lock()
	defer f.seg.mem.Unlock()
	f.buf = b[:copy(b, f.buf)]
}

// full closes the frame that grows.
func (s *Store) full() {
	f := s.building
	sum := frameSummary{records: uint32(len(f.slots))}
	for i := range f.slots {
		sum.parts = append(sum.parts, f.slots[i].part)
	}
	slices.Sort(sum.parts)
	sum.parts = slices.Compact(sum.parts)
	for _, p := range sum.parts {
		f.seg.parts[p] = true
	}
	n := f.bytes()
	f.seg.end = f.off + uint32(n)
	s.queued += n
	s.sinceCkp += int64(n)
	s.queue = append(s.queue, f)
	s.building, s.prev = nil, sum
}

// bytes is how long the frame is on the disk, as it stands.
func (f *frame) bytes() int { return frameBytes(f.body, len(f.slots), len(f.prev.parts)) }

// append writes a record into the frame that grows and returns where it is. There is
// room: reserve saw to it.
func (s *Store) append(r *record) entry {
	f := s.building
	at, n := headBytes+f.body, r.bytes()
	sl := s.id.slotOf(r)
	spot := spot{f.seg.number, f.off + uint32(at)}
	f.seg.mem.Lock()
	f.buf = f.buf[:at+n]
	r.put(f.buf[at:], s.id, spot)
	f.seg.mem.Unlock()
	f.body += n
	f.slots = append(f.slots, sl)
	s.account(f.seg, &sl)
	e := entry{pos: sl.pos, check: sl.check, seg: spot.seg, off: spot.off, size: sl.size}
	if r.flags&flagDoubt != 0 {
		e.size |= bitDoubt
	}
	return e
}

// account counts a record that was added to a segment.
func (s *Store) account(g *segment, sl *slot) {
	switch sl.kind {
	case kindItem, kindLost:
		g.items++
		g.liveItems++
		s.lives(g, int64(sl.size))
	case kindRow:
		g.rows++
		g.liveRows++
		s.lives(g, int64(sl.size))
	case kindState, kindLoss:
		s.lives(g, int64(sl.size))
	case kindDropRow:
		g.dropRows++
		s.buries(g, int64(sl.size))
	case kindDelete:
		s.buries(g, int64(sl.size))
	}
}

// dead counts a record that is needed no more.
func (s *Store) dead(e *entry, k kind) {
	g := s.seg(e.seg)
	if g == nil {
		return
	}
	s.lives(g, -int64(e.bytes()))
	switch k {
	case kindItem:
		g.liveItems--
	case kindRow:
		g.liveRows--
	}
}

// runWriter writes frames, one after the other: at a crash at most one is torn, and
// nothing stands behind it.
func (s *Store) runWriter() {
	defer close(s.writerDone)
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && s.building == nil && !s.drained {
			s.work.Wait()
		}
		if len(s.queue) == 0 && s.building != nil {
			if s.ride(); s.building != nil {
				s.full()
			}
		}
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return
		}
		f := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		err := s.Err()
		if err == nil {
			err = s.write(f)
		}
		if err != nil {
			s.fail(err)
		}
		s.written(f)
	}
}

// write makes a frame durable.
func (s *Store) write(f *frame) error {
	if f.head != nil {
		if err := s.makeSegment(f); err != nil {
			return fmt.Errorf("begin segment %d: %w", f.seg.number, err)
		}
	}
	if f.seals != nil {
		if err := s.write(f.seals); err != nil {
			return err
		}
		s.buffers.give(f.seals.buf)
	}
	h := head{lsn: f.lsn, seg: f.seg.number, off: f.off, records: uint32(len(f.slots)), body: uint32(f.body), flags: f.flags}
	h.parts, h.prevRecords = uint32(len(f.prev.parts)), f.prev.records
	n := f.bytes()
	if f.flags != 0 && int64(f.off)+int64(n) > f.seg.size {
		return nil // a seal that damage has left no room for
	}
	h.blocks = uint32(n / disk.BlockBytes)
	f.grow(n)
	h.finish(f.buf[:n], s.id, f.slots, f.prev.parts)
	if err := f.seg.pin(); err != nil {
		return err
	}
	began := time.Now()
	if err := f.seg.mem.file.WriteSync(f.buf[:n], int64(f.off)); err != nil {
		return fmt.Errorf("write %d bytes at %d of segment %d: %w", n, f.off, f.seg.number, err)
	}
	if s.opts.Synced != nil {
		s.opts.Synced(time.Since(began))
	}
	s.stats.written.Add(int64(n))
	s.stats.frames.Add(1)
	if f.flags&frameSeal != 0 {
		if err := f.seg.mem.file.EndWrites(); err != nil {
			return err
		}
		s.cutOff(f, n)
		f.seg.unpin()
		f.seg.durable.Store(true) // from now on it may be collected, and its file closed
		if s.sums.disk.Load() <= s.opts.WarmBytes {
			select {
			case s.warm <- f.seg.number:
			default: // it has more than enough to do
			}
		}
	}
	return nil
}

// written tells who waits for a frame, and forgets what is on the disk now.
func (s *Store) written(f *frame) {
	f.err = s.Err()
	g := f.seg
	if f.err == nil {
		g.mem.Lock()
		g.mem.frames = slices.DeleteFunc(g.mem.frames, func(x *frame) bool { return x == f })
		s.buffers.give(f.buf)
		f.buf = nil
		g.mem.Unlock()
	}
	close(f.done)
	s.mu.Lock()
	s.queued -= f.bytes()
	s.queueShrank.Broadcast()
	s.mu.Unlock()
}

// barrier waits until all that was applied is durable.
func (s *Store) barrier() error {
	s.mu.Lock()
	f := s.last
	s.mu.Unlock()
	if f == nil {
		return s.Err()
	}
	<-f.done
	return f.err
}
