// Package codec is the binary encoding that everything stored or sent by
// viewring shares: unsigned varints, length-prefixed bytes and fixed 64-bit
// words. A Reader never allocates what a length merely announces and never
// panics on bad input; its first error sticks.
package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every error of a Reader.
var ErrMalformed = errors.New("malformed encoding")

// AppendBytes appends p after its length.
func AppendBytes(b, p []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(p))), p...)
}

// AppendString appends s after its length.
func AppendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// AppendBool appends one byte, 0 or 1.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// Reader takes values off the front of a byte slice. The slices it returns
// alias its input.
type Reader struct {
	rest []byte
	err  error
}

// NewReader reads from b.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// Err returns the first error, or nil.
func (r *Reader) Err() error { return r.err }

// Done returns the first error, and an error when input is left over.
func (r *Reader) Done() error {
	if r.err == nil && len(r.rest) > 0 {
		r.fail("%d bytes left over", len(r.rest))
	}
	return r.err
}

// Len returns how many bytes are left.
func (r *Reader) Len() int { return len(r.rest) }

// Rest returns the bytes not read yet.
func (r *Reader) Rest() []byte { return r.rest }

// Invalid makes the reader fail with the caller's reason.
func (r *Reader) Invalid(format string, args ...any) { r.fail(format, args...) }

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	r.rest = nil
}

// Uvarint reads an unsigned varint.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail("bad varint")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Varint reads a signed varint.
func (r *Reader) Varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail("bad varint")
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// Uint64 reads eight bytes, big endian.
func (r *Reader) Uint64() uint64 {
	p := r.take(8)
	if p == nil {
		return 0
	}
	return binary.BigEndian.Uint64(p)
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	p := r.take(1)
	if p == nil {
		return 0
	}
	return p[0]
}

// Bool reads one byte that must be 0 or 1.
func (r *Reader) Bool() bool {
	v := r.Byte()
	if v > 1 {
		r.fail("bad bool %d", v)
	}
	return v == 1
}

// Bytes reads length-prefixed bytes. The result aliases the input; it is nil
// for length 0.
func (r *Reader) Bytes() []byte {
	n := r.Uvarint()
	if n > uint64(len(r.rest)) {
		r.fail("length %d beyond the end", n)
		return nil
	}
	return r.take(int(n))
}

// String reads a length-prefixed string (a copy).
func (r *Reader) String() string { return string(r.Bytes()) }

// Fixed fills p.
func (r *Reader) Fixed(p []byte) { copy(p, r.take(len(p))) }

// Count reads the number of elements that follow, each of at least
// elementBytesMin (≥ 1) bytes, so that a count can be trusted for allocation.
func (r *Reader) Count(elementBytesMin int) int {
	n := r.Uvarint()
	if n > uint64(len(r.rest)/elementBytesMin) {
		r.fail("count %d beyond the end", n)
		return 0
	}
	return int(n)
}

func (r *Reader) take(n int) []byte {
	if n > len(r.rest) {
		r.fail("%d bytes wanted, %d left", n, len(r.rest))
		return nil
	}
	if n == 0 {
		return nil
	}
	p := r.rest[:n:n]
	r.rest = r.rest[n:]
	return p
}
