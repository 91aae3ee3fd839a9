package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"viewring/internal/disk"
)

// segment is one file of the log. Its number is never used again.
type segment struct {
	files    *files
	number   uint32
	size     int64  // of the file; guarded by Store.mu
	first    uint32 // where its first frame is
	firstLSN uint64

	// Guarded by Store.mu.
	end       uint32          // where its next frame goes
	parts     map[uint16]bool // partitions that have records here
	over      bool            // no frame goes here any more
	items     int             // records of items
	liveItems int             // of these, what the index has
	rows      int             // records of rows
	liveRows  int
	live      int64 // bytes of all records that are still needed, tombstones apart
	dropRows  int   // tombstones of rows
	dropBytes int64 // of all tombstones
	collected bool  // its live records are being copied, or have been

	// Found at opening.
	endLSN    uint64 // number of the frame after its last
	sealed    bool   // it ends with a seal
	closed    bool   // that of a store that was closed
	sealBytes uint32 // of the seal; 0: none

	durable atomic.Bool  // all of it is, its seal too
	hurt    atomic.Bool  // a scrub has met damage in it
	refs    atomic.Int32 // who reads it, and one for the table of segments

	mem struct {
		sync.RWMutex
		frames []*frame  // not durable yet, and therefore here
		named  bool      // it has a file
		file   *openFile // of one that is written
	}
}

const (
	segmentPrefix  = "segment-"
	newSuffix      = disk.NewSuffix // of what is not in use yet, and removed at the next start
	segmentNewName = "segment" + newSuffix
)

// preallocated is an empty file, its space allocated, that waits to become a segment.
type preallocated struct {
	file disk.File
	name string
	size int64
}

func segmentName(n uint32) string { return fmt.Sprintf("%s%010d", segmentPrefix, n) }

func segmentNumber(name string) (n uint32, ok bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok || len(digits) != 10 {
		return 0, false
	}
	_, err := fmt.Sscanf(digits, "%d", &n)
	return n, err == nil && segmentName(n) == name
}

// segmentHead begins a segment's file.
type segmentHead struct {
	number   uint32
	firstLSN uint64
	blocks   uint32   // of the file
	prev     uint32   // the segment that was written before it, 0: none
	live     []uint32 // the segments that there are, besides it
	parts    []uint16 // partitions with records in prev
}

func (h *segmentHead) bytes() int { return alignBlock(48 + 4*len(h.live) + 2*len(h.parts) + 4) }

// encode makes the block or blocks that begin the file.
func (h *segmentHead) encode(id *identity) []byte {
	out := disk.Aligned(h.bytes())
	b := le.AppendUint32(out[:0], magicSeg)
	b = append(b, id.id[:]...)
	b = le.AppendUint32(b, h.number)
	b = le.AppendUint64(b, h.firstLSN)
	b = le.AppendUint32(b, h.prev)
	b = le.AppendUint32(b, uint32(len(h.live)))
	b = le.AppendUint32(b, uint32(len(h.parts)))
	b = le.AppendUint32(b, h.blocks)
	for _, n := range h.live {
		b = le.AppendUint32(b, n)
	}
	for _, p := range h.parts {
		b = le.AppendUint16(b, p)
	}
	le.AppendUint32(b, crc32.Update(id.seed, castagnoli, b))
	return out
}

// readSegmentHead reads the head of the segment that a file's name says it is.
func readSegmentHead(id *identity, f disk.File, number uint32) (h segmentHead, err error) {
	size, err := f.Size()
	if err != nil {
		return h, err
	}
	fixed := make([]byte, 48)
	if err := readFull(f, fixed, 0); err != nil {
		return h, fmt.Errorf("head of segment %d: %w", number, err)
	}
	live, parts := int64(le.Uint32(fixed[36:])), int64(le.Uint32(fixed[40:]))
	n := 48 + 4*live + 2*parts
	if le.Uint32(fixed) != magicSeg || string(fixed[4:20]) != string(id.id[:]) || n+4 > size {
		return h, fmt.Errorf("%w: head of segment %d: not one of this store", ErrCorrupt, number)
	}
	b := make([]byte, n+4)
	if err := readFull(f, b, 0); err != nil {
		return h, fmt.Errorf("head of segment %d: %w", number, err)
	}
	if crc32.Update(id.seed, castagnoli, b[:n]) != le.Uint32(b[n:]) {
		return h, fmt.Errorf("%w: head of segment %d: checksum", ErrCorrupt, number)
	}
	h = segmentHead{number: le.Uint32(b[20:]), firstLSN: le.Uint64(b[24:]), prev: le.Uint32(b[32:]), blocks: le.Uint32(b[44:])}
	if h.number != number {
		return h, fmt.Errorf("%w: the file of segment %d is that of %d", ErrCorrupt, number, h.number)
	}
	for i := range live {
		h.live = append(h.live, le.Uint32(b[48+4*i:]))
	}
	for i := range parts {
		h.parts = append(h.parts, le.Uint16(b[48+4*live+2*i:]))
	}
	return h, nil
}

// read reads n bytes at off into b, from memory what is not durable yet. Bytes that
// the file does not have are missing: the result is shorter.
func (g *segment) read(b []byte, off uint32) ([]byte, error) {
	g.mem.RLock()
	for _, f := range g.mem.frames {
		if off >= f.off && int(off-f.off) < len(f.buf) {
			n := copy(b, f.buf[off-f.off:])
			g.mem.RUnlock()
			return b[:n], nil
		}
	}
	named := g.mem.named
	g.mem.RUnlock()
	if !named {
		return nil, fmt.Errorf("%w: segment %d has no file", ErrCorrupt, g.number)
	}
	file, err := g.files.get(g.number)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errMoved // it was freed since
	case err != nil:
		return nil, fmt.Errorf("open segment %d: %w", g.number, err)
	}
	defer g.files.put(file)
	n, err := file.ReadAt(b, int64(off))
	if n < len(b) && err != nil {
		return b[:n], fmt.Errorf("%w: read segment %d at %d: %w", ErrCorrupt, g.number, off, err)
	}
	return b, nil
}

// release ends a read.
func (g *segment) release() {
	if g.refs.Add(-1) == 0 {
		g.unpin()
		g.files.drop(g.number)
	}
}

// pin keeps the file open while it is written. One goroutine writes a segment.
func (g *segment) pin() error {
	if g.mem.file != nil {
		return nil
	}
	f, err := g.files.get(g.number)
	if err != nil {
		return fmt.Errorf("open segment %d: %w", g.number, err)
	}
	g.mem.file = f
	return nil
}

func (g *segment) unpin() {
	if g.mem.file != nil {
		g.files.put(g.mem.file)
		g.mem.file = nil
	}
}

// acquire returns a segment for reading, nil when there is none of that number.
func (s *Store) acquire(n uint32) *segment {
	s.table.RLock()
	defer s.table.RUnlock()
	g := s.table.segs[n]
	if g != nil {
		g.refs.Add(1)
	}
	return g
}

// seg returns a segment to whoever holds mu.
func (s *Store) seg(n uint32) *segment { return s.table.segs[n] }

func (s *Store) addSegment(g *segment) {
	g.refs.Store(1)
	s.table.Lock()
	s.table.segs[g.number] = g
	i, _ := slices.BinarySearchFunc(s.table.order, g.number, func(o *segment, n uint32) int { return cmp.Compare(o.number, n) })
	s.table.order = slices.Insert(s.table.order, i, g)
	s.table.Unlock()
	s.sums.segments.Add(1)
	s.sums.disk.Add(g.size)
}

// dropSegment takes a segment out of the table; its file is closed after the last read.
func (s *Store) dropSegment(g *segment) {
	s.table.Lock()
	delete(s.table.segs, g.number)
	if i := slices.Index(s.table.order, g); i >= 0 {
		s.table.order = slices.Delete(s.table.order, i, i+1)
	}
	s.table.Unlock()
	s.sums.segments.Add(-1)
	s.sums.disk.Add(-g.size)
	s.lives(g, -g.live) // what damage has left there
	s.buries(g, -g.dropBytes)
	g.release()
}

// numbers are those of all segments, ascending. The caller holds mu.
func (s *Store) numbers() []uint32 {
	out := make([]uint32, len(s.table.order))
	for i, g := range s.table.order {
		out[i] = g.number
	}
	return out
}
