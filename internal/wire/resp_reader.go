package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrNoRoom is what reading fails with where SetRoom's function refuses a longer buffer.
var ErrNoRoom = errors.New("no room for the rest of a command")

// Sizes of a Reader's buffer.
const (
	readBytesNew  = 1 << 10  // a new connection's: most of many are idle
	readBytesMin  = 4 << 10  // one's that has sent more than that
	readBytesKeep = 64 << 10 // more than this is given back after the command that needed it
	headerMax     = 32       // a length or count line
	argsKeep      = 1 << 10
)

// Reader reads RESP commands or replies from a stream. It is not safe for
// concurrent use. After an I/O error (a read deadline, say) the call may be
// repeated and goes on with the same command; a reply is lost.
type Reader struct {
	src    io.Reader
	limits Limits
	buf    []byte
	r, w   int  // unread bytes are buf[r:w]
	filled bool // the last read left no room: more is waiting
	spans  []span
	args   [][]byte
	room   func(bytes int) bool // see SetRoom; nil: there is always room
	taken  int                  // bytes that room knows of
	budget int                  // what is left of TotalBytesMax for the reply being read
}

// span is an argument's place, relative to the start of its command: the buffer
// moves while a command arrives.
type span struct{ from, to int }

// NewReader reads from src. The buffer is made with the first read.
func NewReader(src io.Reader, limits Limits) *Reader {
	return &Reader{src: src, limits: limits}
}

// SetLimits has what is read from now on judged by other limits.
func (r *Reader) SetLimits(limits Limits) { r.limits = limits }

// SetRoom has the part of the buffer that is beyond what each Reader may keep counted: room is
// told of each change, and where it refuses one that is above 0, reading fails with ErrNoRoom.
// GiveBack ends it.
func (r *Reader) SetRoom(room func(bytes int) bool) { r.room = room }

// GiveBack says that the Reader is not used any more.
func (r *Reader) GiveBack() {
	r.buf, r.r, r.w = nil, 0, 0
	r.count(0)
}

// count tells room of a buffer of so many bytes.
func (r *Reader) count(size int) error {
	beyond := max(0, size-readBytesKeep)
	if change := beyond - r.taken; change != 0 && r.room != nil {
		if !r.room(change) {
			return ErrNoRoom
		}
		r.taken = beyond
	}
	return nil
}

// Buffered returns how many bytes have arrived that no call has consumed. A
// server that answers pipelines in one write flushes when it is 0.
func (r *Reader) Buffered() int { return r.w - r.r }

// ReadCommand reads the next command: an array of bulks, or an inline command as
// a person types it. Empty ones are skipped; a result has at least one argument.
//
// The arguments and the slice that holds them alias the Reader's buffer and are
// valid until the next call: copy what outlives it. They may be changed in place.
//
// The error is io.EOF at the end of the stream between commands,
// io.ErrUnexpectedEOF within one, and wraps ErrProtocol or ErrTooLarge when the
// peer is at fault, and ErrForeign too where it speaks something else.
func (r *Reader) ReadCommand() ([][]byte, error) {
	r.release()
	for {
		if err := r.need(1); err != nil {
			return nil, unencrypted(err)
		}
		var args [][]byte
		var err error
		if r.buf[r.r] == '*' {
			if args, err = r.readArray(); len(args) > 0 && isHTTPName(args[0]) {
				return nil, errHTTP
			}
		} else if err = foreignByte(r.buf[r.r]); err == nil {
			args, err = r.readInline()
		}
		if err != nil || len(args) > 0 {
			return args, err
		}
	}
}

// release gives back what a large command made us take.
func (r *Reader) release() {
	if have := r.w - r.r; len(r.buf) > readBytesKeep && have <= readBytesKeep {
		buf := make([]byte, max(have, readBytesMin))
		r.r, r.w = 0, copy(buf, r.buf[r.r:r.w])
		r.buf = buf
		_ = r.count(len(buf)) // less is never refused
	}
	if cap(r.args) > argsKeep {
		r.args, r.spans = nil, nil
	}
}

// ownBytesMin is how long an argument is that Own does not copy.
const ownBytesMin = 16 << 10

// Own returns an argument of the last command, for keeps: where it is long the Reader gives
// its buffer away, the other arguments with it, and goes on in another one.
func (r *Reader) Own(arg []byte) []byte {
	if len(arg) < ownBytesMin || len(arg) < len(r.buf)/2 { // what is kept long holds little more than itself
		return bytes.Clone(arg)
	}
	rest := r.buf[r.r:r.w]
	buf := make([]byte, max(readBytesMin, len(rest)))
	r.r, r.w = 0, copy(buf, rest)
	r.buf = buf
	_ = r.count(len(buf)) // as in release
	return arg
}

func (r *Reader) readArray() ([][]byte, error) {
	n, pos, err := r.header(0)
	if err != nil {
		return nil, err
	}
	if n > int64(r.limits.ArgsMax) {
		return nil, fmt.Errorf("%w: %d arguments, at most %d", ErrTooLarge, n, r.limits.ArgsMax)
	}
	r.spans = r.spans[:0]
	for range n {
		var size int64
		if err := r.need(pos + 1); err != nil {
			return nil, err
		}
		if c := r.buf[r.r+pos]; c != '$' {
			return nil, fmt.Errorf("%w: expected '$', got %q", ErrProtocol, c)
		}
		if size, pos, err = r.header(pos); err != nil {
			return nil, err
		}
		if err := r.checkBulk(size, pos); err != nil {
			return nil, err
		}
		end := pos + int(size)
		if err := r.crlf(end); err != nil {
			return nil, err
		}
		r.spans = append(r.spans, span{pos, end})
		pos = end + 2
	}
	command := r.buf[r.r : r.r+pos]
	r.args = r.args[:0]
	for _, s := range r.spans {
		r.args = append(r.args, command[s.from:s.to:s.to])
	}
	r.r += pos
	return r.args, nil
}

// checkBulk judges an announced bulk that starts pos bytes into its command.
func (r *Reader) checkBulk(size int64, pos int) error {
	if size < 0 {
		return fmt.Errorf("%w: invalid bulk length %d", ErrProtocol, size)
	}
	if size > int64(r.limits.BulkBytesMax) {
		return fmt.Errorf("%w: a bulk of %d bytes, at most %d", ErrTooLarge, size, r.limits.BulkBytesMax)
	}
	if total := int64(pos) + size; total > int64(r.limits.TotalBytesMax) {
		return fmt.Errorf("%w: a command over %d bytes", ErrTooLarge, r.limits.TotalBytesMax)
	}
	return nil
}

// crlf demands that the bytes up to end have arrived, followed by CR LF.
func (r *Reader) crlf(end int) error {
	if err := r.need(end + 2); err != nil {
		return err
	}
	if r.buf[r.r+end] != '\r' || r.buf[r.r+end+1] != '\n' {
		return fmt.Errorf("%w: a bulk is not followed by CR LF", ErrProtocol)
	}
	return nil
}

// header reads the number of the line at pos, whose first byte the caller has
// judged, and returns where the next line starts.
func (r *Reader) header(pos int) (n int64, next int, err error) {
	line, next, err := r.line(pos, headerMax)
	if err != nil {
		if errors.Is(err, ErrTooLarge) {
			err = fmt.Errorf("%w: a length line over %d bytes", ErrProtocol, headerMax)
		}
		return 0, 0, err
	}
	n, ok := parseInt(line[1:])
	if !ok {
		return 0, 0, fmt.Errorf("%w: invalid number %q", ErrProtocol, line[1:])
	}
	return n, next, nil
}

// line returns the line at pos without its CR LF, and where the next one starts.
func (r *Reader) line(pos, lineBytesMax int) (line []byte, next int, err error) {
	end, err := r.newline(pos, lineBytesMax)
	if err != nil {
		return nil, 0, err
	}
	line = r.buf[r.r+pos : r.r+end]
	if len(line) < 2 || line[len(line)-1] != '\r' {
		return nil, 0, fmt.Errorf("%w: a line does not end in CR LF", ErrProtocol)
	}
	return line[:len(line)-1], end + 1, nil
}

// newline returns the place of the first LF at or after pos.
func (r *Reader) newline(pos, lineBytesMax int) (int, error) {
	for seen := pos; ; {
		if i := bytes.IndexByte(r.buf[r.r+seen:r.w], '\n'); i >= 0 && seen+i-pos <= lineBytesMax {
			return seen + i, nil
		}
		seen = r.w - r.r
		if seen-pos > lineBytesMax {
			return 0, fmt.Errorf("%w: a line over %d bytes", ErrTooLarge, lineBytesMax)
		}
		if err := r.need(seen + 1); err != nil {
			return 0, err
		}
	}
}

// parseInt reads a decimal without allocating.
func parseInt(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	switch {
	case negative && n <= math.MaxInt64+1:
		return -int64(n), true
	case !negative && n <= math.MaxInt64:
		return int64(n), true
	}
	return 0, false
}

// need waits until n unread bytes are buffered. io.EOF means that none was.
func (r *Reader) need(n int) error {
	for r.w-r.r < n {
		if err := r.fill(n); err != nil {
			if err == io.EOF && r.w > r.r {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// fill reads once. want is how many unread bytes the caller waits for; the
// buffer grows by what has arrived, not by what it wants beyond Limits.Ahead.
func (r *Reader) fill(want int) error {
	have := r.w - r.r
	if have == 0 {
		r.r, r.w = 0, 0
		if r.filled && len(r.buf) < readBytesKeep {
			r.buf = make([]byte, max(readBytesMin, 2*len(r.buf)))
		}
	}
	if r.r > 0 && len(r.buf)-r.r < want {
		copy(r.buf, r.buf[r.r:r.w])
		r.r, r.w = 0, have
	}
	if r.w == len(r.buf) {
		size := len(r.buf)
		least := readBytesMin
		if size == 0 && want <= readBytesNew {
			least = readBytesNew
		}
		size = max(least, size+size/4, min(want, max(4*size, r.limits.Ahead)))
		if err := r.count(size); err != nil {
			return err
		}
		grown := make([]byte, size)
		copy(grown, r.buf[:r.w])
		r.buf = grown
	}
	n, err := readSome(r.src, r.buf[r.w:])
	r.filled = n == len(r.buf)-r.w
	r.w += n
	return err
}

// readSome reads at least one byte or returns an error, never both.
func readSome(src io.Reader, p []byte) (int, error) {
	for range 100 {
		n, err := src.Read(p)
		if n > 0 {
			return n, nil // an error comes again
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}
