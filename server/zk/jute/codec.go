package jute

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by all errors of decoding.
var ErrMalformed = errors.New("malformed message")

// Reader reads the fields of a record. After an error all that it reads is zero.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a Reader of b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err is what was wrong first, nil for nothing.
func (r *Reader) Err() error { return r.err }

// Left is how many bytes were not read.
func (r *Reader) Left() int { return len(r.b) }

func (r *Reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %w", ErrMalformed, fmt.Errorf(format, args...))
	}
	r.b = nil
}

func (r *Reader) take(n int) []byte {
	if r.err != nil || len(r.b) < n {
		r.fail("%d bytes are missing", n-len(r.b))
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

// Int reads an int.
func (r *Reader) Int() int32 {
	b := r.take(4)
	if b == nil {
		return 0
	}
	return int32(binary.BigEndian.Uint32(b))
}

// Long reads a long.
func (r *Reader) Long() int64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return int64(binary.BigEndian.Uint64(b))
}

// Bool reads a boolean.
func (r *Reader) Bool() bool {
	b := r.take(1)
	return b != nil && b[0] != 0
}

// Bytes reads a buffer, which aliases what is read; nil for none.
func (r *Reader) Bytes() []byte {
	n := r.Int()
	switch {
	case n == -1 || r.err != nil:
		return nil
	case n < -1:
		r.fail("a buffer of %d bytes", n)
		return nil
	}
	return r.take(int(n))
}

// String reads a string.
func (r *Reader) String() string { return string(r.Bytes()) }

// Count reads the length of a vector whose elements take at least least bytes each.
func (r *Reader) Count(least int) int {
	n := int(r.Int())
	switch {
	case n < -1 || n > len(r.b)/least:
		r.fail("a vector of %d elements", n)
		return 0
	case n == -1:
		return 0
	}
	return n
}

// AppendInt appends an int.
func AppendInt(b []byte, v int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(v)) }

// AppendLong appends a long.
func AppendLong(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// AppendBool appends a boolean.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// AppendBytes appends a buffer; nil is an empty one.
func AppendBytes(b, v []byte) []byte { return append(AppendInt(b, int32(len(v))), v...) }

// AppendString appends a string.
func AppendString(b []byte, v string) []byte { return append(AppendInt(b, int32(len(v))), v...) }

// AppendStrings appends a vector of strings.
func AppendStrings(b []byte, v []string) []byte {
	b = AppendInt(b, int32(len(v)))
	for _, s := range v {
		b = AppendString(b, s)
	}
	return b
}

// Strings reads a vector of strings.
func (r *Reader) Strings() []string {
	n := r.Count(4)
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, r.String())
	}
	if r.err != nil {
		return nil
	}
	return out
}
