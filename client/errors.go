package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"viewring/internal/wire"
)

// The outcomes that callers tell apart with errors.Is.
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

// opError is the failure of one operation.
type opError struct {
	op   string // what was tried, with its key
	kind error  // one of the sentinels
	last error  // what the last try said; may be nil
}

func (e *opError) Error() string {
	var reply *wire.ServerError
	switch {
	case e.last == nil:
		return fmt.Sprintf("%s: %v", e.op, e.kind)
	case e.kind == ErrUnknownOutcome:
		return fmt.Sprintf("%s: %v: %s", e.op, e.kind, cause(e.last))
	case errors.Is(e.last, wire.ErrNoHead):
		return fmt.Sprintf("%s: %v", e.op, e.last)
	case errors.Is(e.last, wire.ErrLeaderUnreachable):
		return fmt.Sprintf("%s: view leader unreachable: %s", e.op, cause(e.last))
	case errors.As(e.last, &reply) && e.kind == kind(e.last):
		return fmt.Sprintf("%s: %v: %s", e.op, e.kind, reply.Message)
	}
	return fmt.Sprintf("%s: %v: %s", e.op, e.kind, cause(e.last))
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

func (e *opError) Unwrap() []error { return []error{e.kind, e.last} }

// leaderFailed wraps the error of a call to the view leader.
func (c *Client) leaderFailed(op string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &opError{op: op, kind: kind(err), last: fmt.Errorf("view leader %s does not answer", c.leaderNames())}
	}
	return fail(op, err)
}

// fail wraps the error of a call that is not repeated.
func fail(op string, err error) error {
	if err == nil {
		return nil
	}
	k := kind(err)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("timed out")
	}
	return &opError{op: op, kind: k, last: err}
}
