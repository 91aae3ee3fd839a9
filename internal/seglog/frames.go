package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"viewring/internal/disk"
)

// content is what is read of a segment's file: from an offset on, which is that of a
// block.
type content struct {
	id   *identity
	seg  uint32
	base uint32
	b    []byte
	bad  []uint32 // offsets of blocks that cannot be read; ascending
}

// unread fills blocks that cannot be read. It is not zeros: what was not written reads as
// zeros, and of these it cannot be said.
const unread = 0xEE

// read fills b from a file: block by block where not all can be read at once. What the file
// has been cut off of reads as zeros. An error that says nothing about what is there is
// returned.
func (c *content) read(f disk.File) error {
	n, err := f.ReadAt(c.b, int64(c.base))
	if err == nil || errors.Is(err, io.EOF) {
		clear(c.b[n:])
		return nil
	}
	if !disk.Unreadable(err) {
		return err
	}
	for at := 0; at < len(c.b); at += disk.BlockBytes {
		block := c.b[at : at+disk.BlockBytes]
		n, err := f.ReadAt(block, int64(c.base)+int64(at))
		switch {
		case err == nil || errors.Is(err, io.EOF):
			clear(block[n:])
		case disk.Unreadable(err):
			for i := range block {
				block[i] = unread
			}
			c.bad = append(c.bad, c.base+uint32(at))
		default:
			return err
		}
	}
	return nil
}

// readFull fills b from a place of a file. Its error wraps ErrCorrupt where the file is too
// short or cannot be read there; every other one says nothing about what is there.
func readFull(f disk.File, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	if disk.Unreadable(err) {
		n, err = f.ReadAt(b, at) // it may pass
	}
	switch {
	case n == len(b):
		return nil
	case errors.Is(err, io.EOF) || disk.Unreadable(err):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

func (c *content) end() uint32 { return c.base + uint32(len(c.b)) }

// at returns the bytes from an offset of the segment on.
func (c *content) at(off uint32) []byte { return c.b[off-c.base:] }

// locate finds the first frame at off or behind it, by its head or by the copy of that
// at its end.
func (c *content) locate(off uint32) (h head, ok bool) {
	for o := off; uint64(o)+disk.BlockBytes <= uint64(c.end()); o += disk.BlockBytes {
		block := c.at(o)[:disk.BlockBytes]
		if h, ok := c.id.readFrameHead(block, magicHead); ok && h.seg == c.seg && h.off == o && c.holds(&h) {
			return h, true
		}
		h, ok := c.id.readFrameHead(block[disk.BlockBytes-headBytes:], magicTail)
		if ok && h.seg == c.seg && h.off >= off && uint64(h.off)+uint64(h.bytes()) == uint64(o)+disk.BlockBytes {
			return h, true
		}
	}
	return h, false
}

// holds reports whether all of a frame's length is in the file.
func (c *content) holds(h *head) bool {
	return uint64(h.off)+uint64(h.bytes()) <= uint64(c.end())
}

// record returns the bytes of a record, fewer where the file has been cut off.
func (c *content) record(p *placed) []byte {
	from := min(p.off, c.end())
	return c.at(from)[:min(p.size, c.end()-from)]
}

// condition is how the bytes of a frame are.
type condition int

const (
	whole  condition = iota
	torn             // a sector was not written: what a crash leaves, if nothing follows
	harmed           // anything else
)

// judge looks at every sector of a frame. A sector that was not written reads as
// zeros, for no byte of a segment is written twice; the checksums of sectors tell it
// from one that is meant to be zeros.
func (c *content) judge(h *head) condition {
	f := c.at(h.off)[:h.bytes()]
	result := whole
	note := func(sector int, good bool) {
		if good || result == harmed {
			return
		}
		if result = torn; !isZero(f[sector*sectorBytes : (sector+1)*sectorBytes]) {
			result = harmed
		}
	}
	_, headOK := c.id.readFrameHead(f, magicHead)
	note(0, headOK)
	seed := c.id.seedAt(spot{h.seg, h.off})
	tableAt, tailAt := h.tableAt(), h.tailAt()
	if crc32.Update(seed, castagnoli, f[tableAt:tailAt]) != h.tableSum {
		for s := tableAt / sectorBytes; s <= (tailAt-1)/sectorBytes; s++ {
			if isZero(f[s*sectorBytes : (s+1)*sectorBytes]) {
				return torn
			}
		}
		return harmed
	}
	for s := range h.sectors() {
		note(s, sectorSum(f, s, tableAt) == le.Uint32(f[tableAt+sumBytes*s:]))
	}
	return result
}

var zeroSector [sectorBytes]byte

func isZero(b []byte) bool {
	for len(b) > sectorBytes {
		if !bytes.Equal(b[:sectorBytes], zeroSector[:]) {
			return false
		}
		b = b[sectorBytes:]
	}
	return bytes.Equal(b, zeroSector[:len(b)])
}

// placed is a slot of a frame and where its record is.
type placed struct {
	slot
	off uint32
}

// slots returns the records of a frame: by its directory, or where that is damaged by
// the records themselves. all is false where some may be missing.
func (c *content) slots(h *head) (out []placed, all bool) {
	f := c.at(h.off)[:h.bytes()]
	seed := c.id.seedAt(spot{h.seg, h.off})
	out = make([]placed, 0, h.records)
	at := headBytes
	if crc32.Update(seed, castagnoli, f[h.dirAt():h.tableAt()]) == h.dirSum {
		for i := range int(h.records) {
			s := readSlot(f[h.dirAt()+slotBytes*i:])
			if at+int(s.size) > h.dirAt() || s.size < recordBytes {
				return out, false
			}
			out = append(out, placed{s, h.off + uint32(at)})
			at += int(s.size)
		}
		return out, true
	}
	for at+recordBytes <= h.dirAt() && len(out) < int(h.records) {
		off := h.off + uint32(at)
		r, length, ok := c.id.readHead(f[at:h.dirAt()], spot{c.seg, off})
		n := align8(recordBytes + len(r.key) + length)
		if !ok || at+n > h.dirAt() {
			break
		}
		r.value = f[at+recordBytes+len(r.key):][:length]
		out = append(out, placed{c.id.slotOf(&r), off})
		at += n
	}
	return out, len(out) == int(h.records)
}

// before returns which partitions the frame before h had; nil, false where that can't
// be read.
func (c *content) before(h *head) (parts []uint16, ok bool) {
	f := c.at(h.off)[:h.bytes()]
	if crc32.Update(c.id.seedAt(spot{h.seg, h.off}), castagnoli, f[h.dirAt():h.tableAt()]) != h.dirSum {
		return nil, false
	}
	for i := range int(h.parts) {
		parts = append(parts, le.Uint16(f[h.partsAt()+partBytes*i:]))
	}
	return parts, true
}
