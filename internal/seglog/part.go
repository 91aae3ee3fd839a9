package seglog

import (
	"bytes"
	"cmp"
	"hash/crc32"

	"viewring/internal/disk"
)

// Piece is what GetPart has read of a value.
type Piece struct {
	Whole  bool   // Bytes is all of the value
	Bytes  []byte // what was asked for, or all
	Head   []byte // the first bytes of the value, where Bytes is not all
	Length int    // of the value
}

// partBytesMin is how long a record is of which a part is read by itself. For a shorter one
// what must be read besides the part costs as much as the rest.
const partBytesMin = 64 << 10

// GetPart is Get of a part of a value. cut is told the first bytes of the value, head of them
// at most, and its length, and says which bytes are wanted, from … to; it may be called more
// than once. Where the value is short, where most of it is wanted, and where a part cannot be
// verified by itself, all of it is read and verified instead. So damage is met
// where it lies in what is returned; elsewhere in the value it may be, and is left to the scrub.
func (s *Store) GetPart(part uint16, key []byte, head int, cut func(head []byte, length int) (from, to int)) (pc Piece, ok bool, err error) {
	_, ok, err = s.get(part, key, func(e *entry) (r record, keyOK bool, err error) {
		if int(e.bytes()) >= cmp.Or(s.opts.partBytes, partBytesMin) {
			var ok bool
			if r, pc, ok, err = s.readPart(e, key, head, cut); ok || err != nil {
				return r, ok, err
			}
		}
		r, keyOK, err = s.readEntry(e, kindItem)
		pc = Piece{Whole: true, Bytes: r.value, Length: len(r.value)}
		return r, keyOK, err
	})
	if !ok {
		return Piece{}, false, err
	}
	return pc, true, nil
}

// readPart reads a part of a record, verified by the checksums of its frame's sectors. ok is
// false where that can't be: then the whole record says what is so.
func (s *Store) readPart(e *entry, key []byte, head int, cut func(head []byte, length int) (from, to int)) (r record, pc Piece, ok bool, err error) {
	g, err := s.segmentOf(e)
	if err != nil {
		return r, pc, false, err
	}
	defer g.release()
	t, ok := s.frameSums(g, e)
	if !ok {
		return r, pc, false, nil
	}
	valueAt := recordBytes + len(key)
	b, ok := t.read(e.off, e.off+uint32(min(valueAt+head, int(e.bytes()))))
	if !ok {
		return r, pc, false, nil
	}
	r, length, ok := s.id.readHead(b, e.place())
	if !ok || r.kind != kindItem || !bytes.Equal(r.key, key) || align8(valueAt+length) != int(e.bytes()) {
		return r, pc, false, nil // or another key with the same bound
	}
	pc = Piece{Length: length, Head: b[valueAt:min(len(b), valueAt+length)]}
	from, to := cut(pc.Head, length)
	if from < 0 || to > length || from > to {
		panic("seglog: a part of a value that is none")
	}
	if to-from > length/2 {
		return r, pc, false, nil
	}
	pc.Bytes, ok = t.read(e.off+uint32(valueAt+from), e.off+uint32(valueAt+to))
	return r, pc, ok, nil
}

// frameSums are the checksums of the sectors of a frame that is on the disk.
type frameSums struct {
	g    *segment
	h    head
	sums []byte
}

// frameSums finds the frame that has the record of an entry, and verifies its head and the
// table of its sectors. ok is false where the frame is not on the disk yet, is too far to
// seek, or is damaged there.
func (s *Store) frameSums(g *segment, e *entry) (t frameSums, ok bool) {
	if g.inMemory(e.off) {
		return t, false
	}
	t.g = g
	if t.h, ok = s.seekFrame(g, e); !ok {
		return t, false
	}
	t.sums = make([]byte, t.h.tailAt()-t.h.tableAt())
	b, err := g.read(t.sums, t.h.off+uint32(t.h.tableAt()))
	if err != nil || len(b) < len(t.sums) {
		return t, false
	}
	seed := s.id.seedAt(spot{t.h.seg, t.h.off})
	return t, crc32.Update(seed, castagnoli, t.sums) == t.h.tableSum
}

// inMemory reports whether what is at an offset is not on the disk yet. Once it is there it
// stays there, and so is all before it.
func (g *segment) inMemory(off uint32) bool {
	g.mem.RLock()
	defer g.mem.RUnlock()
	for _, f := range g.mem.frames {
		if off >= f.off {
			return true
		}
	}
	return !g.mem.named
}

// A frame's head is sought before a record in pieces of seekBytes, as far as a part
// of the record's length: where it is farther, reading all of the record costs little more.
const (
	seekBytes = 16 << 10
	seekPart  = 4
)

// seekFrame finds the head of the frame that has the record of an entry. A long record is
// nearly always the first of its frame, or close to it.
func (s *Store) seekFrame(g *segment, e *entry) (h head, ok bool) {
	at := e.off &^ (disk.BlockBytes - 1)
	b, err := g.read(make([]byte, headBytes), at)
	least := e.off - min(e.off, max(e.bytes()/seekPart, seekBytes))
	for base := at; err == nil; {
		for o := at; ; o -= disk.BlockBytes {
			if int(o-base) < len(b) {
				if h, ok := s.id.readFrameHead(b[o-base:], magicHead); ok && h.seg == g.number && h.off == o {
					return h, uint64(e.off-o)+uint64(e.bytes()) <= uint64(h.dirAt())
				}
			}
			if o == base {
				break
			}
		}
		if base <= max(least, g.first) {
			return h, false
		}
		at = base - disk.BlockBytes
		base -= min(base, seekBytes)
		b, err = g.read(make([]byte, at+disk.BlockBytes-base), base)
	}
	return h, false
}

// read reads bytes lo … hi of the segment, which are the frame's, and verifies all sectors
// that they are in.
func (t *frameSums) read(lo, hi uint32) (b []byte, ok bool) {
	if lo == hi {
		return []byte{}, true
	}
	first, last := int(lo-t.h.off)/sectorBytes, int(hi-1-t.h.off)/sectorBytes
	from, end := max(headBytes, first*sectorBytes), min((last+1)*sectorBytes, t.h.tableAt())
	b, err := t.g.read(make([]byte, end-from), t.h.off+uint32(from))
	if err != nil || len(b) < end-from {
		return nil, false
	}
	for s, rest := first, b; s <= last; s++ {
		n := min(len(rest), (s+1)*sectorBytes-max(headBytes, s*sectorBytes))
		if sumOf(rest[:n]) != le.Uint32(t.sums[sumBytes*s:]) {
			return nil, false
		}
		rest = rest[n:]
	}
	at := int(lo-t.h.off) - from
	return b[at : at+int(hi-lo) : at+int(hi-lo)], true
}
