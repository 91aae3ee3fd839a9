package zk

import (
	"context"
	"errors"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// look is a read, and the watch that the client wants with it.
type look struct {
	c       *conn
	path    string
	kinds   kinds     // of the watch; 0: none
	told    []*stream // that tell this client of the nodes beside this one,
	below   []*stream // and of those below it
	watched bool      // the watch is prepared, and is to be armed or given up
}

// look begins a read. What streams tell before is noted first: what is read is not told before that.
func (c *conn) look(ctx context.Context, path string, watch bool, k kinds) (*look, error) {
	if err := tree.Check(path); err != nil {
		return nil, err
	}
	dir, _ := tree.Split(path)
	l := &look{c: c, path: path, told: c.watches.covering(dir), below: c.watches.covering(path)}
	if watch {
		if err := c.watches.prepare(ctx, path, k); err != nil {
			return nil, err
		}
		l.kinds, l.watched = k, true
	}
	return l, nil
}

// end gives the watch up where nothing came of the read.
func (l *look) end() {
	if l.watched {
		l.c.watches.giveUp(l.path, l.kinds)
	}
}

// armed leaves the watch to the answer, which arms it.
func (l *look) armed(s seen) func() {
	if !l.watched {
		return nil
	}
	l.watched = false
	return func() { l.c.watches.arm(l.path, l.kinds, s) }
}

// reading reads a node, and its children's record or nil.
type reading func(ask tree.Ask, path string) (*wire.TreeNode, *wire.TreeRecord, error)

// alone is the reading of a node without its value, and without the record.
func alone(ask tree.Ask, path string) (*wire.TreeNode, *wire.TreeRecord, error) {
	n, err := tree.Head(ask, path)
	return n, nil, err
}

// stat reads a node and its children's record, and waits until events that came before were told.
func (l *look) stat(ctx context.Context, read reading) (*wire.TreeNode, *wire.TreeRecord, error) {
	n, d, err := read(l.c.f.ask(ctx, "read "+l.path), l.path)
	dir, _ := tree.Split(l.path)
	switch {
	case errors.Is(err, tree.ErrNoNode):
		if held := l.c.holdAbsent(ctx, l.told, dir); held != nil {
			return nil, nil, held
		}
		return nil, nil, err
	case err == nil:
		err = l.c.build(len(n.Value))
	}
	if err != nil {
		return nil, nil, err
	}
	if err := l.c.hold(ctx, l.told, dir, n.Modified); err != nil {
		return nil, nil, err
	}
	if d != nil {
		err = l.c.hold(ctx, l.below, l.path, d.Changed)
	}
	return n, d, err
}

func shown(n *wire.TreeNode, d *wire.TreeRecord) int64 {
	zxid := zxidOf(n.Modified)
	if d != nil {
		zxid = max(zxid, zxidOf(d.Changed))
	}
	return zxid
}

func seenOf(n *wire.TreeNode, d *wire.TreeRecord) seen {
	s := seen{exists: true, node: n.Modified, id: n.ID}
	if d != nil {
		s.children, s.some = d.Changed, d.Children > 0
	}
	return s
}

func (c *conn) exists(ctx context.Context, q *jute.Request) (answer, error) {
	l, err := c.look(ctx, q.Path, q.Watch, ofData)
	if err != nil {
		return answer{}, err
	}
	defer l.end()
	n, d, err := l.stat(ctx, tree.Stat)
	switch {
	case errors.Is(err, tree.ErrNoNode):
		return answer{then: l.armed(seen{})}, err
	case err != nil:
		return answer{}, err
	}
	s := statOf(n, d)
	return answer{zxid: shown(n, d), body: jute.AppendStat(nil, &s), then: l.armed(seenOf(n, d))}, nil
}

func (c *conn) getData(ctx context.Context, q *jute.Request) (answer, error) {
	l, err := c.look(ctx, q.Path, q.Watch, ofData)
	if err != nil {
		return answer{}, err
	}
	defer l.end()
	n, d, err := l.stat(ctx, tree.Read)
	if err != nil {
		return answer{}, err
	}
	s := statOf(n, d)
	body := jute.AppendBytes(make([]byte, 0, len(n.Value)+96), n.Value)
	return answer{zxid: shown(n, d), body: jute.AppendStat(body, &s), then: l.armed(seenOf(n, d))}, nil
}

func (c *conn) getACL(ctx context.Context, q *jute.Request) (answer, error) {
	l, err := c.look(ctx, q.Path, false, 0)
	if err != nil {
		return answer{}, err
	}
	n, d, err := l.stat(ctx, tree.Stat)
	if err != nil {
		return answer{}, err
	}
	s := statOf(n, d)
	return answer{zxid: shown(n, d), body: jute.AppendStat(jute.AppendACL(nil, jute.Open), &s)}, nil
}

// setACL takes the list that every node has anyway, and no other.
func (c *conn) setACL(ctx context.Context, q *jute.Request) (answer, error) {
	l, err := c.look(ctx, q.Path, false, 0)
	if err != nil {
		return answer{}, err
	}
	if err := checkACL(q.ACL); err != nil {
		return answer{}, err
	}
	n, d, err := l.stat(ctx, tree.Stat)
	if err != nil {
		return answer{}, err
	}
	if q.Version != -1 && q.Version != 0 {
		return answer{}, tree.ErrBadVersion
	}
	s := statOf(n, d)
	return answer{zxid: shown(n, d), body: jute.AppendStat(nil, &s)}, nil
}

// checkACL refuses lists that promise what nobody keeps.
func checkACL(list []jute.ACL) error {
	for _, a := range list {
		if a != jute.Open[0] {
			return failf(jute.InvalidACL, "only the open list is served, not %d for %s:%s", a.Perms, a.Scheme, a.ID)
		}
	}
	if len(list) == 0 {
		return failf(jute.InvalidACL, "a list without entries lets nobody in")
	}
	return nil
}

// listPage is how many children are asked for at a time.
const listPage = 1000

// list reads the names of a node's children, and their record as it was when the first of them were
// read; nil where there never were any.
func (l *look) list(ctx context.Context) (names []string, d *wire.TreeRecord, err error) {
	var cursor []byte
	total := 0
	for first := true; ; first = false {
		some, then, next, err := tree.NamesPage(l.c.f.ask(ctx, "list "+l.path), l.path, cursor, listPage)
		if err != nil {
			return nil, nil, err
		}
		if first {
			d = then
		}
		was := total
		for _, name := range some {
			total += 4 + len(name)
		}
		names = append(names, some...)
		if err := l.c.build(total - was); err != nil {
			return nil, nil, err
		}
		if total > childrenMax {
			return nil, nil, failf(jute.MarshallingError, "the names of the children have more than %d bytes", childrenMax)
		}
		if cursor = next; len(cursor) == 0 {
			return names, d, nil
		}
	}
}

// getChildren reads the list, and the node where it has to be known. A node that was created anew between is
// read again.
func (c *conn) getChildren(ctx context.Context, q *jute.Request) (answer, error) {
	l, err := c.look(ctx, q.Path, q.Watch, ofChildren)
	if err != nil {
		return answer{}, err
	}
	defer l.end()
	for {
		var n *wire.TreeNode
		if q.Op == jute.OpGetChildren2 || q.Watch || len(l.told) > 0 {
			if n, _, err = l.stat(ctx, alone); err != nil {
				return answer{}, err
			}
		}
		names, d, err := l.list(ctx)
		dir, _ := tree.Split(q.Path)
		if errors.Is(err, tree.ErrNoNode) && c.holdAbsent(ctx, l.told, dir) != nil {
			err = errUntold
		}
		if err != nil {
			return answer{}, err
		}
		if n != nil && d != nil && d.ID != n.ID {
			continue
		}
		return l.children(ctx, q, n, d, names)
	}
}

// children answers with the names of a node's children.
func (l *look) children(ctx context.Context, q *jute.Request, n *wire.TreeNode, d *wire.TreeRecord, names []string) (answer, error) {
	a := answer{body: jute.AppendStrings(nil, names)}
	if d != nil {
		if err := l.c.hold(ctx, l.below, q.Path, d.Changed); err != nil {
			return answer{}, err
		}
		a.zxid = zxidOf(d.Changed)
	}
	if n == nil {
		return a, nil
	}
	a.zxid = shown(n, d)
	if q.Op == jute.OpGetChildren2 {
		s := statOf(n, d)
		a.body = jute.AppendStat(a.body, &s)
	}
	a.then = l.armed(seenOf(n, d))
	return a, nil
}

// sync has nothing to wait for: reads show all that was answered before to anybody.
func (c *conn) sync(_ context.Context, q *jute.Request) (answer, error) {
	if err := tree.Check(q.Path); err != nil {
		return answer{}, err
	}
	return answer{body: jute.AppendString(nil, q.Path)}, nil
}

// multiRead answers several reads, each for itself.
func (c *conn) multiRead(ctx context.Context, q *jute.Request) (answer, error) {
	var a answer
	for i := range q.Ops {
		one := &q.Ops[i]
		if one.Op != jute.OpGetData && one.Op != jute.OpGetChildren {
			return answer{}, failf(jute.BadArguments, "a request of type %d among reads", one.Op)
		}
		one.Watch = false
		got, err := handlers[one.Op](c, ctx, one)
		if endsConn(err) {
			return answer{}, err
		}
		op := one.Op
		if err != nil {
			op, got.body = jute.OpError, jute.AppendInt(nil, int32(codeOf(err)))
		}
		a.zxid = max(a.zxid, got.zxid)
		a.body = append(jute.AppendMultiHeader(a.body, op, false, codeOf(err)), got.body...)
		if len(a.body) > childrenMax {
			return answer{}, failf(jute.MarshallingError, "answers of more than %d bytes", childrenMax)
		}
	}
	a.body = jute.AppendMultiHeader(a.body, jute.OpError, true, -1)
	return a, nil
}
