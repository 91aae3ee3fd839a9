package wire

import (
	"encoding/binary"

	"viewring/internal/codec"
)

// TreeRecords is what is kept of a record file besides (server/tree/RECORDS.md).
type TreeRecords struct {
	ChunkBytes  int64
	RetainBytes int64 // 0: for ever
	RetainAge   int64 // milliseconds; 0: for ever
	First       int64 // index of the first chunk whose records are kept
	Swept       int64 // of those before, batches of all below are deleted

	// Of the last chunk that is reserved.
	Number int64  // of its first record
	Before int64  // bytes of all chunks before it
	Life   uint64 // ring.Partition.ResetTerm of its partition when it was reserved
}

// Retains reports whether some of the records are deleted some day.
func (x *TreeRecords) Retains() bool { return x != nil && (x.RetainBytes > 0 || x.RetainAge > 0) }

// AppendTreeRecords encodes what a content has besides that is of records.
func AppendTreeRecords(b []byte, x *TreeRecords) []byte {
	for _, n := range []int64{x.ChunkBytes, x.RetainBytes, x.RetainAge, x.First, x.Swept, x.Number, x.Before} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return binary.AppendUvarint(b, x.Life)
}

// ReadTreeRecords reads what AppendTreeRecords wrote.
func ReadTreeRecords(r *codec.Reader) *TreeRecords {
	x := &TreeRecords{}
	for _, n := range []*int64{&x.ChunkBytes, &x.RetainBytes, &x.RetainAge, &x.First, &x.Swept, &x.Number, &x.Before} {
		*n = readCount(r)
	}
	x.Life = r.Uvarint()
	return x
}

// countMax bounds numbers of records and bytes, so that sums of some of them are sound.
const countMax = 1 << 60

func readCount(r *codec.Reader) int64 {
	n := r.Uvarint()
	if n > countMax {
		r.Invalid("the number %d", n)
	}
	return int64(n)
}
