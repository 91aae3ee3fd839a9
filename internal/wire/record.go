package wire

import (
	"encoding/binary"
	"fmt"
	"iter"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/codec"
	"viewring/ring"
)

// CmdRecord is about one chunk of a record file: RecordRequest → RecordReply, or of a RecordGet
// DoReply, or an error reply. It goes to the primary of the chunk's slot. What each step is for is
// in server/tree/RECORDS.md. No step has a request id: done again, it does nothing more.
const CmdRecord = "VR.RECORD"

const (
	recordFormat      = 1 // of RecordRequest and RecordReply
	recordHeadFormat  = 1
	recordBatchFormat = 1
)

// Bounds of record files.
const (
	RecordChunkMin    = 1 << 20  // bytes of a chunk, as a user may choose them
	RecordChunkMax    = 16 << 20 // and in any case
	RecordBatchShare  = 4        // a batch's records have at most that part of a chunk
	RecordBatchMax    = 1 << 16  // records of a batch
	RecordBatchesMax  = 1 << 16  // of a chunk
	RecordsInChunkMax = 1 << 20
	RecordBuckets     = 16 // producers of a chunk are kept in, by the hash of their id
)

// RecordOp is a step in a chunk of a record file.
type RecordOp uint8

// The steps.
const (
	RecordGet    RecordOp = iota // Part, Index → the value
	RecordOpen                   // Life, Head, Buckets → State
	RecordAppend                 // Producer, Named, Epoch, Nonce, Sequence, Count, Records → Place, Time, Next
	RecordJoin                   // Producer, Nonce → Epoch, Next, Known
	RecordErase                  // → Batches
	RecordDelete                 // Part, Index
	recordOpEnd
)

// Frees reports whether the step takes no room.
func (o RecordOp) Frees() bool { return o == RecordErase || o == RecordDelete }

// RecordPart is a kind of what is stored of a chunk.
type RecordPart uint8

// The parts.
const (
	RecordHeadPart   RecordPart = iota // Index 0
	RecordBucketPart                   // Index < RecordBuckets
	RecordBatchPart                    // Index < RecordBatchesMax
	recordPartEnd
)

// RecordState is what becomes of a chunk.
type RecordState uint8

// The states of a chunk; without a head there is none.
const (
	RecordIsOpen RecordState = iota + 1
	RecordIsClosed
	RecordIsErased
	recordStateEnd
)

// RecordHead is what is kept of a chunk.
type RecordHead struct {
	State      RecordState
	ChunkBytes int64
	ClosesIn   int64 // milliseconds after its first batch; 0: never
	First      int64 // number of its first record
	Records    int64
	Batches    int64
	Bytes      int64 // of its batches
	Before     int64 // of all chunks before it
	FirstTime  int64 // of the first batch, unix milliseconds; 0: none
	LastTime   int64 // of the last batch, or of one before the chunk
	Buckets    uint16
}

// AppendRecordHead encodes h.
func AppendRecordHead(b []byte, h *RecordHead) []byte {
	b = append(b, recordHeadFormat, byte(h.State))
	for _, n := range []int64{h.ChunkBytes, h.ClosesIn, h.First, h.Records, h.Batches, h.Bytes, h.Before, h.FirstTime, h.LastTime} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return binary.BigEndian.AppendUint16(b, h.Buckets)
}

// DecodeRecordHead parses what AppendRecordHead wrote.
func DecodeRecordHead(b []byte) (h RecordHead, err error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "head of a record chunk", recordHeadFormat); err != nil {
		return h, err
	}
	h.State = RecordState(r.Byte())
	for _, n := range []*int64{&h.ChunkBytes, &h.ClosesIn, &h.First, &h.Records, &h.Batches, &h.Bytes, &h.Before, &h.FirstTime, &h.LastTime} {
		*n = readCount(r)
	}
	var buckets [2]byte
	r.Fixed(buckets[:])
	h.Buckets = binary.BigEndian.Uint16(buckets[:])
	if err := r.Done(); err != nil {
		return h, fmt.Errorf("head of a record chunk: %w", err)
	}
	if h.State == 0 || h.State >= recordStateEnd {
		return h, fmt.Errorf("head of a record chunk: %w: state %d", codec.ErrMalformed, h.State)
	}
	return h, nil
}

// RecordBatch is a batch as it is stored.
type RecordBatch struct {
	First    int64 // number of its first record
	Time     int64 // unix milliseconds, by the primary's clock
	Producer [16]byte
	Sequence int64 // of its first record
	Count    int64
	Sum      uint64 // xxhash64 of Records
	Records  []byte // each with its length before it
}

// AppendRecordBatch encodes x.
func AppendRecordBatch(b []byte, x *RecordBatch) []byte {
	b = append(b, recordBatchFormat)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(x.First)), uint64(x.Time))
	b = append(b, x.Producer[:]...)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(x.Sequence)), uint64(x.Count))
	b = binary.BigEndian.AppendUint64(b, x.Sum)
	return append(b, x.Records...)
}

// RecordBatchHeadMax is what a stored batch has besides its records at most.
const RecordBatchHeadMax = 1 + 4*binary.MaxVarintLen64 + 16 + 8

// DecodeRecordBatch parses what AppendRecordBatch wrote, and verifies it. Records alias b.
func DecodeRecordBatch(b []byte) (x RecordBatch, err error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "batch of records", recordBatchFormat); err != nil {
		return x, err
	}
	x.First, x.Time = readCount(r), readCount(r)
	r.Fixed(x.Producer[:])
	x.Sequence, x.Count = readCount(r), readCount(r)
	x.Sum = r.Uint64()
	x.Records = r.Rest()
	if err := r.Err(); err != nil {
		return x, fmt.Errorf("batch of records: %w", err)
	}
	if _, err := checkRecords(x.Records, x.Count, x.Sum); err != nil {
		return x, fmt.Errorf("batch of records: %w", err)
	}
	return x, nil
}

// AppendRecord appends one record to the records of a batch.
func AppendRecord(b, record []byte) []byte { return codec.AppendBytes(b, record) }

// RecordSum is the sum of the records of a batch.
func RecordSum(records []byte) uint64 { return xxhash.Sum64(records) }

// checkRecords verifies the records of a batch, and tells how many bytes they are without their
// lengths.
func checkRecords(records []byte, count int64, sum uint64) (size int64, err error) {
	if count < 1 || count > RecordBatchMax {
		return 0, fmt.Errorf("%w: %d records", codec.ErrMalformed, count)
	}
	if got := RecordSum(records); got != sum {
		return 0, fmt.Errorf("%w: the records have the sum %016x, and %016x was noted", codec.ErrMalformed, got, sum)
	}
	r := codec.NewReader(records)
	for range count {
		size += int64(len(r.Bytes()))
	}
	return size, r.Done()
}

// All are the records, with their numbers in the batch. They alias Records.
func (x *RecordBatch) All() iter.Seq2[int64, []byte] {
	return func(yield func(int64, []byte) bool) {
		r := codec.NewReader(x.Records)
		for i := range x.Count {
			if !yield(i, r.Bytes()) {
				return
			}
		}
	}
}

// RecordRequest is one step in a chunk of a record file.
type RecordRequest struct {
	Op    RecordOp
	Chunk Chunk

	Part  RecordPart // RecordGet, RecordDelete
	Index uint32

	Life    uint64 // RecordOpen
	Head    RecordHead
	Buckets [][]byte // those that Head has, as they are stored

	Producer [16]byte // RecordAppend, RecordJoin
	Nonce    uint64   // RecordJoin: another one for each call, the same for its repeats; RecordAppend: that of the join, or 0

	Named    bool // RecordAppend
	Epoch    uint64
	Sequence int64
	Count    int64
	Sum      uint64
	Records  []byte
	Size     int64 // bytes of Records without their lengths; not on the wire
}

// AppendRecordRequest encodes q.
func AppendRecordRequest(b []byte, q *RecordRequest) []byte {
	b = append(b, recordFormat, byte(q.Op))
	b = appendTreeVersion(binary.AppendUvarint(b, uint64(q.Chunk.Home)), q.Chunk.Version)
	b = binary.AppendUvarint(b, uint64(q.Chunk.Index))
	switch q.Op {
	case RecordGet, RecordDelete:
		b = binary.AppendUvarint(append(b, byte(q.Part)), uint64(q.Index))
	case RecordOpen:
		b = binary.AppendUvarint(b, q.Life)
		b = codec.AppendBytes(b, AppendRecordHead(nil, &q.Head))
		b = binary.AppendUvarint(b, uint64(len(q.Buckets)))
		for _, bucket := range q.Buckets {
			b = codec.AppendBytes(b, bucket)
		}
	case RecordJoin:
		b = binary.BigEndian.AppendUint64(append(b, q.Producer[:]...), q.Nonce)
	case RecordAppend:
		b = append(b, q.Producer[:]...)
		b = codec.AppendBool(b, q.Named)
		b = binary.BigEndian.AppendUint64(binary.AppendUvarint(b, q.Epoch), q.Nonce)
		b = binary.AppendUvarint(b, uint64(q.Sequence))
		b = binary.AppendUvarint(b, uint64(q.Count))
		b = binary.BigEndian.AppendUint64(b, q.Sum)
		b = append(b, q.Records...)
	}
	return b
}

// DecodeRecordRequest parses what AppendRecordRequest wrote, and verifies the records. They, and
// buckets, alias b.
func DecodeRecordRequest(b []byte) (RecordRequest, error) {
	var q RecordRequest
	r := codec.NewReader(b)
	if err := expectFormat(r, "record request", recordFormat); err != nil {
		return q, err
	}
	q.Op = RecordOp(r.Byte())
	home := r.Uvarint()
	q.Chunk.Version = readTreeVersion(r)
	index := r.Uvarint()
	if home >= ring.Slots || index > 1<<32-1 || q.Op >= recordOpEnd {
		r.Invalid("operation %d on chunk %d at home %d", q.Op, index, home)
	}
	q.Chunk.Home, q.Chunk.Index = uint16(home), uint32(index)
	switch q.Op {
	case RecordGet, RecordDelete:
		q.Part, q.Index = readPart(r)
	case RecordOpen:
		q.readOpen(r)
	case RecordJoin:
		r.Fixed(q.Producer[:])
		q.Nonce = r.Uint64()
	case RecordAppend:
		r.Fixed(q.Producer[:])
		q.Named = r.Bool()
		q.Epoch, q.Nonce = r.Uvarint(), r.Uint64()
		q.Sequence, q.Count = readCount(r), readCount(r)
		q.Sum = r.Uint64()
		if r.Err() == nil {
			q.Records = r.Rest()
			size, err := checkRecords(q.Records, q.Count, q.Sum)
			if err != nil {
				return q, fmt.Errorf("record request: %w", err)
			}
			q.Size, r = size, codec.NewReader(nil)
		}
	}
	if err := r.Done(); err != nil {
		return q, fmt.Errorf("record request: %w", err)
	}
	return q, nil
}

func readPart(r *codec.Reader) (RecordPart, uint32) {
	part, index := RecordPart(r.Byte()), r.Uvarint()
	most := [recordPartEnd]uint64{RecordHeadPart: 1, RecordBucketPart: RecordBuckets, RecordBatchPart: RecordBatchesMax}
	if part >= recordPartEnd || index >= most[part] {
		r.Invalid("part %d, %d", part, index)
		return 0, 0
	}
	return part, uint32(index)
}

func (q *RecordRequest) readOpen(r *codec.Reader) {
	q.Life = r.Uvarint()
	head, err := DecodeRecordHead(r.Bytes())
	if r.Err() == nil && err != nil {
		r.Invalid("%v", err)
	}
	q.Head = head
	for range r.Count(1) {
		q.Buckets = append(q.Buckets, r.Bytes())
	}
}

// RecordCode is what a step in a chunk came to.
type RecordCode uint8

// The outcomes of a step. Beside RecordOK, and RecordClosed of an append that did not fit, nothing was changed.
const (
	RecordOK         RecordCode = iota
	RecordNone                  // the chunk has no head, or is erased
	RecordClosed                // it is closed, and the batch is not in it
	RecordLost                  // its partition was given up since it was reserved
	RecordKnown                 // the batch is in the file already: Place, or -1 where a later one of the producer is too; Next
	RecordTooLarge              // the batch is beyond the bounds: Next has the bytes that are allowed
	RecordFenced                // another process has joined as this producer: Epoch
	RecordGap                   // sequences before this one are missing: Next
	RecordOverlap               // some of the batch is in the file, and not all: Next
	RecordTooMany               // the file has as many named producers as it can
	RecordUnreadable            // what is stored, or was sent, has a format that the server's build does not know
	RecordAgain                 // the server's view is not that of the partition's present term: never on the wire
	recordCodeEnd
)

// RecordReply is the answer to a RecordRequest that is not a read.
type RecordReply struct {
	Code    RecordCode
	State   RecordState
	Epoch   uint64
	Known   bool // of a join
	Place   int64
	Next    int64
	Time    int64
	Batches int64
}

// AppendRecordReply encodes p.
func AppendRecordReply(b []byte, p *RecordReply) []byte {
	b = codec.AppendBool(append(b, recordFormat, byte(p.Code), byte(p.State)), p.Known)
	b = binary.AppendUvarint(b, p.Epoch)
	for _, n := range []int64{p.Place, p.Next, p.Time, p.Batches} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

// DecodeRecordReply parses what AppendRecordReply wrote.
func DecodeRecordReply(b []byte) (p RecordReply, err error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "record reply", recordFormat); err != nil {
		return p, err
	}
	p.Code, p.State, p.Known = RecordCode(r.Byte()), RecordState(r.Byte()), r.Bool()
	p.Epoch = r.Uvarint()
	for _, n := range []*int64{&p.Place, &p.Next, &p.Time, &p.Batches} {
		*n = r.Varint()
	}
	if err := r.Done(); err != nil {
		return p, fmt.Errorf("record reply: %w", err)
	}
	if p.Code >= recordCodeEnd || p.State >= recordStateEnd {
		return p, fmt.Errorf("record reply: %w: code %d, state %d", codec.ErrMalformed, p.Code, p.State)
	}
	return p, nil
}

// bucketNameBytes and batchNameBytes are the lengths of the names of parts.
const (
	bucketNameBytes = chunkNameBytes + 1
	batchNameBytes  = chunkNameBytes + 4
)

// PartName is the name under which a part of a record chunk is stored.
func (c *Chunk) PartName(part RecordPart, index uint32) string {
	switch name := c.Name(); part {
	case RecordBucketPart:
		return name + string([]byte{byte(index)})
	case RecordBatchPart:
		return string(binary.BigEndian.AppendUint32([]byte(name), index))
	default:
		return name
	}
}

// ParsePartName reads the name of a bucket or a batch: that of a head is its chunk's.
func ParsePartName(name string) (c Chunk, part RecordPart, index uint32, ok bool) {
	switch len(name) {
	case bucketNameBytes:
		c, ok = ParseChunkName(name[:chunkNameBytes])
		return c, RecordBucketPart, uint32(name[chunkNameBytes]), ok && name[chunkNameBytes] < RecordBuckets
	case batchNameBytes:
		c, ok = ParseChunkName(name[:chunkNameBytes])
		index = binary.BigEndian.Uint32([]byte(name[chunkNameBytes:]))
		return c, RecordBatchPart, index, ok && index < RecordBatchesMax
	}
	return c, 0, 0, false
}

// RecordBucketOf is the bucket of a producer.
func RecordBucketOf(producer [16]byte) uint32 {
	return uint32(xxhash.Sum64(producer[:]) % RecordBuckets)
}
