package wire

import (
	"fmt"

	"viewring/internal/codec"
)

// RecordProducer is what a bucket of a record chunk tells of a producer, as far as others than servers want to know.
type RecordProducer struct {
	ID    [16]byte
	Named bool
	Next  int64 // sequence of the record that comes next
}

// The layout of a bucket, which package server/tree writes (server/tree/RECORDS.md).
const (
	recordBucketFormat  = 1
	recordProducerMin   = 16 + 1 + 1 + 8 + 4
	recordProducerNamed = 1
)

// DecodeRecordProducers reads a bucket.
func DecodeRecordProducers(b []byte) ([]RecordProducer, error) {
	r := codec.NewReader(b)
	if err := expectFormat(r, "bucket of a record chunk", recordBucketFormat); err != nil {
		return nil, err
	}
	all := make([]RecordProducer, r.Count(recordProducerMin))
	for i := range all {
		p := &all[i]
		r.Fixed(p.ID[:])
		p.Named = r.Byte()&recordProducerNamed != 0
		_, _ = r.Uvarint(), r.Uint64() // epoch and nonce: of processes
		first, records := readCount(r), readCount(r)
		p.Next = first + records
		_, _ = readCount(r), readCount(r) // place and time
	}
	if err := r.Done(); err != nil {
		return nil, fmt.Errorf("bucket of a record chunk: %w", err)
	}
	return all, nil
}
