package redis

import (
	"strings"

	"viewring/internal/wire"
)

// Ended is what a command came to, for whoever counts commands: nothing wrong, or the code
// of the error reply.
type Ended uint8

// EndedOK is an answer; EndedAbsent one that says that what was asked for is not there. The
// others are errors, by endedCodes.
const (
	EndedOK Ended = iota
	EndedAbsent
	endedErrors // the first that is an error
)

// endedCodes are the errors that are told apart. All others count as the first of them.
var endedCodes = [...]string{
	wire.CodeErr, wire.CodeMoved, wire.CodeUnavailable, wire.CodeClusterDown, wire.CodeNotEnoughCopies, wire.CodeUnknownOutcome, wire.CodeBusy,
	wire.CodeReadOnly, wire.CodeCorrupt, wire.CodeTooLarge, wire.CodeNoAuth, wire.CodeWrongPass, "CROSSSLOT", "EXECABORT", "NOPROTO",
}

// EndedCount is how many there are.
const EndedCount = int(endedErrors) + len(endedCodes)

// Failed reports whether it is an error.
func (e Ended) Failed() bool { return e >= endedErrors }

// Code is the code of an error, in capitals, as Redis has it in INFO errorstats; "" where it
// is none.
func (e Ended) Code() string {
	if !e.Failed() {
		return ""
	}
	return endedCodes[e-endedErrors]
}

// String is ok, absent, or the code in small letters.
func (e Ended) String() string {
	switch e {
	case EndedOK:
		return "ok"
	case EndedAbsent:
		return "absent"
	}
	return strings.ToLower(e.Code())
}

// EndedWith is what a command came to that was answered with an error.
func EndedWith(errText string) Ended {
	code, rest, _ := strings.Cut(errText, " ")
	if code == wire.CodeAnswered {
		code, _, _ = strings.Cut(rest, " ")
	}
	for i, c := range endedCodes {
		if c == code {
			return endedErrors + Ended(i)
		}
	}
	return endedErrors
}

// EndedBy is what a command came to that was answered with v.
func EndedBy(v *wire.Value) Ended {
	switch v.Kind {
	case wire.KindError:
		return EndedWith(string(v.Bytes))
	case wire.KindNil:
		return EndedAbsent
	}
	return EndedOK
}
