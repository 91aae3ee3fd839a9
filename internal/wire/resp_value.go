package wire

import (
	"bytes"
	"fmt"
	"io"
)

// bulkChunkBytes is what a reply's bulk takes before any of it has arrived, at
// most. It grows as the bytes come.
const bulkChunkBytes = 64 << 10

// bulkGrows is how many times what has arrived a reply's bulk takes then: each time all of that is copied.
const bulkGrows = 16

// ReadValue reads the next reply. Errors are as in ReadCommand.
func (r *Reader) ReadValue() (Value, error) {
	r.release()
	r.budget = r.limits.TotalBytesMax
	v, err := r.readValue(r.limits.DepthMax)
	if err == io.EOF && r.budget < r.limits.TotalBytesMax {
		err = io.ErrUnexpectedEOF
	}
	return v, err
}

func (r *Reader) spend(n int64) error {
	if n > int64(r.budget) {
		return fmt.Errorf("%w: a reply over %d bytes", ErrTooLarge, r.limits.TotalBytesMax)
	}
	r.budget -= int(n)
	return nil
}

func (r *Reader) readValue(depth int) (Value, error) {
	if err := r.need(1); err != nil {
		return Value{}, err
	}
	if err := r.spend(valueBytes); err != nil {
		return Value{}, err
	}
	switch kind := Kind(r.buf[r.r]); kind {
	case KindSimple, KindError, KindDouble, KindBig, KindNil, KindBool:
		return r.readLine(kind)
	case KindInt:
		n, next, err := r.header(0)
		if err != nil {
			return Value{}, err
		}
		r.r += next
		return Value{Kind: KindInt, Int: n}, nil
	case KindBulk, KindVerbatim, '!':
		return r.readBulk(kind)
	case KindArray, KindMap, KindSet, KindPush, '|':
		if depth == 0 {
			return Value{}, fmt.Errorf("%w: replies nested over %d deep", ErrTooLarge, r.limits.DepthMax)
		}
		return r.readAggregate(kind, depth)
	default:
		return Value{}, fmt.Errorf("%w: unknown reply kind %q", ErrProtocol, byte(kind))
	}
}

// readLine reads the kinds that are one line of text.
func (r *Reader) readLine(kind Kind) (Value, error) {
	line, next, err := r.line(0, r.limits.LineBytesMax)
	if err != nil {
		return Value{}, err
	}
	if err := r.spend(int64(len(line))); err != nil {
		return Value{}, err
	}
	text := line[1:]
	v := Value{Kind: kind}
	switch kind {
	case KindNil:
		if len(text) > 0 {
			return Value{}, fmt.Errorf("%w: a null with text", ErrProtocol)
		}
	case KindBool:
		if len(text) != 1 || text[0] != 't' && text[0] != 'f' {
			return Value{}, fmt.Errorf("%w: invalid bool %q", ErrProtocol, text)
		}
		if text[0] == 't' {
			v.Int = 1
		}
	default:
		v.Bytes = bytes.Clone(text)
	}
	r.r += next
	return v, nil
}

func (r *Reader) readBulk(kind Kind) (Value, error) {
	size, next, err := r.header(0)
	if err != nil {
		return Value{}, err
	}
	if size == -1 && kind == KindBulk {
		r.r += next
		return Value{Kind: KindNil}, nil
	}
	if err := r.checkBulk(size, 0); err != nil {
		return Value{}, err
	}
	if err := r.spend(size); err != nil {
		return Value{}, err
	}
	r.r += next
	b, err := r.takeBulk(int(size))
	if err != nil {
		return Value{}, err
	}
	switch kind {
	case '!':
		kind = KindError
	case KindVerbatim:
		if len(b) < 4 || b[3] != ':' {
			return Value{}, fmt.Errorf("%w: verbatim text without a format", ErrProtocol)
		}
		b = b[4:]
	}
	return Value{Kind: kind, Bytes: b}, nil
}

// takeBulk copies a bulk's bytes out, the greater part of a large one straight
// from the connection, and consumes the CR LF after it.
func (r *Reader) takeBulk(size int) ([]byte, error) {
	b := make([]byte, min(size, bulkChunkBytes))
	for at := 0; at < size; {
		if at == len(b) {
			grown := make([]byte, min(size, bulkGrows*len(b)))
			copy(grown, b)
			b = grown
		}
		n, err := r.read(b[at:])
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		at += n
	}
	if err := r.crlf(0); err != nil {
		return nil, err
	}
	r.r += 2
	return b, nil
}

// read takes what is buffered, or else reads: past the buffer when p is large.
func (r *Reader) read(p []byte) (int, error) {
	if r.r == r.w && len(p) >= readBytesMin {
		return readSome(r.src, p)
	}
	if err := r.need(1); err != nil {
		return 0, err
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	return n, nil
}

func (r *Reader) readAggregate(kind Kind, depth int) (Value, error) {
	n, next, err := r.header(0)
	if err != nil {
		return Value{}, err
	}
	r.r += next
	if n == -1 && kind == KindArray {
		return Value{Kind: KindNil}, nil
	}
	if n < 0 {
		return Value{}, fmt.Errorf("%w: invalid count %d", ErrProtocol, n)
	}
	if n > int64(r.budget)/valueBytes {
		return Value{}, fmt.Errorf("%w: a reply of %d elements", ErrTooLarge, n)
	}
	if kind == KindMap || kind == '|' {
		n *= 2
	}
	elements := make([]Value, 0, min(n, 64))
	for range n {
		v, err := r.readValue(depth - 1)
		if err != nil {
			return Value{}, err
		}
		elements = append(elements, v)
	}
	if kind == '|' { // the reply that it describes follows
		return r.readValue(depth - 1)
	}
	return Value{Kind: kind, Array: elements}, nil
}
