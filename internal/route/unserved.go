package route

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// probeTimeout bounds the question to a server that should be down whether it is.
const probeTimeout = 500 * time.Millisecond

// hopeless says why an operation is not worth a try in s: nil when it is. final
// means that it can't succeed until a server returns. That takes two witnesses:
// the primary does not answer, and somebody alive says now that the view stands
// in which nobody of the acting replicas is up. So an ordinary failover, whose
// view has not come yet, is waited for; and so is a view leader that was cut off
// and took everyone for dead.
func (c *Client) hopeless(ctx context.Context, op *operation, s *snapshot) (why error, final bool) {
	p := op.partition
	if r, ok := routeIn(s.view, p); s.view.Unserved(p) {
		if ok && r.addr != "" && c.answers(ctx, r.addr) {
			return nil, false
		}
		why = &wire.ServerError{Code: wire.CodeUnavailable, Message: s.view.WhyUnserved(p)}
		if ctx.Err() != nil {
			return why, false // who did not answer may only not have had the time
		}
		return why, !c.opts.Persist && c.confirmed(ctx, s)
	} else if !ok { // no server ever came
		return &wire.ServerError{Code: wire.CodeUnavailable, Message: fmt.Sprintf("no server has partition %d", p)}, false
	}
	if op.mutation && !c.opts.Persist && op.reply != nil && op.reply.Code == wire.CodeNotEnoughCopies {
		if text := s.tooFew(p); text != "" && c.confirmed(ctx, s) {
			return &wire.ServerError{Code: wire.CodeNotEnoughCopies, Message: text}, true
		}
	}
	return nil, false
}

// confirmed reports whether the view leader, or else a server, has no newer view
// than s now.
func (c *Client) confirmed(ctx context.Context, s *snapshot) bool {
	ctx, cancel := context.WithTimeout(ctx, leaderPatience)
	defer cancel()
	v, err := c.leaderView(ctx, s.view)
	if err == nil {
		err = c.views.adopt(v)
	} else {
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaderPatience)
		defer cancel()
		err = c.askServersOnce(sctx)
	}
	return err == nil && c.views.current.Load() == s
}

func (c *Client) leaderView(ctx context.Context, base *ring.View) (*ring.View, error) {
	if len(c.opts.Leaders) == 0 {
		return nil, errors.New("no view leader is named")
	}
	return c.leader.View(ctx, base, 0)
}

// answers reports whether the server at addr is alive after all.
func (c *Client) answers(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return c.askServer(ctx, addr) == nil
}

// tooFew says why p gets no write before a server returns: fewer acting replicas
// than min-copies, and too few others that are up and could become acting. It is
// "" when there are enough, or when copies are being made.
func (s *snapshot) tooFew(p ring.PartitionID) string {
	part := &s.view.Partitions[p]
	if len(part.Acting) >= int(part.MinCopies) {
		return ""
	}
	up := func(id ring.ServerID) bool {
		m := s.view.Member(id)
		return m != nil && m.Up
	}
	table, err := s.table()
	if err != nil || table == nil {
		return ""
	}
	coming := len(part.Acting)
	var down []ring.ServerID
	for _, id := range table.Targets(p) {
		switch {
		case part.IsActing(id):
		case up(id):
			coming++
		default:
			down = append(down, id)
		}
	}
	if coming >= int(part.MinCopies) {
		return ""
	}
	for _, id := range part.Writable {
		if !part.IsActing(id) && !up(id) && !slices.Contains(down, id) {
			down = append(down, id)
		}
	}
	text := fmt.Sprintf("partition %d has %d of the %d copies that a write needs", p, len(part.Acting), part.MinCopies)
	if len(down) > 0 {
		text += fmt.Sprintf(": start %v again, or add a server", down)
	}
	return text
}
