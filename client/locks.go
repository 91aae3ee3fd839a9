package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/viewleader/vocab"
)

// LockOptions say how a lock is asked for.
type LockOptions struct {
	Wait   time.Duration // in line for the lock; negative: until the context ends; 0: not at all
	TTL    time.Duration // after which the lock releases itself; 0: never
	Shared bool          // as one of several readers; one writer waits for all of them

	// WaitInDeadlock waits even if that closes a cycle of waiters, each of which
	// waits for the next: until one of them gives way. Without it the last to join
	// gets ErrDeadlock.
	WaitInDeadlock bool

	// OnDeadlock, if not nil, is told of deadlocks that the holder is in while it
	// waits, closed or refused: who waits for whom. It is called by one goroutine.
	OnDeadlock func(cycle string)
}

// Grant is a lock held.
type Grant struct {
	Token uint64 // fencing token; only grows, over all locks
}

// LockGet takes a lock for a holder, a name of the caller's choice, first come first
// served. Who has it already gets the same token again. A lock that another holder has
// is ErrLocked when the wait is over. It is held until it is released, or until its
// time to live is over, whatever becomes of this process; Session.LockGet takes one
// that ends with the process.
func (c *Client) LockGet(ctx context.Context, lock, holder string, o LockOptions) (Grant, error) {
	return c.lockGet(ctx, lock, holder, 0, o)
}

func (c *Client) lockGet(ctx context.Context, lock, holder string, session uint64, o LockOptions) (Grant, error) {
	q := wire.LockAsk{Lock: lock, Client: holder, Session: session, Shared: o.Shared, WaitInDeadlock: o.WaitInDeadlock, TTL: o.TTL}
	// At first without waiting: a dead view leader is found out sooner so.
	token, err := c.router.Leader().LockGet(ctx, q)
	if wire.IsCode(err, wire.CodeLocked) && o.Wait != 0 {
		doubt := errors.Is(err, wire.ErrOutcomeUnknown) // a try of this question may be on its way yet
		q.Wait = o.Wait
		if o.OnDeadlock != nil {
			defer c.watchDeadlocks(ctx, lock, holder, o.OnDeadlock)()
		}
		if token, err = c.router.Leader().LockGet(ctx, q); err != nil && doubt {
			err = wire.UnknownOutcome(err)
		}
	}
	if err != nil {
		return Grant{}, c.router.LeaderFailed(ctx, fmt.Sprintf("lock %.200q", lock), err)
	}
	return Grant{Token: token}, nil
}

// watchDeadlocks tells of deadlocks in which holder waits for a lock, until the
// function that it returns is called.
func (c *Client) watchDeadlocks(ctx context.Context, lock, holder string, tell func(string)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	mine := fmt.Sprintf("%q waits for %q ", holder, lock)
	watching.Go(func() {
		since, err := c.lastEvent(ctx)
		for err == nil || wait.For(ctx, keepRetry) {
			var events []vocab.Event
			events, err = c.router.Events(ctx, since, time.Minute)
			for _, e := range events {
				since = e.Number
				if e.Kind == vocab.EventDeadlock && strings.Contains(e.Detail, mine) && ctx.Err() == nil {
					tell(e.Detail)
				}
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// lastEvent returns the number of the newest event.
func (c *Client) lastEvent(ctx context.Context) (uint64, error) {
	events, err := c.router.Events(ctx, 0, 0)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	return events[len(events)-1].Number, nil
}

// LockRelease releases a holder's lock. One that it does not hold, or holds in a session,
// is ErrNotHeld.
func (c *Client) LockRelease(ctx context.Context, lock, holder string) error {
	return c.lockRelease(ctx, lock, holder, 0)
}

func (c *Client) lockRelease(ctx context.Context, lock, holder string, session uint64) error {
	brief, cancel := c.router.Brief(ctx)
	defer cancel()
	return c.router.LeaderFailed(ctx, fmt.Sprintf("release lock %.200q", lock), c.router.Leader().LockFree(brief, lock, holder, session))
}
