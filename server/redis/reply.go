package redis

import (
	"fmt"
	"strings"

	"viewring/internal/wire"
)

// Texts of error replies, those of Redis 7.0.
const (
	ErrSyntax     = "ERR syntax error"
	ErrNotInteger = "ERR value is not an integer or out of range"
	ErrOverflow   = "ERR increment or decrement would overflow"
	ErrCrossSlot  = "CROSSSLOT Keys in request don't hash to the same slot"
	ErrExecAbort  = "EXECABORT Transaction discarded because of previous errors."

	// Of MULTI and its like where they may not stand.
	ErrNested       = "ERR MULTI calls can not be nested"
	ErrExecAlone    = "ERR EXEC without MULTI"
	ErrDiscardAlone = "ERR DISCARD without MULTI"
	ErrWatchAfter   = "ERR WATCH inside MULTI is not allowed"
	ErrNotInMulti   = "ERR Command not allowed inside a transaction"

	errDecrOverflow = "ERR decrement would overflow"
	errNotFloat     = "ERR value is not a valid float"
	errInfinite     = "ERR increment would produce NaN or Infinity"
	errOffset       = "ERR offset is out of range"
	errBitOffset    = "ERR bit offset is not an integer or out of range"
	errBit          = "ERR bit is not an integer or out of range"
	errTooLong      = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
	errNoKey        = "ERR no such key"
)

var (
	okReply  = OK()
	nilReply = Nil()
)

// OK, Nil and so on make replies of their kinds.
func OK() wire.Value                         { return Simple("OK") }
func Nil() wire.Value                        { return wire.Value{Kind: wire.KindNil} }
func NilArray() wire.Value                   { return wire.Value{Kind: wire.KindNil, Array: []wire.Value{}} }
func Simple(s string) wire.Value             { return wire.Value{Kind: wire.KindSimple, Bytes: []byte(s)} }
func Fail(s string) wire.Value               { return wire.Value{Kind: wire.KindError, Bytes: []byte(s)} }
func Text(s string) wire.Value               { return Bulk([]byte(s)) }
func Bulk(b []byte) wire.Value               { return wire.Value{Kind: wire.KindBulk, Bytes: b} }
func Verbatim(s string) wire.Value           { return wire.Value{Kind: wire.KindVerbatim, Bytes: []byte(s)} }
func Number(n int64) wire.Value              { return wire.Value{Kind: wire.KindInt, Int: n} }
func Array(of ...wire.Value) wire.Value      { return wire.Value{Kind: wire.KindArray, Array: of} }
func Map(keyValues ...wire.Value) wire.Value { return wire.Value{Kind: wire.KindMap, Array: keyValues} }

// ArityError is the reply to a command with too few or too many words. A transaction ends
// with its EXEC also then.
func ArityError(c *Command) string {
	text := fmt.Sprintf("wrong number of arguments for '%s' command", c.Name)
	if c.Name == "exec" {
		return "EXECABORT Transaction discarded because of: " + text
	}
	return "ERR " + text
}

// UnknownError is the reply to a command that there is not. args are with the name.
func UnknownError(args [][]byte) string {
	const shown = 128
	var b strings.Builder
	for _, a := range args[1:] {
		if b.Len() >= shown {
			break
		}
		fmt.Fprintf(&b, "'%s' ", cString(a, shown-b.Len()))
	}
	return fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", cString(args[0], shown), b.String())
}

// UnknownSubError is the reply to a subcommand that a container has not.
func UnknownSubError(container *Command, sub []byte) string {
	return fmt.Sprintf("ERR unknown subcommand '%s'. Try %s HELP.", cString(sub, 128), strings.ToUpper(container.Name))
}

// cString cuts b off at a zero byte, as Redis prints it, and at max bytes.
func cString(b []byte, max int) string {
	s, _, _ := strings.Cut(string(b[:min(len(b), max)]), "\x00")
	return s
}

func expireTimeError(c *Command) string {
	return fmt.Sprintf("ERR invalid expire time in '%s' command", c.Name)
}

func set() wire.Value { return wire.Value{Kind: wire.KindSet} }
