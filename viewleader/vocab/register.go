package vocab

import (
	"encoding/binary"

	"viewring/internal/codec"
	"viewring/ring"
)

// Register is a server's request to join, or to come back after a start.
type Register struct {
	Cluster     [16]byte      // zero when the data folder belongs to none yet
	ID          ring.ServerID // 0 when the store never got one
	Store       [16]byte      // the store id
	Instance    uint64        // random per process: the same Register twice is one
	Previous    uint64        // incarnation of the start before, 0 at the first
	Incarnation uint64
	Addr        string
	Zone        string
	Weight      uint32   // what it was started with plus one; 0: nothing was said; 1: by an older program, which knows no weights
	Whole       bool     // the store was opened clean: nothing repaired, nothing rolled back
	Starts      []uint64 // random, one a start: the last that the server knows to be registered, all since, this one last; none from an older program
}

// SaidWeight is the weight that the server was started with; 0: none was said.
func (q *Register) SaidWeight() uint32 {
	if q.Weight < 2 {
		return 0
	}
	return q.Weight - 1
}

// KnowsWeights reports whether the server places partitions by weight.
func (q *Register) KnowsWeights() bool { return q.Weight != 1 }

// Start names the start that registers; 0 when an older program does.
func (q *Register) Start() uint64 {
	if len(q.Starts) == 0 {
		return 0
	}
	return q.Starts[len(q.Starts)-1]
}

// AppendRegister encodes q, for a message and for Raft's log. Both begin with the number
// of their own format.
func AppendRegister(b []byte, q *Register) []byte {
	b = append(b, q.Cluster[:]...)
	b = append(b, q.Store[:]...)
	b = binary.AppendUvarint(b, uint64(q.ID))
	b = binary.AppendUvarint(b, q.Instance)
	b = binary.AppendUvarint(b, q.Previous)
	b = binary.AppendUvarint(b, q.Incarnation)
	b = codec.AppendString(b, q.Addr)
	b = codec.AppendString(b, q.Zone)
	b = binary.AppendUvarint(b, uint64(q.Weight))
	b = codec.AppendBool(b, q.Whole)
	b = binary.AppendUvarint(b, uint64(len(q.Starts)))
	for _, n := range q.Starts {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// ReadRegister reads what AppendRegister wrote.
func ReadRegister(r *codec.Reader) Register {
	q := ReadRegisterUnnamed(r)
	for range r.Count(8) {
		q.Starts = append(q.Starts, r.Uint64())
	}
	return q
}

// ReadRegisterUnnamed reads all but Starts: what Raft's log has from before there were any.
func ReadRegisterUnnamed(r *codec.Reader) (q Register) {
	r.Fixed(q.Cluster[:])
	r.Fixed(q.Store[:])
	q.ID = ring.ServerID(r.Uvarint())
	q.Instance, q.Previous, q.Incarnation = r.Uvarint(), r.Uvarint(), r.Uvarint()
	q.Addr, q.Zone = r.String(), r.String()
	q.Weight, q.Whole = uint32(r.Uvarint()), r.Bool()
	return q
}
