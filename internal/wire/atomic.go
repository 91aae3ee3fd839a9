package wire

import (
	"encoding/binary"
	"fmt"

	"viewring/internal/codec"
)

// CmdAtomic writes several keys of one slot as one, if others are as they are expected to be: AtomicRequest →
// DoReply, or an error reply. DoOK has the version of all that was written; DoCondFailed the version of a key
// that is not as expected, and as Number its index in Checks: nothing was written then.
const CmdAtomic = "VR.ATOMIC"

// atomicFormat is the version of AtomicRequest.
const atomicFormat = 1

// Bounds of an AtomicRequest. All values together are bounded as one is, by ValueBytesMax.
const (
	AtomicKeysMax  = 1024      // that it names
	AtomicNamesMax = 256 << 10 // bytes of their names together
)

// AtomicRequest checks and writes keys of one slot. Retries carry the same Client and Number.
type AtomicRequest struct {
	Client [16]byte
	Number uint64 // as in DoRequest, and so are Born and Mark
	Born   int64
	Mark   uint64

	Checks []AtomicCheck
	Writes []AtomicWrite // each key once

	FenceLock  string // as in DoRequest
	FenceToken uint64
}

// AtomicCheck says what a key has to be.
type AtomicCheck struct {
	Key       []byte
	Term, Seq uint64 // its version; 0, 0: absent
}

// AtomicWrite is what becomes of a key.
type AtomicWrite struct {
	Key    []byte
	Delete bool // an absent key stays absent
	Value  []byte
	TTL    int64 // milliseconds from when the primary takes the request up; 0: the key stays
}

// AppendAtomicRequest encodes q.
func AppendAtomicRequest(b []byte, q *AtomicRequest) []byte {
	b = append(append(b, atomicFormat), q.Client[:]...)
	b = binary.AppendUvarint(b, q.Number)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(q.Born)), q.Mark)
	b = binary.AppendUvarint(b, uint64(len(q.Checks)))
	for i := range q.Checks {
		c := &q.Checks[i]
		b = binary.AppendUvarint(binary.AppendUvarint(codec.AppendBytes(b, c.Key), c.Term), c.Seq)
	}
	b = binary.AppendUvarint(b, uint64(len(q.Writes)))
	for i := range q.Writes {
		w := &q.Writes[i]
		b = codec.AppendBool(codec.AppendBytes(b, w.Key), w.Delete)
		b = binary.AppendUvarint(codec.AppendBytes(b, w.Value), uint64(w.TTL))
	}
	return binary.AppendUvarint(codec.AppendString(b, q.FenceLock), q.FenceToken)
}

// The least that a check and a write take in an AtomicRequest.
const (
	atomicCheckBytesMin = 3
	atomicWriteBytesMin = 4
)

// DecodeAtomicRequest parses what AppendAtomicRequest wrote. Keys and values alias b.
func DecodeAtomicRequest(b []byte) (AtomicRequest, error) {
	var q AtomicRequest
	r := codec.NewReader(b)
	if err := expectFormat(r, "atomic request", atomicFormat); err != nil {
		return q, err
	}
	r.Fixed(q.Client[:])
	q.Number, q.Born, q.Mark = r.Uvarint(), int64(r.Uvarint()), r.Uvarint()
	q.Checks = make([]AtomicCheck, r.Count(atomicCheckBytesMin))
	for i := range q.Checks {
		q.Checks[i] = AtomicCheck{Key: r.Bytes(), Term: r.Uvarint(), Seq: r.Uvarint()}
	}
	q.Writes = make([]AtomicWrite, r.Count(atomicWriteBytesMin))
	for i := range q.Writes {
		q.Writes[i] = AtomicWrite{Key: r.Bytes(), Delete: r.Bool(), Value: r.Bytes(), TTL: int64(r.Uvarint())}
	}
	q.FenceLock, q.FenceToken = r.String(), r.Uvarint()
	if err := r.Done(); err != nil {
		return AtomicRequest{}, fmt.Errorf("atomic request: %w", err)
	}
	return q, q.check()
}

// check finds what no client of ours sends; whether the keys are of one slot is for the server to say.
func (q *AtomicRequest) check() error {
	written := make(map[string]bool, len(q.Writes))
	for i := range q.Writes {
		w := &q.Writes[i]
		if written[string(w.Key)] || w.TTL < 0 || w.Delete && (len(w.Value) > 0 || w.TTL != 0) {
			return fmt.Errorf("atomic request: %w: a write of %.200q", codec.ErrMalformed, w.Key)
		}
		written[string(w.Key)] = true
	}
	if q.Number == 0 || len(q.Checks)+len(q.Writes) == 0 || len(q.FenceLock) > FenceLockBytesMax {
		return fmt.Errorf("atomic request: %w: %d checks and %d writes, number %d", codec.ErrMalformed, len(q.Checks), len(q.Writes), q.Number)
	}
	return nil
}

// TooLarge says how an AtomicRequest exceeds its bounds; "" where it does not.
func (q *AtomicRequest) TooLarge() string {
	keys, longest, names, values := make(map[string]bool), 0, 0, 0
	note := func(key []byte) {
		keys[string(key)] = true
		names += len(key)
		longest = max(longest, len(key))
	}
	for i := range q.Checks {
		note(q.Checks[i].Key)
	}
	for i := range q.Writes {
		note(q.Writes[i].Key)
		values += len(q.Writes[i].Value)
	}
	switch {
	case longest > KeyBytesMax:
		return fmt.Sprintf("a name has %d bytes, at most %d are allowed", longest, KeyBytesMax)
	case len(keys) > AtomicKeysMax || len(q.Checks) > AtomicKeysMax:
		return fmt.Sprintf("it is about %d keys, at most %d are allowed", max(len(keys), len(q.Checks)), AtomicKeysMax)
	case values > ValueBytesMax:
		return fmt.Sprintf("its values have %d bytes, at most %d are allowed", values, ValueBytesMax)
	case names > AtomicNamesMax:
		return fmt.Sprintf("its keys' names have %d bytes, at most %d are allowed", names, AtomicNamesMax)
	}
	return ""
}
