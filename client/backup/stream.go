package backup

import (
	"encoding/binary"
	"time"

	records "viewring/client/record"
	"viewring/internal/codec"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// batch is a run of records of one producer, with sequences and places in a row.
type batch struct {
	place    int64 // of the first
	time     int64 // of the first, unix milliseconds
	producer [16]byte
	sequence int64 // of the first
	records  [][]byte
}

func (b *batch) end() int64 { return b.place + int64(len(b.records)) }

func (b *batch) encode() []byte {
	out := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(b.place)), uint64(b.time))
	out = append(out, b.producer[:]...)
	out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(b.sequence)), uint64(len(b.records)))
	for _, one := range b.records {
		out = codec.AppendBytes(out, one)
	}
	return out
}

// decodeBatch reads a record of a batch. The records alias it.
func decodeBatch(x *record) (b batch, err error) {
	if err := tree.Check(string(x.name)); err != nil {
		return b, malformed(err)
	}
	r := codec.NewReader(x.value)
	b.place, b.time = count(r), count(r)
	r.Fixed(b.producer[:])
	b.sequence = count(r)
	b.records = make([][]byte, r.Count(1))
	for i := range b.records {
		b.records[i] = r.Bytes()
	}
	if r.Err() == nil && len(b.records) == 0 {
		r.Invalid("a batch of no records")
	}
	return b, malformed(r.Done())
}

// stream is a record file, as it was at an end.
type stream struct {
	path string
	id   Version // of its node's creation

	chunkBytes, retainBytes int64
	retainAge               time.Duration

	first, from, end int64 // places: of the first record that was kept, of the first in this run, behind the last
	producers        []records.ProducerInfo
	readers          []readerPlace
}

// readerPlace is that of a name that reads.
type readerPlace struct {
	name  string
	group bool
	next  int64
}

func (s *stream) encode() []byte {
	var b []byte
	for _, n := range []int64{s.chunkBytes, s.retainBytes, s.retainAge.Milliseconds(), s.first, s.from, s.end} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = binary.AppendUvarint(b, uint64(len(s.producers)))
	for _, p := range s.producers {
		b = binary.AppendUvarint(append(b, p.ID[:]...), uint64(p.Next))
	}
	b = binary.AppendUvarint(b, uint64(len(s.readers)))
	for _, p := range s.readers {
		b = binary.AppendUvarint(codec.AppendBool(codec.AppendString(b, p.name), p.group), uint64(p.next))
	}
	return b
}

// The least that each takes in a stream.
const (
	producerMin = 16 + 1
	readerMin   = 3
)

// decodeStream reads the record of a stream.
func decodeStream(x *record) (s stream, err error) {
	s.path, s.id = string(x.name), x.version
	if err := tree.Check(s.path); err != nil {
		return s, malformed(err)
	}
	r := codec.NewReader(x.value)
	s.chunkBytes, s.retainBytes = count(r), count(r)
	age := count(r)
	s.first, s.from, s.end = count(r), count(r), count(r)
	if r.Err() == nil && (s.chunkBytes > wire.RecordChunkMax || age > int64(1<<62)/int64(time.Millisecond) || s.first > s.end || s.from > s.end) {
		r.Invalid("records %d to %d, from %d on, kept for %d ms in chunks of %d bytes", s.first, s.end, s.from, age, s.chunkBytes)
	}
	s.retainAge = time.Duration(age) * time.Millisecond
	s.producers = make([]records.ProducerInfo, r.Count(producerMin))
	for i := range s.producers {
		r.Fixed(s.producers[i].ID[:])
		s.producers[i].Next = count(r)
	}
	s.readers = make([]readerPlace, r.Count(readerMin))
	for i := range s.readers {
		p := &s.readers[i]
		p.name, p.group, p.next = r.String(), r.Bool(), count(r)
		if err := tree.CheckName(p.name); r.Err() == nil && err != nil {
			r.Invalid("the reader %q: %v", p.name, err)
		}
	}
	return s, malformed(r.Done())
}
