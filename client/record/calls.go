package record

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// op is an operation: its context, and what errors call it.
type op struct {
	s    *Store
	ctx  context.Context
	name string
}

func (s *Store) op(ctx context.Context, verb, path string) *op {
	return &op{s: s, ctx: ctx, name: fmt.Sprintf("%s %q", verb, path)}
}

// within is the same operation in another context.
func (o *op) within(ctx context.Context) *op { return &op{s: o.s, ctx: ctx, name: o.name} }

// ask carries out one step.
func (o *op) ask(q *wire.TreeRequest) (wire.TreeReply, error) {
	return o.s.router.Tree(o.ctx, o.name, q)
}

// kinds are the errors of steps as callers of this package know them.
var kinds = []struct{ is, told error }{
	{tree.ErrNoNode, fs.ErrNotExist},
	{tree.ErrNoParent, fmt.Errorf("its directory: %w", fs.ErrNotExist)},
	{tree.ErrNodeExists, fs.ErrExist},
}

// failed is an operation's error as callers see it, nil for none.
func (o *op) failed(err error) error {
	var already *route.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tree.ErrMaybe):
		return &route.Error{Op: o.name, Kind: client.ErrUnknownOutcome, Last: errors.Join(err), Ended: o.ctx.Err()}
	case errors.As(err, &already):
		return err
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			err = k.told
		}
	}
	return &route.Error{Op: o.name, Kind: err, Ended: o.ctx.Err()}
}

const (
	corruptAfter = 10 * time.Second      // of trying, what can't be read is given up
	yieldMax     = 10 * time.Millisecond // before a chunk is opened that others may open
)

// calls are an operation's tree.RecordCalls.
type calls struct {
	*op
	ahead *ahead // nil: nothing is read ahead
}

func (c *calls) Tree(q *wire.TreeRequest) (wire.TreeReply, error) { return c.ask(q) }

func (c *calls) Record(q *wire.RecordRequest) (wire.RecordReply, bool, error) {
	return c.s.router.Record(c.ctx, c.name, q)
}

func (c *calls) Life(slot uint16) uint64 { return c.s.router.ResetTerm(slot) }

func (c *calls) Yield() error {
	t := time.NewTimer(rand.N(yieldMax))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

func (c *calls) Part(chunk wire.Chunk, part wire.RecordPart, index uint32) ([]byte, bool, error) {
	if c.ahead != nil && part == wire.RecordBatchPart {
		return c.ahead.take(chunk, index)
	}
	return c.part(chunk, part, index)
}

// part reads a part. What is corrupt is tried for a while, for it may be repaired.
func (c *calls) part(chunk wire.Chunk, part wire.RecordPart, index uint32) ([]byte, bool, error) {
	for {
		ctx, cancel := context.WithTimeout(c.ctx, corruptAfter)
		p, err := c.s.router.RecordPart(ctx, c.name, chunk, part, index)
		cancel()
		switch {
		case err == nil && p.Status == wire.DoNotFound:
			return nil, false, nil
		case err == nil && p.Status != wire.DoOK:
			return nil, false, fmt.Errorf("unexpected outcome %d of a read", p.Status)
		case err == nil:
			return p.Value, true, nil
		case c.ctx.Err() != nil:
			return nil, false, err
		case errors.Is(err, client.ErrCorrupt):
			return nil, false, fmt.Errorf("%w: %w", tree.ErrCorrupt, err)
		case !errors.Is(err, context.DeadlineExceeded):
			return nil, false, err
		}
	}
}

// aheadMax is how many batches are read ahead of the one that comes next.
const aheadMax = 8

// ahead reads batches before they are wanted. One goroutine uses it.
type ahead struct {
	c     *calls
	chunk wire.Chunk
	under map[uint32]chan part
}

type part struct {
	value []byte
	found bool
	err   error
}

// want begins to read the batches of a chunk that come next, up to n of them.
func (a *ahead) want(chunk wire.Chunk, next uint32, n int64) {
	if a.chunk != chunk || a.under == nil {
		a.chunk, a.under = chunk, make(map[uint32]chan part)
	}
	for i := next; i < next+uint32(max(0, min(n, aheadMax))); i++ { // those that are there: what was absent may not be so any more
		if a.under[i] != nil {
			continue
		}
		out := make(chan part, 1)
		a.under[i] = out
		go func() {
			var p part
			p.value, p.found, p.err = a.c.part(chunk, wire.RecordBatchPart, i)
			out <- p
		}()
	}
}

// take returns a batch, which may be under way.
func (a *ahead) take(chunk wire.Chunk, index uint32) ([]byte, bool, error) {
	a.want(chunk, index, 1)
	p := <-a.under[index]
	delete(a.under, index)
	return p.value, p.found, p.err
}
