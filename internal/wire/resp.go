package wire

import (
	"errors"
	"strconv"
)

// Bounds of what users store.
const (
	ValueBytesMax = 16 << 20
	KeyBytesMax   = 64 << 10
)

// Limits bound what a Reader accepts.
type Limits struct {
	BulkBytesMax  int // one bulk string
	LineBytesMax  int // an inline command, a simple string, an error
	ArgsMax       int // arguments of a command
	TotalBytesMax int // a whole command or reply; a reply's elements count valueBytes each
	DepthMax      int // replies within replies

	// Ahead is for how many bytes room is made as soon as they are announced. 0 is for
	// peers that anybody may be: their room is made as their bytes come.
	Ahead int
}

// DefaultLimits leave room above ValueBytesMax, so that a value somewhat too
// large is refused by name and not by hanging up.
var DefaultLimits = Limits{
	BulkBytesMax:  2 * ValueBytesMax,
	LineBytesMax:  64 << 10,
	ArgsMax:       64 << 10,
	TotalBytesMax: 4 * ValueBytesMax,
	DepthMax:      16,
}

// Errors of a Reader, each wrapped with what was wrong. Neither leaves the
// stream readable: answer and hang up.
var (
	ErrProtocol = errors.New("protocol error")
	ErrTooLarge = errors.New("protocol limit exceeded")
)

// Kind is the kind of a reply.
type Kind byte

// The kinds of replies. RESP2's null bulk and null array are KindNil; RESP3's
// bulk error is KindError; attributes are read and dropped.
const (
	KindSimple   Kind = '+' // Bytes
	KindError    Kind = '-' // Bytes
	KindInt      Kind = ':' // Int
	KindBulk     Kind = '$' // Bytes
	KindArray    Kind = '*' // Array
	KindNil      Kind = '_'
	KindBool     Kind = '#' // Int, 0 or 1
	KindDouble   Kind = ',' // Bytes as sent; see Float
	KindBig      Kind = '(' // Bytes: decimal digits
	KindVerbatim Kind = '=' // Bytes without the format and its colon
	KindMap      Kind = '%' // Array: key, value, key, value, …
	KindSet      Kind = '~' // Array
	KindPush     Kind = '>' // Array
)

// valueBytes is what an element of a reply costs of Limits.TotalBytesMax: about
// what a Value takes in memory.
const valueBytes = 64

// Value is a reply. It owns its memory.
type Value struct {
	Kind  Kind
	Int   int64
	Bytes []byte
	Array []Value
}

// IsNil reports whether v is the null of either protocol.
func (v Value) IsNil() bool { return v.Kind == KindNil }

// Text returns Bytes, or the number of an integer or bool, as a string.
func (v Value) Text() string {
	if v.Kind == KindInt || v.Kind == KindBool {
		return strconv.FormatInt(v.Int, 10)
	}
	return string(v.Bytes)
}

// Float returns the number of a KindDouble, 0 for other kinds.
func (v Value) Float() float64 {
	f, err := strconv.ParseFloat(string(v.Bytes), 64)
	if v.Kind != KindDouble || err != nil {
		return 0
	}
	return f
}

// Err returns a *ServerError when v is an error reply, otherwise nil.
func (v Value) Err() error {
	if v.Kind != KindError {
		return nil
	}
	return ParseServerError(string(v.Bytes))
}
