package wire

import (
	"io"
	"strconv"
	"strings"
)

// Sizes of a Writer's buffer.
const (
	writeBytesFlush = 64 << 10 // a buffer this full is written without waiting for Flush
	writeBytesApart = 16 << 10 // a bulk this large is written from where it is
)

// Writer writes RESP to a stream, buffered. It is not safe for concurrent use.
// The first I/O error sticks: later writes do nothing and Flush returns it.
type Writer struct {
	dst   io.Writer
	buf   []byte
	err   error
	resp3 bool
}

// NewWriter writes to dst. The buffer is made with the first write.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// SetRESP3 makes nulls and maps those of RESP3, for a client that asked HELLO 3.
func (w *Writer) SetRESP3(on bool) { w.resp3 = on }

// RESP3 reports whether the client asked for it.
func (w *Writer) RESP3() bool { return w.resp3 }

// WriteUnasked starts n elements, which follow, that answer no command: a push, or an array where
// the client speaks RESP2.
func (w *Writer) WriteUnasked(n int) {
	if w.resp3 {
		w.WritePush(n)
		return
	}
	w.WriteArray(n)
}

// Flush writes out what is buffered and returns the first error of the stream.
func (w *Writer) Flush() error {
	if len(w.buf) > 0 {
		w.write(w.buf)
		w.buf = w.buf[:0]
		if cap(w.buf) > 2*writeBytesFlush {
			w.buf = nil
		}
	}
	return w.err
}

// Buffered returns how many bytes wait for Flush.
func (w *Writer) Buffered() int { return len(w.buf) }

func (w *Writer) write(p []byte) {
	if w.err == nil {
		_, w.err = w.dst.Write(p)
	}
}

func (w *Writer) spill() {
	if len(w.buf) >= writeBytesFlush {
		_ = w.Flush() // the error sticks
	}
}

func (w *Writer) count(kind byte, n int64) { w.buf = appendCount(w.buf, kind, n) }

func appendCount(b []byte, kind byte, n int64) []byte {
	b = append(b, kind)
	b = strconv.AppendInt(b, n, 10)
	return append(b, '\r', '\n')
}

// line writes text without the line breaks that would end the reply early.
func (w *Writer) line(kind byte, text string) {
	w.buf = append(w.buf, kind)
	for i := range len(text) {
		c := text[i]
		if c == '\r' || c == '\n' {
			c = ' '
		}
		w.buf = append(w.buf, c)
	}
	w.buf = append(w.buf, '\r', '\n')
	w.spill()
}

// WriteArray starts an array of n elements, which follow.
func (w *Writer) WriteArray(n int) { w.count('*', int64(n)) }

// WriteMap starts a map of n pairs, which follow: key, value, key, value, …
func (w *Writer) WriteMap(n int) {
	if w.resp3 {
		w.count('%', int64(n))
		return
	}
	w.WriteArray(2 * n)
}

// WriteBulk writes a bulk. It keeps no reference to p.
func (w *Writer) WriteBulk(p []byte) {
	w.count('$', int64(len(p)))
	if len(p) >= writeBytesApart {
		_ = w.Flush() // the error sticks
		w.write(p)
	} else {
		w.buf = append(w.buf, p...)
	}
	w.buf = append(w.buf, '\r', '\n')
	w.spill()
}

// WriteBulkString writes a bulk.
func (w *Writer) WriteBulkString(s string) {
	w.count('$', int64(len(s)))
	w.buf = append(w.buf, s...)
	w.buf = append(w.buf, '\r', '\n')
	w.spill()
}

// WriteSimple writes a simple string; line breaks in it become blanks.
func (w *Writer) WriteSimple(text string) { w.line('+', text) }

// WriteError writes an error reply: a code and a message (see
// ServerError.Error); line breaks in it become blanks.
func (w *Writer) WriteError(text string) {
	if len(text) > errorBytesMax {
		text = strings.ToValidUTF8(text[:errorBytesMax], "?") + "..." // names have up to 64 KiB
	}
	w.line('-', text)
}

// errorBytesMax is how long the text of an error may be.
const errorBytesMax = 2000

// WriteInt writes an integer.
func (w *Writer) WriteInt(n int64) {
	w.count(':', n)
	w.spill()
}

// WriteNil writes the null of the connection's protocol.
func (w *Writer) WriteNil() {
	if w.resp3 {
		w.buf = append(w.buf, "_\r\n"...)
		return
	}
	w.buf = append(w.buf, "$-1\r\n"...)
}

// WriteValue writes a reply in the connection's protocol: to RESP2 a map is an array
// of its keys and values, a set or push an array, verbatim text a bulk; a null with an Array that
// is not nil is its null array. It keeps no reference to v.
func (w *Writer) WriteValue(v Value) {
	switch v.Kind {
	case KindSimple:
		w.line('+', string(v.Bytes))
	case KindError:
		w.line('-', string(v.Bytes))
	case KindInt:
		w.WriteInt(v.Int)
	case KindBulk:
		w.WriteBulk(v.Bytes)
	case KindVerbatim:
		if w.resp3 {
			w.buf = appendCount(w.buf, '=', int64(len(v.Bytes)+len(verbatimFormat)))
			w.buf = append(append(append(w.buf, verbatimFormat...), v.Bytes...), '\r', '\n')
			w.spill()
			return
		}
		w.WriteBulk(v.Bytes)
	case KindArray, KindSet, KindMap, KindPush:
		w.writeAggregate(v)
	default:
		if v.Array != nil && !w.resp3 {
			w.buf = append(w.buf, "*-1\r\n"...)
			return
		}
		w.WriteNil()
	}
}

// verbatimFormat says that a verbatim text is plain.
const verbatimFormat = "txt:"

func (w *Writer) writeAggregate(v Value) {
	switch {
	case v.Kind == KindMap:
		w.WriteMap(len(v.Array) / 2)
	case v.Kind == KindSet && w.resp3:
		w.count('~', int64(len(v.Array)))
	case v.Kind == KindPush:
		w.WriteUnasked(len(v.Array))
	default:
		w.WriteArray(len(v.Array))
	}
	for i := range v.Array {
		w.WriteValue(v.Array[i])
	}
}

// WriteCommand writes a command. It keeps no reference to its arguments.
func (w *Writer) WriteCommand(args ...[]byte) {
	w.WriteArray(len(args))
	for _, a := range args {
		w.WriteBulk(a)
	}
}

// AppendCommand appends the encoding of a command.
func AppendCommand(b []byte, args ...[]byte) []byte {
	b = appendCount(b, '*', int64(len(args)))
	for _, a := range args {
		b = appendCount(b, '$', int64(len(a)))
		b = append(b, a...)
		b = append(b, '\r', '\n')
	}
	return b
}
