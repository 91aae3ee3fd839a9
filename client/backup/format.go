package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/codec"
	"viewring/internal/wire"
	"viewring/ring"
)

// The format of all files: DESIGN.md has it byte by byte.
const (
	magic       = "VRBACKUP"
	fileFormat  = 2 // 1 had keys alone
	headerBytes = 54
	sumBytes    = 8
	blockHead   = 5 // length and kind

	blockBytesMax = 17 << 20 // of a payload: a value, a name, and what is around them
	blockFull     = 256 << 10
)

// The kinds of files.
const (
	segmentFile  = 1
	manifestFile = 2
)

// The kinds of blocks. Those of the sections have records.
const (
	keysBlock     = 1
	endBlock      = 2
	manifestBlock = 3
	nodesBlock    = 4
	batchesBlock  = 5
	streamsBlock  = 6
)

// section is a part of what a run has of a partition.
type section int

// The sections.
const (
	sectionKeys    section = iota
	sectionNodes           // of the tree of paths, and the bytes of files
	sectionBatches         // of records
	sectionStreams         // which record files there are
	sectionsEnd
)

// sectionBlocks are the kinds of their blocks.
var sectionBlocks = [sectionsEnd]byte{sectionKeys: keysBlock, sectionNodes: nodesBlock, sectionBatches: batchesBlock, sectionStreams: streamsBlock}

// sectionOf is the section of a block; false of one that is of none.
func sectionOf(block byte) (section, bool) {
	i := bytes.IndexByte(sectionBlocks[:], block)
	return section(i), i >= 0
}

var (
	// ErrDamaged: a file is not as it was written. The text names it.
	ErrDamaged = errors.New("damaged")
	// ErrFormat: a file is of another build's format, or is no backup.
	ErrFormat = errors.New("not a backup that this build reads")
)

// RunID names a run; the zero RunID stands for none.
type RunID [16]byte

// fileID says what a file is.
type fileID struct {
	kind    byte
	cluster [16]byte
	run     RunID
	number  uint32
}

func appendHeader(b []byte, id *fileID) []byte {
	start := len(b)
	b = append(append(b, magic...), fileFormat, id.kind)
	b = append(append(b, id.cluster[:]...), id.run[:]...)
	b = binary.BigEndian.AppendUint32(b, id.number)
	return binary.BigEndian.AppendUint64(b, xxhash.Sum64(b[start:]))
}

// decodeHeader reads a header, and returns its sum, which the sums of the file's blocks are over.
func decodeHeader(b []byte) (id fileID, sum uint64, err error) {
	switch {
	case len(b) < headerBytes:
		return id, 0, fmt.Errorf("%w: it ends in its header", ErrDamaged)
	case string(b[:len(magic)]) != magic:
		return id, 0, fmt.Errorf("%w: it does not begin with %s", ErrFormat, magic)
	case b[len(magic)] < 1 || b[len(magic)] > fileFormat:
		return id, 0, fmt.Errorf("%w: format %d, this build reads 1 to %d: use a newer viewring", ErrFormat, b[len(magic)], fileFormat)
	}
	sum = binary.BigEndian.Uint64(b[headerBytes-sumBytes:])
	if xxhash.Sum64(b[:headerBytes-sumBytes]) != sum {
		return id, 0, fmt.Errorf("%w: the header's checksum is wrong", ErrDamaged)
	}
	b = b[len(magic)+1:]
	id.kind = b[0]
	copy(id.cluster[:], b[1:])
	copy(id.run[:], b[17:])
	id.number = binary.BigEndian.Uint32(b[33:])
	return id, sum, nil
}

// appendBlock appends a block that stands at an offset of a file whose header has that sum.
func appendBlock(b []byte, fileSum uint64, offset int64, kind byte, payload []byte) []byte {
	start := len(b)
	b = append(binary.BigEndian.AppendUint32(b, uint32(len(payload))), kind)
	b = append(b, payload...)
	return binary.BigEndian.AppendUint64(b, blockSum(fileSum, offset, b[start:]))
}

func blockSum(fileSum uint64, offset int64, block []byte) uint64 {
	var place [16]byte
	binary.BigEndian.PutUint64(place[:], fileSum)
	binary.BigEndian.PutUint64(place[8:], uint64(offset))
	var d xxhash.Digest
	d.Reset()
	_, _ = d.Write(place[:]) // never fails
	_, _ = d.Write(block)
	return d.Sum64()
}

// blockReader reads blocks, one behind the other, from what begins at an offset of a file.
type blockReader struct {
	from    io.Reader
	fileSum uint64
	offset  int64
	buf     []byte
}

// next returns the next block. Its payload is good until the call after. io.EOF is the end between two blocks.
func (r *blockReader) next() (kind byte, payload []byte, err error) {
	var head [blockHead]byte
	if _, err := io.ReadFull(r.from, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = r.damaged("it ends within a block")
		}
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n > blockBytesMax {
		return 0, nil, r.damaged("a block of %d bytes", n)
	}
	whole := blockHead + n
	if cap(r.buf) < whole+sumBytes {
		r.buf = make([]byte, 0, whole+sumBytes)
	}
	r.buf = append(r.buf[:0], head[:]...)[:whole+sumBytes]
	if _, err := io.ReadFull(r.from, r.buf[blockHead:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = r.damaged("it ends within a block")
		}
		return 0, nil, err
	}
	if binary.BigEndian.Uint64(r.buf[whole:]) != blockSum(r.fileSum, r.offset, r.buf[:whole]) {
		return 0, nil, r.damaged("a block's checksum is wrong")
	}
	r.offset += int64(whole + sumBytes)
	return head[4], r.buf[blockHead:whole], nil
}

func (r *blockReader) damaged(format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrDamaged, r.offset, fmt.Sprintf(format, args...))
}

// recordKind says what a record is.
type recordKind byte

// The kinds of records.
const (
	recordSet     recordKind = 1 // what a page showed
	recordDeleted recordKind = 2
	recordChanged recordKind = 3 // set while the partition was copied
	recordBody    recordKind = 4 // of a long file: bytes from an offset on, which is in place of the expiry
	recordBatch   recordKind = 5 // of records
	recordStream  recordKind = 6 // a record file
)

// allowed reports whether a section may have records of a kind.
func (k recordKind) allowed(s section) bool {
	switch s {
	case sectionKeys:
		return k >= recordSet && k <= recordChanged
	case sectionNodes:
		return k >= recordSet && k <= recordBody
	case sectionBatches:
		return k == recordBatch
	}
	return k == recordStream
}

// Version is that of a key, or of a partition's log.
type Version struct{ Term, Seq uint64 }

// Before reports whether v comes before w.
func (v Version) Before(w Version) bool { return v.Term < w.Term || v.Term == w.Term && v.Seq < w.Seq }

// record is what became of a key, or of a node.
type record struct {
	kind    recordKind
	name    []byte
	version Version
	expiry  int64 // unix milliseconds, 0 = never; of a recordBody: the offset
	value   []byte
}

// recordHead is more than a record takes besides its name and value.
const recordHead = 1 + 6*binary.MaxVarintLen64

func appendRecord(b []byte, x *record) []byte {
	b = codec.AppendBytes(append(b, byte(x.kind)), x.name)
	b = binary.AppendUvarint(binary.AppendUvarint(b, x.version.Term), x.version.Seq)
	if x.kind == recordDeleted {
		return b
	}
	return codec.AppendBytes(binary.AppendUvarint(b, uint64(x.expiry)), x.value)
}

// decodeRecords calls fn with the records of a block of a section, which alias it.
func decodeRecords(s section, payload []byte, fn func(p ring.PartitionID, x *record) error) error {
	r := codec.NewReader(payload)
	p := r.Uvarint()
	if p >= ring.Slots {
		r.Invalid("partition %d", p)
	}
	for r.Err() == nil && r.Len() > 0 {
		x := record{kind: recordKind(r.Byte()), name: r.Bytes(), version: Version{r.Uvarint(), r.Uvarint()}}
		switch {
		case !x.kind.allowed(s):
			r.Invalid("a record of kind %d", x.kind)
		case x.kind != recordDeleted:
			x.expiry, x.value = int64(r.Uvarint()), r.Bytes()
		}
		if len(x.name) > wire.KeyBytesMax || len(x.value) > wire.ValueBytesMax || x.expiry < 0 {
			r.Invalid("a name of %d bytes, a value of %d, expiry %d", len(x.name), len(x.value), x.expiry)
		}
		if r.Err() != nil {
			break
		}
		if err := fn(ring.PartitionID(p), &x); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}
