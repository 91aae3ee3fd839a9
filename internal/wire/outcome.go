package wire

import (
	"errors"

	"viewring/internal/outcome"
)

// ErrNotSent is wrapped by errors that say that nothing of a command left this side.
var ErrNotSent = errors.New("not sent")

// ErrOutcomeUnknown is wrapped by errors of commands to the view leader that may have
// been carried out.
var ErrOutcomeUnknown = errors.New("it may or may not be done")

// unknownOutcome is an error that leaves open what came of a command.
type unknownOutcome struct{ error }

// UnknownOutcome returns err as one that is ErrOutcomeUnknown too.
func UnknownOutcome(err error) error { return unknownOutcome{err} }

func (e unknownOutcome) Is(target error) bool { return target == ErrOutcomeUnknown }
func (e unknownOutcome) Unwrap() error        { return e.error }

// TooManyClients is the error reply to a client that comes beyond the limit.
const (
	TooManyClients     = CodeErr + " " + tooManyClientsText
	tooManyClientsText = "max number of clients reached"
)

// triedCodes says what error replies mean for the operation that was asked for. The rest
// did nothing, and asking again is of no use.
var triedCodes = map[string]outcome.Try{
	CodeMoved:           outcome.Declined,
	CodeUnavailable:     outcome.Declined,
	CodeClusterDown:     outcome.Declined,
	CodeNotEnoughCopies: outcome.Declined,
	CodeBusy:            outcome.Declined,
	CodeReadOnly:        outcome.Declined,
	CodeNotHead:         outcome.Declined,
	CodeUnknownOutcome:  outcome.Unsure,
	CodeAnswered:        outcome.Answered,
	CodeTooLarge:        outcome.Answered, // whatever is there, or recorded with the request id
	CodeLocked:          outcome.Answered,
	CodeNotHeld:         outcome.Answered,
	CodeDeadlock:        outcome.Answered,
	CodeNoSession:       outcome.Answered,
	CodeRefused:         outcome.Answered,
}

// Tried says what a try came to whose error is err: one of a Conn, or that of the
// connection that was to be made for it.
func Tried(err error) outcome.Try {
	var reply *ServerError
	switch {
	case err == nil:
		return outcome.Answered
	case errors.As(err, &reply):
		return reply.tried()
	case errors.Is(err, ErrNotSent):
		return outcome.NotSent
	}
	return outcome.Silent
}

func (e *ServerError) tried() outcome.Try {
	if e.Code == CodeErr && e.Message == tooManyClientsText {
		return outcome.AtLimit
	}
	if t, ok := triedCodes[e.Code]; ok {
		return t
	}
	return outcome.Refused
}
