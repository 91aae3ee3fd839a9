package route

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/internal/outcome"
	"viewring/internal/wire"
)

// Pinned is a connection of its own to one server, for commands that change the
// connection's state, as WATCH does. It is for one goroutine.
type Pinned struct{ conn *wire.Conn }

// Pin opens a connection to the primary of the command's slot and carries out the
// command there, looking for another primary while it is refused. The reply's
// bytes may be an error.
func (c *Client) Pin(ctx context.Context, cmd Command) (*Pinned, []byte, error) {
	op := &operation{name: string(cmd.Args[0]), slot: cmd.Slot, mutation: cmd.Mutation, outcome: outcome.Of(kindOf(cmd.Mutation, false)),
		resp3: cmd.RESP3, began: time.Now(), timeout: tryTimeoutMin}
	var pinned *Pinned
	var raw []byte
	op.connect = func(ctx context.Context, addr string) (*wire.Conn, error) {
		return c.pool.connect(ctx, lane{addr: addr, resp3: cmd.RESP3})
	}
	op.ask = func(ctx context.Context, conn *wire.Conn) (err error) {
		pinned = &Pinned{conn}
		if raw, err = pinned.exchange(ctx, wire.AppendCommand(nil, cmd.Args...), 1); err != nil {
			pinned.Close()
		}
		return err
	}
	if err := c.tryUntilDone(ctx, op); err != nil {
		return nil, nil, err
	}
	return pinned, raw, nil
}

// Do sends commands in one piece and returns the bytes of the last reply. It fails
// with ErrUnavailable when surely nothing was done, with ErrUnknownOutcome when no
// reply came.
func (p *Pinned) Do(ctx context.Context, encoded []byte, replies int) ([]byte, error) {
	raw, err := p.exchange(ctx, encoded, replies)
	if err == nil {
		return raw, nil
	}
	k := ErrUnavailable
	if tries := outcome.Of(outcome.Single); tries.Next(wire.Tried(err)) == outcome.Unknown {
		k = ErrUnknownOutcome
	}
	return nil, &Error{Op: "a transaction", Kind: k, Last: err, Ended: ctx.Err()}
}

// exchange is Do with an error for wire.Tried.
func (p *Pinned) exchange(ctx context.Context, encoded []byte, replies int) ([]byte, error) {
	pending, err := p.conn.Start(ctx, encoded, replies, wire.Room{})
	if err != nil {
		return nil, err
	}
	select {
	case res := <-pending.Done():
		pending.Release()
		switch {
		case res.Err != nil:
			return nil, fmt.Errorf("%s: %w", p.conn.Addr(), res.Err)
		case res.First != nil && wire.Tried(res.First) == outcome.Declined:
			return nil, res.First
		}
		return res.Raw, nil
	case <-ctx.Done():
		return nil, errors.New("no answer in time")
	}
}

// Broken is closed when the connection can no longer be used.
func (p *Pinned) Broken() <-chan struct{} { return p.conn.Done() }

// Close ends the connection, and what it watched.
func (p *Pinned) Close() { _ = p.conn.Close() } // never fails
