package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/ring"
)

// Leave begins to take a server, by id or address, out of the cluster without
// losing a copy. It is gone from the view when nothing is left on it.
func (c *Client) Leave(ctx context.Context, server string) (ring.ServerID, error) {
	return c.member(ctx, "leave", server)
}

// Drain takes a server out of service for a planned restart.
func (c *Client) Drain(ctx context.Context, server string) (ring.ServerID, error) {
	return c.member(ctx, "drain", server)
}

// Remove takes a server that never returns out of the cluster.
func (c *Client) Remove(ctx context.Context, server string) (ring.ServerID, error) {
	return c.member(ctx, "remove", server)
}

func (c *Client) member(ctx context.Context, verb, server string) (ring.ServerID, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	id, err := c.leader.Member(ctx, verb, server)
	return id, c.leaderFailed(verb+" "+server, err)
}

// AcceptLoss gives up the data of partitions that no server can serve: they
// begin anew, empty. It returns the epoch in which they do. All of them must be
// lost, or it is ErrRefused and nothing is done. The servers that held them must
// be stopped: one that lives and only can't reach the view leader may go on
// serving what it has.
func (c *Client) AcceptLoss(ctx context.Context, partitions []ring.PartitionID) (uint64, error) {
	epoch, err := c.leader.AcceptLoss(ctx, partitions)
	return epoch, c.leaderFailed("accept-loss", err)
}

// Event is something that happened to the cluster.
type Event struct {
	Number uint64 // counts from 1, over all events there ever were
	Epoch  uint64 // of the view that shows it
	At     time.Time
	Kind   string        // made, joined, up, down, out, leaving, left, draining, removed, restored, lost, accepted-loss, configured
	Server ring.ServerID // whom it concerns; 0: nobody in particular
	Detail string
}

// Events returns the events after number since, oldest first, as far as the view
// leader keeps them: the newest few hundred. When there is none it waits for the
// next, and returns none when that takes longer than wait.
func (c *Client) Events(ctx context.Context, since uint64, wait time.Duration) ([]Event, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+c.opts.ConnectTimeout)
	defer cancel()
	raw, err := c.leader.Events(ctx, since, wait)
	if err != nil {
		return nil, c.leaderFailed("events", err)
	}
	events := make([]Event, len(raw))
	for i, e := range raw {
		events[i] = Event(e)
	}
	return events, nil
}

// LockOptions bound a LockGet.
type LockOptions struct {
	Wait time.Duration // in line for the lock; negative: until the context ends; 0: not at all
	TTL  time.Duration // after which the lock releases itself; 0: never
}

// Grant is a lock held.
type Grant struct {
	Token uint64 // fencing token; only grows
}

// LockGet takes a lock for a client, first come first served. Who has it
// already gets the same token again. A lock that another client holds is
// ErrLocked when the wait is over.
func (c *Client) LockGet(ctx context.Context, lock, holder string, o LockOptions) (Grant, error) {
	if _, err := c.Locks(ctx); err != nil { // a dead view leader is found out sooner than by waiting in line
		return Grant{}, err
	}
	token, err := c.leader.LockGet(ctx, lock, holder, o.Wait, o.TTL)
	if err != nil {
		return Grant{}, c.leaderFailed(fmt.Sprintf("lock %q", lock), err)
	}
	return Grant{Token: token}, nil
}

// LockRelease releases a lock. One that the client does not hold is ErrNotHeld.
func (c *Client) LockRelease(ctx context.Context, lock, holder string) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	return c.leaderFailed(fmt.Sprintf("release lock %q", lock), c.leader.LockFree(ctx, lock, holder))
}

// Lock is a lock that is held.
type Lock struct {
	Name    string
	Holder  string
	Token   uint64
	Since   time.Time
	Expires time.Time // zero: until released
	Waiters []string  // first come first
}

// Locks lists the locks that are held.
func (c *Client) Locks(ctx context.Context) ([]Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	raw, err := c.leader.Locks(ctx)
	if err != nil {
		return nil, c.leaderFailed("list locks", err)
	}
	locks := make([]Lock, len(raw))
	for i, l := range raw {
		locks[i] = Lock(l)
	}
	return locks, nil
}

// WaitView waits until ok holds for the newest view known and returns that view.
func (c *Client) WaitView(ctx context.Context, ok func(*ring.View) bool) (*ring.View, error) {
	for {
		v := c.View()
		if ok(v) {
			return v, nil
		}
		select {
		case <-c.ViewChanged(v):
		case <-ctx.Done():
			return nil, &opError{op: "wait for a view", kind: ErrUnreachable, last: errors.New("not seen in time")}
		}
	}
}
