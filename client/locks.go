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

// LockGet takes a lock for a client, first come first served. Who has it
// already gets the same token again. A lock that another client holds is
// ErrLocked when the wait is over. It is held until it is released, or until its
// time to live is over, whatever becomes of this process; Session.LockGet takes one
// that ends with the process.
func (c *Client) LockGet(ctx context.Context, lock, holder string, o LockOptions) (Grant, error) {
	return c.lockGet(ctx, lock, holder, 0, o)
}

func (c *Client) lockGet(ctx context.Context, lock, holder string, session uint64, o LockOptions) (Grant, error) {
	q := wire.LockAsk{Lock: lock, Client: holder, Session: session, Shared: o.Shared, Knot: o.WaitInDeadlock, TTL: o.TTL}
	// At first without waiting: a dead view leader is found out sooner so.
	token, err := c.leader.LockGet(ctx, q)
	if wire.IsCode(err, wire.CodeLocked) && o.Wait != 0 {
		doubt := errors.Is(err, wire.ErrOutcomeUnknown) // a try of this question may be on its way yet
		q.Wait = o.Wait
		if o.OnDeadlock != nil {
			defer c.watchDeadlocks(ctx, lock, holder, o.OnDeadlock)()
		}
		if token, err = c.leader.LockGet(ctx, q); err != nil && doubt {
			err = wire.Unsettled(err)
		}
	}
	if err != nil {
		return Grant{}, c.leaderFailed(fmt.Sprintf("lock %q", lock), err)
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
			var events []Event
			events, err = c.Events(ctx, since, time.Minute)
			for _, e := range events {
				since = e.Number
				if e.Kind == eventDeadlock && strings.Contains(e.Detail, mine) && ctx.Err() == nil {
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

// eventDeadlock is the kind of the events that tell of a cycle of waiters.
const eventDeadlock = "deadlock"

// lastEvent returns the number of the newest event.
func (c *Client) lastEvent(ctx context.Context) (uint64, error) {
	events, err := c.Events(ctx, 0, 0)
	if err != nil || len(events) == 0 {
		return 0, err
	}
	return events[len(events)-1].Number, nil
}

// LockRelease releases a lock. One that the client does not hold, or holds in a
// session, is ErrNotHeld.
func (c *Client) LockRelease(ctx context.Context, lock, holder string) error {
	return c.lockRelease(ctx, lock, holder, 0)
}

func (c *Client) lockRelease(ctx context.Context, lock, holder string, session uint64) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	return c.leaderFailed(fmt.Sprintf("release lock %q", lock), c.leader.LockFree(ctx, lock, holder, session))
}

// Lock is a lock that is held.
type Lock struct {
	Name    string
	Shared  bool // by readers, who hold it together
	Holders []LockHolder
	Waiters []LockWaiter // first come first
}

// LockHolder is who holds a lock.
type LockHolder struct {
	Client  string
	Session uint64 // 0: none
	Token   uint64
	Since   time.Time
	Expires time.Time // zero: until released
	Lost    bool      // its session fell silent; the lock is free at Expires
}

// LockWaiter is who waits in line for a lock.
type LockWaiter struct {
	Client  string
	Session uint64 // 0: none
	Shared  bool
}

// LockWait is one step of a deadlock: who waits for which lock, and for whom.
type LockWait struct {
	Client  string
	Session uint64 // 0: none
	Lock    string
	For     string // who holds the lock, or is before Client in line
	Behind  bool   // For is in line
}

// Locks are the locks that are held, and the deadlocks among those who wait.
type Locks struct {
	Locks     []Lock
	Deadlocks [][]LockWait // each step waits for the next, the last for the first
}

// Locks lists the locks that are held.
func (c *Client) Locks(ctx context.Context) (Locks, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	raw, err := c.leader.Locks(ctx)
	if err != nil {
		return Locks{}, c.leaderFailed("list locks", err)
	}
	var all Locks
	for _, l := range raw.Locks {
		lock := Lock{Name: l.Name, Shared: l.Shared}
		for _, h := range l.Holders {
			lock.Holders = append(lock.Holders, LockHolder(h))
		}
		for _, w := range l.Waiters {
			lock.Waiters = append(lock.Waiters, LockWaiter(w))
		}
		all.Locks = append(all.Locks, lock)
	}
	for _, cycle := range raw.Deadlocks {
		waits := make([]LockWait, len(cycle))
		for i, w := range cycle {
			waits[i] = LockWait(w)
		}
		all.Deadlocks = append(all.Deadlocks, waits)
	}
	return all, nil
}
