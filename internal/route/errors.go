package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"viewring/internal/wire"
)

// What operations fail with, to be told apart with errors.Is. Package client, which exports
// them, says what each means.
var (
	ErrNotFound       = errors.New("not found")
	ErrCondition      = errors.New("condition not met")
	ErrNotInteger     = errors.New("not a 64-bit integer")
	ErrUnavailable    = errors.New("unavailable")
	ErrTooFewCopies   = errors.New("too few copies")
	ErrUnknownOutcome = errors.New("outcome unknown")
	ErrUnreachable    = errors.New("unreachable")
	ErrRefused        = errors.New("refused")
	ErrCorrupt        = errors.New("corrupt")
	ErrTooLarge       = errors.New("too large")
	ErrBusy           = errors.New("busy")
	ErrClosed         = errors.New("client closed")

	// ErrDiskFull is also ErrUnavailable: nothing was done.
	ErrDiskFull = fmt.Errorf("%w: a disk is full", ErrUnavailable)

	// These are also ErrRefused.
	ErrLocked      = fmt.Errorf("%w: locked by another client", ErrRefused)
	ErrNotHeld     = fmt.Errorf("%w: lock not held by this client", ErrRefused)
	ErrDeadlock    = fmt.Errorf("%w: deadlock", ErrRefused)
	ErrFenced      = fmt.Errorf("%w: the lock has gone to others", ErrRefused)
	ErrSessionLost = fmt.Errorf("%w: the session has ended", ErrRefused)
)

// kindOfCode maps the first word of an error reply to the sentinel it stands for.
var kindOfCode = map[string]error{
	wire.CodeUnavailable:     ErrUnavailable,
	wire.CodeClusterDown:     ErrUnavailable,
	wire.CodeNotEnoughCopies: ErrTooFewCopies,
	wire.CodeUnknownOutcome:  ErrUnknownOutcome,
	wire.CodeBusy:            ErrBusy,
	wire.CodeCorrupt:         ErrCorrupt,
	wire.CodeReadOnly:        ErrDiskFull,
	wire.CodeTooLarge:        ErrTooLarge,
	wire.CodeLocked:          ErrLocked,
	wire.CodeNotHeld:         ErrNotHeld,
	wire.CodeDeadlock:        ErrDeadlock,
	wire.CodeNoSession:       ErrSessionLost,
	wire.CodeRefused:         ErrRefused,
	wire.CodeNotHead:         ErrUnavailable,
	wire.CodeRecovering:      ErrUnavailable,
}

// kind returns the sentinel that err stands for: that of an error reply, and
// ErrUnreachable for everything that went wrong on the way.
func kind(err error) error {
	var reply *wire.ServerError
	switch {
	case errors.Is(err, wire.ErrOutcomeUnknown):
		return ErrUnknownOutcome
	case errors.Is(err, ErrClosed):
		return ErrClosed
	case errors.As(err, &reply):
		if k, ok := kindOfCode[reply.Code]; ok {
			return k
		}
		return ErrRefused
	}
	return ErrUnreachable
}

// Error is the failure of one operation.
type Error struct {
	Op    string // what was tried, with its key
	Kind  error  // one of the errors above
	Last  error  // what the last try said; may be nil
	Ended error  // context.Canceled or context.DeadlineExceeded where the operation's context ended it; not in the text
}

// Error says what was tried and what came of it.
func (e *Error) Error() string {
	var reply *wire.ServerError
	switch {
	case e.Last == nil:
		return fmt.Sprintf("%s: %v", e.Op, e.Kind)
	case e.Kind == ErrUnknownOutcome:
		return fmt.Sprintf("%s: %v: %s", e.Op, e.Kind, cause(e.Last))
	case errors.Is(e.Last, wire.ErrNoHead):
		return fmt.Sprintf("%s: %v", e.Op, e.Last)
	case errors.Is(e.Last, wire.ErrLeaderUnreachable):
		return fmt.Sprintf("%s: view leader unreachable: %s", e.Op, cause(e.Last))
	case errors.As(e.Last, &reply) && e.Kind == kind(e.Last):
		return fmt.Sprintf("%s: %v: %s", e.Op, e.Kind, reply.Message)
	}
	return fmt.Sprintf("%s: %v: %s", e.Op, e.Kind, cause(e.Last))
}

// cause is what went wrong on the network, without the calls that it came up
// through; other errors are told as they are.
func cause(err error) string {
	var op *net.OpError
	var errno syscall.Errno
	switch {
	case errors.As(err, &op) && op.Addr != nil && errors.As(err, &errno):
		return fmt.Sprintf("%s: %v", op.Addr, errno)
	case errors.As(err, &op) && op.Addr != nil:
		return fmt.Sprintf("%s: %v", op.Addr, op.Err)
	}
	return err.Error()
}

// Unwrap returns all that the error is for errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	is := []error{e.Kind}
	for _, err := range []error{e.Last, e.Ended} {
		if err != nil {
			is = append(is, err)
		}
	}
	return is
}

// Failed wraps the error of a request that is not repeated, nil as well. ctx is the
// caller's, without the bounds that were put on it since.
func Failed(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	k := kind(err)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("timed out")
	}
	return &Error{Op: op, Kind: k, Last: err, Ended: endedUnanswered(ctx, k)}
}

// endedUnanswered is how ctx ended, if an error of this kind can come of that: not where
// somebody answered.
func endedUnanswered(ctx context.Context, kind error) error {
	if kind != ErrUnreachable && kind != ErrUnknownOutcome {
		return nil
	}
	if at, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(at) {
		return context.DeadlineExceeded // a connection's deadline, which is the same, was noticed first
	}
	return ctx.Err()
}
