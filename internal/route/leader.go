package route

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// Leader is the connection to the view leader, which ends with the Client.
func (c *Client) Leader() *wire.Leader { return c.leader }

func (c *Client) leaderNames() string { return strings.Join(c.opts.Leaders, ", ") }

// Brief bounds a question that the view leader answers at once, by ConnectTimeout.
func (c *Client) Brief(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.opts.ConnectTimeout)
}

// LeaderFailed wraps the error of a question to the view leader, nil as well. ctx is the
// caller's, without the bounds that were put on it since.
func (c *Client) LeaderFailed(ctx context.Context, op string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		k := kind(err)
		return &Error{Op: op, Kind: k, Last: fmt.Errorf("view leader %s does not answer", c.leaderNames()), Ended: endedUnanswered(ctx, k)}
	}
	return Failed(ctx, op, err)
}

// Events returns the events after number since, oldest first, as far as the view leader
// keeps them. When there is none it waits for the next, and returns none when that takes
// longer than wait.
func (c *Client) Events(ctx context.Context, since uint64, wait time.Duration) ([]vocab.Event, error) {
	bounded, cancel := context.WithTimeout(ctx, wait+c.opts.ConnectTimeout)
	defer cancel()
	events, err := c.leader.Events(bounded, since, wait)
	return events, c.LeaderFailed(ctx, "events", err)
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
			return nil, &Error{Op: "wait for a view", Kind: ErrUnreachable, Last: errors.New("not seen in time"), Ended: ctx.Err()}
		}
	}
}
