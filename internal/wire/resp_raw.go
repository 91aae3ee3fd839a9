package wire

import (
	"bytes"
	"fmt"
	"io"
)

// ReadRaw reads the next reply and returns a copy of its bytes, to be passed on
// as they are: it has checked no more than where the reply ends. Errors are as in
// ReadCommand.
func (r *Reader) ReadRaw() ([]byte, error) {
	r.release()
	end, err := r.skip(0, r.limits.DepthMax)
	if err != nil {
		if err == io.EOF && r.Buffered() > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	raw := bytes.Clone(r.buf[r.r : r.r+end])
	r.r += end
	return raw, nil
}

// peek waits for the first byte of the next reply.
func (r *Reader) peek() (Kind, error) {
	if err := r.need(1); err != nil {
		return 0, err
	}
	return Kind(r.buf[r.r]), nil
}

// skip returns where the reply that begins at pos ends, once all of it has arrived.
func (r *Reader) skip(pos, depth int) (next int, err error) {
	if err := r.need(pos + 1); err != nil {
		return 0, err
	}
	if pos >= r.limits.TotalBytesMax {
		return 0, fmt.Errorf("%w: a reply over %d bytes", ErrTooLarge, r.limits.TotalBytesMax)
	}
	switch kind := Kind(r.buf[r.r+pos]); kind {
	case KindSimple, KindError, KindInt, KindDouble, KindBig, KindNil, KindBool:
		_, next, err = r.line(pos, r.limits.LineBytesMax)
		return next, err
	case KindBulk, KindVerbatim, '!':
		size, next, err := r.header(pos)
		if err != nil || size == -1 && kind == KindBulk {
			return next, err
		}
		if err := r.checkBulk(size, next); err != nil {
			return 0, err
		}
		return next + int(size) + 2, r.crlf(next + int(size))
	case KindArray, KindMap, KindSet, KindPush, '|':
		if depth == 0 {
			return 0, fmt.Errorf("%w: replies nested over %d deep", ErrTooLarge, r.limits.DepthMax)
		}
		return r.skipElements(kind, pos, depth-1)
	default:
		return 0, fmt.Errorf("%w: unknown reply kind %q", ErrProtocol, byte(kind))
	}
}

func (r *Reader) skipElements(kind Kind, pos, depth int) (next int, err error) {
	n, next, err := r.header(pos)
	switch {
	case err != nil, n == -1 && kind == KindArray:
		return next, err
	case n < 0:
		return 0, fmt.Errorf("%w: invalid count %d", ErrProtocol, n)
	case n > int64(r.limits.TotalBytesMax):
		return 0, fmt.Errorf("%w: a reply of %d elements", ErrTooLarge, n)
	case kind == KindMap:
		n *= 2
	case kind == '|': // the reply that it describes follows
		n = 2*n + 1
	}
	for range n {
		if next, err = r.skip(next, depth); err != nil {
			return 0, err
		}
	}
	return next, nil
}

// WriteRaw passes on a reply that ReadRaw has read. It keeps no reference to p.
func (w *Writer) WriteRaw(p []byte) {
	if len(p) >= writeBytesApart {
		_ = w.Flush() // the error sticks
		w.write(p)
		return
	}
	w.buf = append(w.buf, p...)
	w.spill()
}
