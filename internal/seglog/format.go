package seglog

import (
	"encoding/binary"
	"hash/crc32"
	"math"

	"viewring/internal/disk"
)

// kind says what a record does.
type kind uint8

// The kinds of records, and what each has for a key. They are on the disk.
const (
	kindItem    kind = 1 // key: the item's; its value
	kindDelete  kind = 2 // key: the item's
	kindRow     kind = 3 // key: seq and generation of rows; its value
	kindDropRow kind = 4 // key: the same
	kindState   kind = 5 // key: floor and generation of rows; the rest of the partition's state
	kindLost    kind = 6 // key: place and check of an item that could not be read
	kindFree    kind = 7 // key: the number of a segment that is no more
	kindLoss    kind = 8 // key: number of a loss of nobody knows what, and whether it counts
	kindMax     kind = kindLoss
)

// The bits of a record's flags.
const (
	flagDoubt    = 1 // a copy of an item after which a newer one may have been lost
	flagCollides = 2 // another key with the same bound was in the index beside it

	stateMeta    = 4  // of a state: there is a meta
	stateSuspect = 8  // keys that are not found may have been lost
	stateBad     = 16 // there was a meta, and it cannot be read
)

// The bits of a frame's flags.
const (
	frameSeal  = 1 // nothing follows in this segment
	frameClose = 2 // and the store was closed
)

// Lengths on the disk, bytes. DESIGN.md has the tables.
const (
	headBytes   = 64
	recordBytes = 24
	slotBytes   = 24 // of the directory, each record
	partBytes   = 2
	boundBytes  = 12
	sectorBytes = 512
	sumBytes    = 4 // of each sector

	magicHead = 0x56524831 // "VRH1"
	magicTail = 0x56525431 // "VRT1"
	magicSeg  = 0x56525331 // "VRS1"
)

// ValueBytesMax is the longest value, KeyBytesMax the longest key.
const (
	ValueBytesMax = 64 << 20
	KeyBytesMax   = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var le = binary.LittleEndian

func align8(n int) int { return (n + 7) &^ 7 }

func alignBlock(n int) int { return (n + disk.BlockBytes - 1) &^ (disk.BlockBytes - 1) }

// seedAt begins a checksum that holds only in one store and at one place: what was
// written elsewhere, or into an earlier life of a file, is not taken for what belongs here.
func (id *identity) seedAt(s spot) uint32 {
	var b [8]byte
	le.PutUint32(b[:], s.seg)
	le.PutUint32(b[4:], s.off)
	return crc32.Update(id.seed, castagnoli, b[:])
}

// record is one operation as it stands in the log.
type record struct {
	kind  kind
	flags uint8
	part  uint16
	gen   uint32
	key   []byte
	value []byte

	bound  bound // of an item's key, where it is known already
	hashed bool  // it is
}

func (r *record) bytes() int { return align8(recordBytes + len(r.key) + len(r.value)) }

// put writes r for a place in the log into b, which has r.bytes() bytes.
func (r *record) put(b []byte, id *identity, at spot) {
	b[8], b[9] = byte(r.kind), r.flags
	le.PutUint16(b[10:], r.part)
	le.PutUint32(b[12:], r.gen)
	le.PutUint32(b[16:], uint32(len(r.key)))
	le.PutUint32(b[20:], uint32(len(r.value)))
	n := recordBytes + copy(b[recordBytes:], r.key)
	sum := crc32.Update(id.seedAt(at), castagnoli, b[8:n])
	le.PutUint32(b, sum)
	clear(b[n+copy(b[n:], r.value):])
	le.PutUint32(b[4:], crc32.Update(sum, castagnoli, b[n:]))
}

// readHead reads the part of a record up to its value, as far as b has it; ok is
// false where it is not whole. The record's key aliases b.
func (id *identity) readHead(b []byte, at spot) (r record, valueLen int, ok bool) {
	if len(b) < recordBytes {
		return r, 0, false
	}
	r = record{kind: kind(b[8]), flags: b[9], part: le.Uint16(b[10:]), gen: le.Uint32(b[12:])}
	keyLen := int(le.Uint32(b[16:]))
	length := le.Uint32(b[20:])
	if r.kind == 0 || r.kind > kindMax || len(b) < recordBytes+keyLen || length > ValueBytesMax {
		return r, 0, false
	}
	r.key = b[recordBytes : recordBytes+keyLen]
	return r, int(length), crc32.Update(id.seedAt(at), castagnoli, b[8:recordBytes+keyLen]) == le.Uint32(b)
}

// readRecord reads the record that begins b. keyOK says that all but the value holds.
func (id *identity) readRecord(b []byte, at spot) (r record, keyOK, ok bool) {
	r, length, ok := id.readHead(b, at)
	n := recordBytes + len(r.key)
	if !ok || len(b) < align8(n+length) {
		return r, ok, false
	}
	r.value = b[n : n+length : n+length]
	return r, true, crc32.Update(le.Uint32(b), castagnoli, b[n:align8(n+length)]) == le.Uint32(b[4:])
}

// slot is a record in a frame's directory: what is known of it when it can't be read.
type slot struct {
	bound
	size  uint32
	gen   uint32
	part  uint16
	kind  kind
	flags uint8
}

func (s *slot) append(b []byte) []byte {
	b = le.AppendUint64(b, s.pos)
	b = le.AppendUint32(b, s.check)
	b = le.AppendUint32(b, s.size)
	b = le.AppendUint32(b, s.gen)
	b = le.AppendUint16(b, s.part)
	return append(b, byte(s.kind), s.flags)
}

func readSlot(b []byte) slot {
	return slot{bound: bound{le.Uint64(b), le.Uint32(b[8:])}, size: le.Uint32(b[12:]), gen: le.Uint32(b[16:]),
		part: le.Uint16(b[20:]), kind: kind(b[22]), flags: b[23]}
}

// slotOf makes the directory's slot of a record.
func (id *identity) slotOf(r *record) slot {
	s := slot{size: uint32(r.bytes()), gen: r.gen, part: r.part, kind: r.kind, flags: r.flags}
	switch r.kind {
	case kindItem, kindDelete:
		if s.bound = r.bound; !r.hashed {
			s.bound = id.boundOf(r.key)
		}
	case kindRow, kindDropRow, kindState, kindLost, kindFree, kindLoss:
		if len(r.key) == boundBytes {
			s.bound = bound{le.Uint64(r.key), le.Uint32(r.key[8:])}
		}
	}
	return s
}

// head is what begins a frame, and once more ends it.
type head struct {
	lsn         uint64 // number of the frame, without gaps over all segments
	seg, off    uint32
	records     uint32
	body        uint32 // bytes of the records
	blocks      uint32 // of the frame
	parts       uint32 // how many partitions the frame before had
	prevRecords uint32 // how many records it had
	flags       uint32
	dirSum      uint32
	tableSum    uint32
}

func (h *head) put(b []byte, id *identity, magic uint32) {
	le.PutUint32(b, magic)
	le.PutUint64(b[8:], h.lsn)
	for i, n := range []uint32{h.seg, h.off, h.records, h.body, h.blocks, h.parts, h.prevRecords, h.flags, h.dirSum, h.tableSum} {
		le.PutUint32(b[16+4*i:], n)
	}
	clear(b[56:headBytes])
	le.PutUint32(b[4:], crc32.Update(id.seedAt(spot{h.seg, h.off}), castagnoli, b[8:headBytes]))
}

// readFrameHead reads a head; ok is false where b is none, or one of another place.
func (id *identity) readFrameHead(b []byte, magic uint32) (h head, ok bool) {
	if len(b) < headBytes || le.Uint32(b) != magic {
		return h, false
	}
	h.lsn = le.Uint64(b[8:])
	for i, p := range []*uint32{&h.seg, &h.off, &h.records, &h.body, &h.blocks, &h.parts, &h.prevRecords, &h.flags, &h.dirSum, &h.tableSum} {
		*p = le.Uint32(b[16+4*i:])
	}
	if crc32.Update(id.seedAt(spot{h.seg, h.off}), castagnoli, b[8:headBytes]) != le.Uint32(b[4:]) {
		return h, false
	}
	return h, h.fits()
}

// fits reports whether the lengths in a head go together. 64 bits: none can wrap.
func (h *head) fits() bool {
	return h.off%disk.BlockBytes == 0 && uint64(h.tailAt())+headBytes <= uint64(h.blocks)*disk.BlockBytes &&
		uint64(h.records)*recordBytes <= uint64(h.body) && uint64(h.blocks)*disk.BlockBytes <= math.MaxUint32
}

// The places of a frame's parts, from its beginning.
func (h *head) dirAt() int   { return headBytes + int(h.body) }
func (h *head) partsAt() int { return h.dirAt() + slotBytes*int(h.records) }
func (h *head) tableAt() int { return align8(h.partsAt() + partBytes*int(h.parts)) }
func (h *head) sectors() int { return (h.tableAt() + sectorBytes - 1) / sectorBytes }
func (h *head) tailAt() int  { return h.tableAt() + sumBytes*h.sectors() }
func (h *head) bytes() int   { return int(h.blocks) * disk.BlockBytes }

// frameBytes is how long a frame gets.
func frameBytes(body, records, parts int) int {
	h := head{body: uint32(body), records: uint32(records), parts: uint32(parts)}
	return alignBlock(h.tailAt() + headBytes)
}

// sectorSum is the checksum of a sector of a frame, as far as it lies before the
// table of these. It is never 0, so that no sector of the table is.
func sectorSum(frame []byte, sector, tableAt int) uint32 {
	from, to := max(headBytes, sector*sectorBytes), min((sector+1)*sectorBytes, tableAt)
	return sumOf(frame[from:to])
}

// sumOf is the checksum of the bytes of a sector.
func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) | 1 }

// finish writes everything of a frame but its records, which are in b already.
func (h *head) finish(b []byte, id *identity, slots []slot, parts []uint16) {
	dir := b[h.dirAt():h.dirAt()]
	for i := range slots {
		dir = slots[i].append(dir)
	}
	for _, p := range parts {
		dir = le.AppendUint16(dir, p)
	}
	at := h.tableAt()
	clear(b[h.dirAt()+len(dir) : at])
	seed := id.seedAt(spot{h.seg, h.off})
	h.dirSum = crc32.Update(seed, castagnoli, b[h.dirAt():at])
	for i := range h.sectors() {
		le.PutUint32(b[at+sumBytes*i:], sectorSum(b, i, at))
	}
	h.tableSum = crc32.Update(seed, castagnoli, b[at:h.tailAt()])
	clear(b[h.tailAt():h.bytes()])
	h.put(b, id, magicHead)
	h.put(b[h.bytes()-headBytes:], id, magicTail)
}
