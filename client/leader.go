package client

import (
	"context"
	"errors"
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

// Events returns the events after number since, oldest first, as far as the view
// leader keeps them: the newest few hundred. When there is none it waits for the
// next, and returns none when that takes longer than wait.
func (c *Client) Events(ctx context.Context, since uint64, wait time.Duration) ([]Event, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+c.opts.ConnectTimeout)
	defer cancel()
	events, err := c.leader.Events(ctx, since, wait)
	return events, c.leaderFailed("events", err)
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
