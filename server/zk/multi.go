package zk

import (
	"context"
	"errors"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// multi makes several changes as one: of the children of one node.
func (c *conn) multi(ctx context.Context, q *jute.Request) (answer, error) {
	if len(q.Ops) == 0 {
		return answer{body: jute.AppendMultiHeader(nil, jute.OpError, true, -1)}, nil
	}
	var dir string
	items := make([]wire.TreeItem, len(q.Ops))
	for i := range q.Ops {
		one := &q.Ops[i]
		if one.Op == jute.OpGetData || one.Op == jute.OpGetChildren {
			return answer{}, failf(jute.BadArguments, "a request of type %d among changes", one.Op)
		}
		at, item, err := c.itemOf(one)
		switch {
		case err != nil:
			return failedMulti(len(q.Ops), i, codeOf(err)), nil
		case i > 0 && at != dir:
			return answer{}, failf(jute.Unimplemented, "changes below %s and %s as one: only those of one parent are served", dir, at)
		}
		dir, items[i] = at, item
	}
	if len(items) == 1 && items[0].Kind == wire.TreeRemove {
		return c.multiRemove(ctx, &q.Ops[0])
	}
	told := c.watches.covering(dir)
	p, index, err := c.change(ctx, "change below "+dir, dir, items)
	switch {
	case err != nil && p.Code == wire.TreeOK: // nobody said so of one of them
		return answer{}, err
	case errors.Is(err, tree.ErrHadChild):
		err = c.hadChild(ctx, tree.Join(dir, items[index].Name))
	case errors.Is(err, tree.ErrNoParent):
		index, err = 0, tree.ErrNoNode
	}
	if err != nil {
		return failedMulti(len(items), index, codeOf(err)), nil
	}
	a := answer{zxid: zxidOf(p.Version), body: c.multiResults(ctx, q, dir, items, &p)}
	return a, c.hold(ctx, told, dir, p.Version)
}

// hadChild says why a node that has or had children is not removed among others.
func (c *conn) hadChild(ctx context.Context, path string) error {
	p, err := c.f.ask(ctx, "look at "+path)(&wire.TreeRequest{Op: wire.TreeDirectory, Dir: path})
	if err == nil && p.Directory != nil && p.Directory.Children > 0 {
		return tree.ErrNotEmpty
	}
	return tree.ErrHadChild
}

// failedMulti answers a multi of which one change failed, and so none was made.
func failedMulti(n, index int, code jute.Code) answer {
	var a answer
	for i := range n {
		one := jute.OK
		switch {
		case i == index:
			one = code
		case i > index:
			one = jute.RuntimeInconsistency
		}
		a.body = jute.AppendInt(jute.AppendMultiHeader(a.body, jute.OpError, false, one), int32(one))
	}
	a.body = jute.AppendMultiHeader(a.body, jute.OpError, true, -1)
	return a
}

// multiRemove is a multi of one removal, which may take more than one step.
func (c *conn) multiRemove(ctx context.Context, q *jute.Request) (answer, error) {
	a, err := c.remove(ctx, q)
	switch {
	case err == nil:
		a.body = jute.AppendMultiHeader(jute.AppendMultiHeader(nil, jute.OpDelete, false, jute.OK), jute.OpError, true, -1)
	case err != errUntold && codeOf(err) != jute.ConnectionLoss:
		return failedMulti(1, 0, codeOf(err)), nil
	}
	return a, err
}

// multiResults are the results of changes that were made.
func (c *conn) multiResults(ctx context.Context, q *jute.Request, dir string, items []wire.TreeItem, p *wire.TreeReply) (b []byte) {
	number := p.Number
	for i := range q.Ops {
		one := &q.Ops[i]
		b = jute.AppendMultiHeader(b, one.Op, false, jute.OK)
		switch items[i].Kind {
		case wire.TreeCreate, wire.TreeSequential:
			path := c.created(dir, &items[i], number)
			if items[i].Kind == wire.TreeSequential {
				number++
			}
			b = jute.AppendString(b, path)
			if one.Op != jute.OpCreate {
				s := c.statCreated(ctx, path, &items[i], p.Version, nil)
				b = jute.AppendStat(b, &s)
			}
		case wire.TreeSet:
			s := c.statOfMany(ctx, one, p)
			b = jute.AppendStat(b, &s)
		case wire.TreeRemove:
			delete(c.owned, one.Path)
		}
	}
	return jute.AppendMultiHeader(b, jute.OpError, true, -1)
}

// statOfMany is what is told of a node that was set by a multi. How often it was set by then is
// known where it was a condition, or nobody has set it since.
func (c *conn) statOfMany(ctx context.Context, q *jute.Request, p *wire.TreeReply) jute.Stat {
	times := int64(q.Version) + 1
	if q.Version == -1 {
		times = 1
		if n, err := tree.Head(c.f.ask(ctx, "read "+q.Path), q.Path); err == nil {
			times = n.DataVersion
		}
	}
	s, _ := c.statSet(ctx, q, &wire.TreeReply{Version: p.Version, Number: times})
	return s
}
