package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"viewring/internal/disk"
)

// Open opens the store in fs, or makes one. It logs the damage that it finds; reads of what is
// damaged fail with ErrCorrupt.
func Open(fs disk.FS, opts Options) (*Store, error) {
	opts.defaults()
	names, err := fs.List()
	if err != nil {
		return nil, fmt.Errorf("list the log's folder: %w", err)
	}
	if names, err = clean(fs, names); err != nil {
		return nil, fmt.Errorf("clean the log's folder: %w", err)
	}
	if err := fs.SyncDir(); err != nil { // a process that was killed may have left names that are not durable
		return nil, fmt.Errorf("sync the log's folder: %w", err)
	}
	id, err := loadIdentity(fs, names, &opts)
	if err != nil {
		return nil, err
	}
	s := &Store{fs: fs, opts: opts, id: id, failure: make(chan struct{}), preallocated: make(chan preallocated, 1), wantPreallocated: make(chan int64, 1), warm: make(chan uint32, 4),
		quit: make(chan struct{}), writerDone: make(chan struct{}), nextNumber: 1, lsn: 1, tidying: newGate(), background: newGate(), hurry: make(chan struct{}, 1), grown: make(chan struct{}, 1)}
	s.files = newFiles(fs, cmp.Or(opts.openFiles, openFilesMax))
	s.table.segs, s.table.missing = make(map[uint32]*segment), make(map[uint32]bool)
	s.work.L, s.queueShrank.L = &s.mu, &s.mu
	s.begun = slices.Contains(names, begunName)
	r := &recovery{s: s, heads: make(map[uint32]*segmentHead), follows: make(map[uint32]uint32), began: time.Now()}
	if err := r.run(names); err != nil {
		for _, g := range s.table.segs {
			g.release()
		}
		s.arena.close()
		return nil, fmt.Errorf("open the log: %w", err)
	}
	go s.runWriter()
	s.ended.Go(s.runPreallocate)
	if err := r.persistFindings(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the log: %w", err), s.end(0))
	}
	if !opts.Manual {
		s.ended.Go(s.runBackground)
	}
	return s, nil
}

// recovery makes the index from a checkpoint and the log after it.
type recovery struct {
	s        *Store
	began    time.Time
	said     time.Time
	heads    map[uint32]*segmentHead // those that can be read
	start    spot                    // of the log's part that is read
	expect   uint64                  // the number of the next frame; 0: any
	read     int64                   // bytes, for the progress
	newest   uint32                  // of heads
	listed   map[uint32]bool         // segments that there were when the checkpoint began
	buf      []byte                  // of what is read of a segment
	ahead    *ahead
	follows  map[uint32]uint32 // the segment that was written after one
	lostEnd  bool              // of the log
	noticed  bool              // a loss of nobody knows what
	hurt     map[uint16]bool   // partitions that have become suspect
	headless []*segment        // their heads cannot be read
	open     []*segment        // not sealed, and no frame is added any more
}

func (r *recovery) run(names []string) error {
	numbers, err := r.openSegments(names)
	if err != nil {
		return err
	}
	if err := r.persist(); err != nil { // before a file is removed because the log says so
		return err
	}
	r.ahead = newAhead(r.s)
	defer r.ahead.close()
	if err := r.loadCheckpoint(names); err != nil {
		return err
	}
	numbers, err = r.expected(numbers)
	if err != nil {
		return err
	}
	if err := r.replay(numbers); err != nil {
		return err
	}
	r.sweep()
	r.s.opts.Logger.Info("the log is open", "segments", len(numbers), "read", r.read, "keys", r.s.Stats().Keys, "took", time.Since(r.began))
	return nil
}

// persist makes durable what a killed process wrote and did not sync: the last frame, or the
// seal of the segment before. Only then may anyone see it.
func (r *recovery) persist() error {
	numbers := r.s.numbers()
	for _, n := range numbers[max(0, len(numbers)-2):] {
		f, err := r.s.files.get(n)
		if err == nil {
			err = f.Sync()
			r.s.files.put(f)
		}
		if err != nil {
			return fmt.Errorf("sync segment %d: %w", n, err)
		}
	}
	return nil
}

// clean removes what an earlier run left unfinished, and returns the other names.
func clean(fs disk.FS, names []string) (kept []string, err error) {
	for _, n := range names {
		if !strings.HasSuffix(n, newSuffix) {
			kept = append(kept, n)
		} else if err := fs.Remove(n); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// openSegments opens all files of segments and reads their heads.
func (r *recovery) openSegments(names []string) (numbers []uint32, err error) {
	s := r.s
	for _, name := range names {
		n, ok := segmentNumber(name)
		if !ok {
			continue
		}
		g := &segment{number: n, files: s.files, parts: make(map[uint16]bool)}
		g.mem.named = true
		g.durable.Store(true)
		g.over = true
		s.addSegment(g)
		numbers = append(numbers, n)
		f, err := s.files.get(n)
		if err != nil {
			return nil, err
		}
		if g.size, err = f.Size(); err != nil {
			s.files.put(f)
			return nil, err
		}
		s.sums.disk.Add(g.size)
		h, err := readSegmentHead(s.id, f, n)
		s.files.put(f)
		switch {
		case errors.Is(err, ErrCorrupt):
			r.damage("a segment's head is damaged", "segment", n, "err", err)
			r.headless = append(r.headless, g)
		case err != nil:
			return nil, err
		default:
			r.heads[n] = &h
			r.follows[h.prev] = max(r.follows[h.prev], n)
			g.first, g.firstLSN = uint32(h.bytes()), h.firstLSN
		}
	}
	slices.Sort(numbers)
	if len(numbers) > 0 {
		return numbers, s.noteBegun()
	}
	return numbers, nil
}

func (r *recovery) damage(what string, args ...any) {
	r.s.damage.Add(1)
	r.s.opts.Logger.Error(what, args...)
}

// expected finds which segments there should be: the newest readable head lists all before
// it. It removes the files of other segments, which were freed or put back.
func (r *recovery) expected(numbers []uint32) ([]uint32, error) {
	s := r.s
	if len(numbers) == 0 {
		if r.start.off == 0 && !s.begun {
			return nil, nil // there never was any
		}
		r.damage("all segments are missing")
		r.suspectAll()
		r.lostEnd = true
		return nil, nil
	}
	newest := uint32(0)
	for n := range r.heads {
		newest = max(newest, n)
	}
	if r.newest = newest; newest == 0 {
		return numbers, nil
	}
	live := make(map[uint32]bool)
	for _, n := range r.heads[newest].live {
		live[n] = true
	}
	for n := range live {
		if r.start.off > 0 && n < r.start.seg && !r.listed[n] {
			delete(live, n) // freed before the checkpoint began
		}
	}
	kept := numbers[:0]
	for _, n := range numbers {
		if n < newest && !live[n] {
			s.dropSegment(s.seg(n))
			s.removeFile(n)
			continue
		}
		kept = append(kept, n)
		delete(live, n)
	}
	for n := range live {
		s.table.missing[n] = true // unless the log says that it was freed
	}
	return kept, nil
}

// replay carries out what the log says from the start on.
func (r *recovery) replay(numbers []uint32) error {
	s := r.s
	all := slices.Concat(numbers, slices.Collect(maps.Keys(s.table.missing)))
	slices.Sort(all)
	if err := r.findFreed(numbers); err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(n uint32) bool { return s.seg(n) == nil && !s.table.missing[n] })
	for i, n := range all {
		if n < r.start.seg {
			continue
		}
		if s.table.missing[n] {
			r.lost(n, "a segment is missing", -1, nil)
			r.expect = 0
			continue
		}
		if i > 0 && all[i-1]+1 != n || i == 0 && n > r.start.seg {
			r.expect = 0 // the one before was freed
		}
		if h := r.heads[n]; h != nil && n != r.start.seg {
			if r.expect != 0 && h.firstLSN > r.expect {
				r.lost(n-1, "the end of a segment is missing", int64(h.firstLSN-r.expect), nil)
			}
			r.expect = h.firstLSN
		}
		r.ahead.from(n + 1)
		if err := r.segment(s.seg(n), i == len(all)-1); err != nil {
			return err
		}
		s.nextNumber = max(s.nextNumber, n+1)
		s.cur = s.seg(n)
	}
	if r.start.off > 0 && len(all) > 0 && all[len(all)-1] < r.start.seg {
		r.lost(r.start.seg, "the newest segment is missing", -1, nil)
		r.lostEnd = true
	}
	for n := range s.table.missing {
		if n < r.start.seg {
			r.damage("a segment is missing", "segment", n)
		}
		s.nextNumber = max(s.nextNumber, n+1)
	}
	if s.cur != nil && !s.cur.over {
		s.cur.durable.Store(false) // it goes on
	}
	s.lsn = max(r.expect, s.lsn)
	if r.lostEnd {
		// What was there had numbers that nobody knows, and copies of it may turn up.
		s.nextNumber += lostNumbers
		s.lsn += lostFrames
	}
	return nil
}

// So many numbers are skipped if the end of the log is lost, more than it can have had. There
// are enough of them for 65,000 losses.
const (
	lostNumbers = 1 << 16 // segments
	lostFrames  = 1 << 40
)

// findFreed finds the segments that were freed since the newest head was written. The file of
// one may still be there, and no longer belongs to the log.
func (r *recovery) findFreed(numbers []uint32) error {
	s := r.s
	for _, n := range numbers {
		if n < r.newest {
			continue // the newest head knows of what these say
		}
		from := max(s.seg(n).first, disk.BlockBytes)
		if n == r.start.seg {
			from = max(from, r.start.off)
		}
		c, err := r.content(s.seg(n), from)
		if err != nil {
			return err
		}
		for h, ok := c.locate(c.base); ok; h, ok = c.locate(h.off + uint32(h.bytes())) {
			slots, _ := c.slots(&h)
			for _, p := range slots {
				if p.kind != kindFree {
					continue
				}
				f := uint32(p.pos)
				if delete(s.table.missing, f); s.seg(f) != nil && c.judge(&h) == whole {
					s.dropSegment(s.seg(f))
					s.removeFile(f)
				}
			}
		}
	}
	return nil
}

// content reads a segment from an offset on, into memory that the next call uses again. What the disk cannot give is damage; every
// other error is returned, for it says nothing about what is there.
func (r *recovery) content(g *segment, from uint32) (*content, error) {
	c := &content{id: r.s.id, seg: g.number, base: from}
	if int64(from) >= g.size {
		return c, nil
	}
	n := int(g.size-int64(from)) &^ (disk.BlockBytes - 1)
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	c.b = r.buf[:n]
	f, err := r.s.files.get(g.number)
	if err == nil {
		err = c.read(f)
		r.s.files.put(f)
	}
	if err != nil {
		return nil, fmt.Errorf("read segment %d: %w", g.number, err)
	}
	if len(c.bad) > 0 {
		r.damage("a part of a segment cannot be read", "segment", g.number, "at", c.bad[0], "blocks", len(c.bad))
	}
	r.read += int64(len(c.b))
	if now := time.Now(); now.Sub(r.began) > 2*time.Second && now.Sub(r.said) > 2*time.Second {
		r.said = now
		r.s.opts.Logger.Info("reading the log", "segment", g.number, "bytes", r.read)
	}
	return c, nil
}

// segment replays one segment. Of the newest the last frame may be torn.
func (r *recovery) segment(g *segment, newest bool) error {
	from := max(g.first, disk.BlockBytes)
	if g.number == r.start.seg {
		from = max(from, r.start.off)
	}
	c, err := r.content(g, from)
	if err != nil {
		return err
	}
	known := r.expect // 0: what came before cannot tell whether the beginning is here
	for g.end = from; !g.sealed; {
		h, ok := c.locate(g.end)
		if !ok {
			break
		}
		if newest {
			_, more := c.locate(h.off + uint32(h.bytes()))
			if !more && h.flags == 0 && c.judge(&h) == torn {
				break
			}
		}
		r.frame(c, g, &h)
	}
	if h, ok := c.locate(from); r.heads[g.number] == nil && g.number != r.start.seg && (!ok || known == 0 && h.off > disk.BlockBytes) {
		r.lost(g.number, "the beginning of a segment is missing", -1, nil)
	}
	next := r.heads[g.number+1]
	complete := g.sealed || next != nil && next.prev == g.number && next.firstLSN == r.expect
	if h := r.heads[g.number]; h != nil && g.size < int64(h.blocks)*disk.BlockBytes && !complete {
		r.lost(g.number, "a segment was cut off", -1, nil)
	}
	g.endLSN = r.expect
	if g.closed {
		again, ok := c.locate(g.end + g.sealBytes)
		g.closed = !ok || again.flags != frameSeal // that the store was closed was taken back
	}
	switch {
	case newest && g.sealed && !g.closed:
		r.lost(g.number+1, "the newest segment is missing", -1, nil)
		r.lostEnd = true
	case newest:
		return r.endOfLog(c, g)
	case !g.sealed && r.follows[g.number] > g.number+1:
		// That its end is lost was noticed, and written down, before the log went on.
	case !g.sealed:
		r.open = append(r.open, g)
		if r.s.seg(g.number+1) == nil && !r.s.table.missing[g.number+1] {
			r.lost(g.number, "the end of a segment is missing", -1, nil)
		}
	}
	return nil
}

// endOfLog makes the end of the newest segment ready for what follows: it zeroes a torn frame.
// Anything there that cannot be a torn frame is damage.
func (r *recovery) endOfLog(c *content, g *segment) error {
	g.over = g.sealed
	if g.sealed || g.end >= c.end() {
		return nil
	}
	rest := c.at(g.end)
	if isZero(rest) {
		return nil
	}
	if i := slices.IndexFunc(c.bad, func(at uint32) bool { return at >= g.end }); i >= 0 {
		r.lost(g.number, "what may be the end of the log cannot be read", -1, nil)
		g.over, r.lostEnd = true, true
		return nil
	}
	if h, ok := r.s.id.readFrameHead(rest, magicHead); (!ok || h.seg != g.number || h.off != g.end) && !nearlyZero(rest[:headBytes]) {
		r.lost(g.number, "the end of the log is damaged", -1, nil)
		g.over, r.lostEnd = true, true
		return nil
	}
	r.s.opts.Logger.Info("the log ends in a write that was not finished", "segment", g.number, "at", g.end)
	if err := g.pin(); err != nil {
		return err
	}
	piece := disk.Aligned(disk.BlockBytes)
	for off := uint32(0); int(off) < len(rest); off += disk.BlockBytes {
		if isZero(rest[off : off+disk.BlockBytes]) {
			continue
		}
		if err := g.mem.file.WriteSync(piece, int64(g.end+off)); err != nil {
			return fmt.Errorf("zero the end of segment %d: %w", g.number, err)
		}
	}
	return nil
}

// nearlyZero reports whether a sector's head was never written: a sector is written as a
// whole, and a few bits may have changed since.
func nearlyZero(b []byte) bool {
	n := 0
	for _, x := range b {
		if x != 0 {
			n++
		}
	}
	return n <= 2
}

// frame replays one frame.
func (r *recovery) frame(c *content, g *segment, h *head) {
	if r.expect != 0 && h.lsn > r.expect {
		parts, known := c.before(h)
		if gap := h.lsn - r.expect; gap > 1 || !known {
			r.lost(g.number, "frames are lost", int64(gap), nil)
		} else {
			r.lost(g.number, "a frame is lost", 1, parts)
		}
	}
	r.s.sinceCkp += int64(h.bytes()) // what a start has read once the next one need not read again
	if g.end = h.off + uint32(h.bytes()); h.flags&frameSeal != 0 {
		g.end = h.off // a checkpoint that begins here sees the seal again
		g.sealBytes = uint32(h.bytes())
		g.sealed, g.closed = true, h.flags&frameClose != 0
		r.expect = h.lsn
		return
	}
	r.expect = h.lsn + 1
	slots, all := c.slots(h)
	sum := frameSummary{records: h.records}
	for i := range slots {
		r.slot(c, g, &slots[i])
		sum.parts = append(sum.parts, slots[i].part)
		g.parts[slots[i].part] = true
	}
	slices.Sort(sum.parts)
	sum.parts = slices.Compact(sum.parts)
	r.s.prev = sum
	if !all {
		var parts []uint16
		if next, ok := c.locate(g.end); ok && next.lsn == h.lsn+1 {
			parts, _ = c.before(&next)
		}
		r.lost(g.number, "a frame is damaged", 1, parts)
	}
}
