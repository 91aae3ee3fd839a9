package client

import "viewring/internal/route"

// What operations fail with, to be told apart with errors.Is.
var (
	// ErrNotFound: the key is absent.
	ErrNotFound = route.ErrNotFound
	// ErrCondition: the write's Condition does not hold. The text names the key's version.
	ErrCondition = route.ErrCondition
	// ErrNotInteger: the value is no decimal integer of 64 bits, or the sum would be none.
	ErrNotInteger = route.ErrNotInteger
	// ErrTooLarge: the key, the value or the lock's name is longer than allowed.
	ErrTooLarge = route.ErrTooLarge

	// ErrUnknownOutcome: a write may or may not have taken effect, or may do so yet.
	ErrUnknownOutcome = route.ErrUnknownOutcome
	// ErrUnreachable: nobody answered who could have, or nothing was sent in time.
	ErrUnreachable = route.ErrUnreachable
	// ErrUnavailable: no server is left that could answer. The text names servers to start.
	ErrUnavailable = route.ErrUnavailable
	// ErrTooFewCopies: too few servers are left to acknowledge a write.
	ErrTooFewCopies = route.ErrTooFewCopies
	// ErrDiskFull: a server's disk is full. It is also ErrUnavailable.
	ErrDiskFull = route.ErrDiskFull
	// ErrBusy: a server had too much to do.
	ErrBusy = route.ErrBusy
	// ErrCorrupt: the stored value fails its checksum, and no other copy was to be had yet.
	ErrCorrupt = route.ErrCorrupt
	// ErrClosed: the Client, or the Session, was closed.
	ErrClosed = route.ErrClosed

	// ErrRefused: the cluster does not do this; the text says why.
	ErrRefused = route.ErrRefused
	// ErrLocked: somebody else holds the lock. This and those below are also ErrRefused.
	ErrLocked = route.ErrLocked
	// ErrNotHeld: the lock is not held by who releases it.
	ErrNotHeld = route.ErrNotHeld
	// ErrDeadlock: waiting for the lock would close a cycle of waiters.
	ErrDeadlock = route.ErrDeadlock
	// ErrFenced: the lock in the write's Fence has gone to others, who have written since.
	ErrFenced = route.ErrFenced
	// ErrSessionLost: the session has ended, and with it its locks.
	ErrSessionLost = route.ErrSessionLost
)
