package wire

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
)

// The first words of error replies.
const (
	CodeErr             = "ERR"             // a bad command or argument; the text says what
	CodeMoved           = "MOVED"           // slot and address of the primary (see MovedText)
	CodeUnavailable     = "UNAVAILABLE"     // nothing was done; the partition can't serve now
	CodeNotEnoughCopies = "NOTENOUGHCOPIES" // nothing was done; fewer than min-copies replicas act
	CodeClusterDown     = "CLUSTERDOWN"     // UNAVAILABLE, to Redis clients: nobody who is up holds the partition
	CodeUnknownOutcome  = "UNKNOWNOUTCOME"  // it may or may not be done; ask again with the same request id
	CodeAnswered        = "ANSWERED"        // to CmdOnce: the error that follows is the command's own answer, and that of each repeat
	CodeBusy            = "BUSY"            // nothing was done; queues are full
	CodeCorrupt         = "CORRUPT"         // the stored bytes fail their checksum
	CodeReadOnly        = "READONLY"        // nothing was done; a disk that can't be done without is full
	CodeTooLarge        = "TOOLARGE"        // a key or value over the limit
	CodeLocked          = "LOCKED"          // somebody else holds the lock
	CodeNotHeld         = "NOTHELD"         // the lock to release is not the client's
	CodeRefused         = "REFUSED"         // the view leader says no; the text says why
	CodeNoAuth          = "NOAUTH"          // the connection has not said the password
	CodeWrongPass       = "WRONGPASS"       // it said a wrong one
	CodeNotHead         = "NOTHEAD"         // this view leader is not the Raft leader; the text is the address of the one that is, if known
)

// ServerError is an error reply.
type ServerError struct {
	Code    string // the first word, one of the Code constants
	Message string // the rest
}

// Error returns the reply's text, ready for WriteError.
func (e *ServerError) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + " " + e.Message
}

// ParseServerError splits an error reply's text. A text whose first word is not
// a code in capitals gets CodeErr.
func ParseServerError(text string) *ServerError {
	code, message, _ := strings.Cut(text, " ")
	if code == "" || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return &ServerError{Code: CodeErr, Message: text}
	}
	return &ServerError{Code: code, Message: message}
}

// Telling returns which of two tries' errors says more: the later one, unless it only says
// that the time was over.
func Telling(before, err error) error {
	if before != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return before
	}
	return err
}

// IsCode reports whether err is, or wraps, a *ServerError with that code.
func IsCode(err error, code string) bool {
	var e *ServerError
	return errors.As(err, &e) && e.Code == code
}

// IsLockedOut reports whether err says that a password is missing or wrong: no
// further try helps.
func IsLockedOut(err error) bool { return IsCode(err, CodeNoAuth) || IsCode(err, CodeWrongPass) }

// MovedText is the error reply that sends a client to another server.
func MovedText(slot uint16, addr string) string {
	if strings.HasPrefix(addr, "[") { // IPv6: Redis writes it without brackets, and clients look for the last colon
		if host, port, err := net.SplitHostPort(addr); err == nil {
			addr = host + ":" + port
		}
	}
	return CodeMoved + " " + strconv.FormatUint(uint64(slot), 10) + " " + addr
}

// ParseMoved reads what MovedText wrote, with or without its first word. The address is one to be
// dialed.
func ParseMoved(text string) (slot uint16, addr string, ok bool) {
	number, addr, ok := strings.Cut(strings.TrimPrefix(text, CodeMoved+" "), " ")
	n, err := strconv.ParseUint(number, 10, 14)
	if !ok || err != nil || addr == "" {
		return 0, "", false
	}
	if i := strings.LastIndexByte(addr, ':'); i > 0 && addr[0] != '[' && strings.Contains(addr[:i], ":") {
		addr = net.JoinHostPort(addr[:i], addr[i+1:])
	}
	return uint16(n), addr, true
}
