package zk

import (
	"context"
	"errors"
	"sync"
	"time"

	"viewring/internal/tree"
	"viewring/internal/wire"
	"viewring/server/zk/jute"
)

// create creates a node. A container is a node that stays until it is removed.
func (c *conn) create(ctx context.Context, q *jute.Request) (answer, error) {
	dir, item, err := c.itemOf(q)
	if err != nil {
		return answer{}, err
	}
	told := c.watches.covering(dir)
	p, _, err := c.change(ctx, "create "+q.Path, dir, []wire.TreeItem{item})
	if err != nil {
		return answer{}, err
	}
	path := c.created(dir, &item, p.Number)
	a := answer{zxid: zxidOf(p.Version), body: jute.AppendString(nil, path)}
	if q.Op != jute.OpCreate {
		s := c.statCreated(ctx, path, &item, p.Version, p.Node)
		a.body = jute.AppendStat(a.body, &s)
	}
	return a, c.hold(ctx, told, dir, p.Version)
}

// created returns the path of a node that was created, and notes whose it is.
func (c *conn) created(dir string, item *wire.TreeItem, number int64) string {
	name := item.Name
	if item.Kind == wire.TreeSequential {
		name = tree.SequentialName(name, number)
	}
	path := tree.Join(dir, name)
	if item.Owner != 0 && len(c.owned) < ownedMax {
		c.owned[path] = struct{}{}
	}
	return path
}

// itemOf is a change of one node as a step of the tree has it.
func (c *conn) itemOf(q *jute.Request) (dir string, item wire.TreeItem, err error) {
	item = wire.TreeItem{Value: q.Data, DataVersion: int64(q.Version)}
	checked := q.Path
	switch q.Op {
	case jute.OpCreate, jute.OpCreate2, jute.OpCreateContainer, jute.OpCreateTTL:
		if item, err = c.creation(q); err != nil {
			return "", item, err
		}
		if item.Kind == wire.TreeSequential {
			checked = tree.SequentialName(q.Path, 0)
		}
	case jute.OpSetData:
		item.Kind = wire.TreeSet
	case jute.OpDelete:
		item.Kind, item.Value = wire.TreeRemove, nil
	default:
		item.Kind, item.Value = wire.TreeCheck, nil
	}
	if err := tree.Check(checked); err != nil {
		return "", item, err
	}
	dir, item.Name = tree.Split(q.Path)
	switch {
	case q.Path == tree.Root && item.Kind == wire.TreeSequential:
		dir, item.Name = tree.Root, ""
	case q.Path == tree.Root && item.Kind == wire.TreeCreate:
		return "", item, tree.ErrNodeExists
	case q.Path == tree.Root && item.Kind == wire.TreeRemove:
		return "", item, failf(jute.BadArguments, "the root is not removed")
	case len(q.Data) > wire.TreeValueMax:
		return "", item, failf(jute.BadArguments, "a value of %d bytes, at most %d are allowed", len(q.Data), wire.TreeValueMax)
	case item.DataVersion < -1:
		return "", item, tree.ErrBadVersion // no node is at that
	}
	return dir, item, nil
}

// creation looks at what is to be created.
func (c *conn) creation(q *jute.Request) (wire.TreeItem, error) {
	item := wire.TreeItem{Kind: wire.TreeCreate, Value: q.Data, DataVersion: -1}
	switch {
	case q.Op == jute.OpCreateTTL || q.Flags == 5 || q.Flags == 6:
		return item, failf(jute.Unimplemented, "nodes with a time to live are not served")
	case q.Flags < jute.Persistent || q.Flags > jute.Container:
		return item, failf(jute.BadArguments, "a creation with the flags %d", q.Flags)
	}
	if q.Flags == jute.PersistentSequential || q.Flags == jute.EphemeralSequential {
		item.Kind = wire.TreeSequential
	}
	if q.Flags == jute.Ephemeral || q.Flags == jute.EphemeralSequential {
		item.Owner = c.session
	}
	return item, checkACL(q.ACL)
}

// statCreated is what is told of a node that was created at a version. When that was is read, for
// servers' clocks say it, unless the answer has told.
func (c *conn) statCreated(ctx context.Context, path string, item *wire.TreeItem, version wire.TreeVersion, made *wire.TreeNode) jute.Stat {
	if made != nil {
		return statOf(made, nil)
	}
	n, err := tree.Head(c.f.ask(ctx, "read "+path), path)
	if err != nil || n.ID != version {
		n = &wire.TreeNode{Created: time.Now().UnixMilli()} // it is gone already, or can't be read: it was created all the same
	}
	return statOf(&wire.TreeNode{ID: version, Modified: version, Created: n.Created, ModifiedAt: n.Created, Owner: item.Owner, ValueBytes: len(item.Value)}, nil)
}

// setData sets a value.
func (c *conn) setData(ctx context.Context, q *jute.Request) (answer, error) {
	dir, item, err := c.itemOf(q)
	if err != nil {
		return answer{}, err
	}
	told, below := c.watches.covering(dir), c.watches.covering(q.Path)
	p, _, err := tree.Change(c.f.ask(ctx, "set "+q.Path), dir, []wire.TreeItem{item})
	if errors.Is(err, tree.ErrNoParent) {
		err = tree.ErrNoNode
	}
	if err != nil {
		return answer{}, err
	}
	s, d := c.statSet(ctx, q, &p)
	if d != nil {
		err = c.hold(ctx, below, q.Path, d.Changed)
	}
	if err == nil {
		err = c.hold(ctx, told, dir, p.Version)
	}
	return answer{zxid: zxidOf(p.Version), body: jute.AppendStat(nil, &s)}, err
}

// statSet is what is told of a node that was set, which p is the answer to.
func (c *conn) statSet(ctx context.Context, q *jute.Request, p *wire.TreeReply) (jute.Stat, *wire.TreeRecord) {
	ask := c.f.ask(ctx, "read "+q.Path)
	n, same := p.Node, false
	var d *wire.TreeRecord
	var err error
	if n != nil {
		d, same, err = tree.RecordOf(ask, q.Path, n)
	}
	if n == nil || !same && err == nil { // a try before did it, or it is gone already
		n, d, err = tree.Stat(ask, q.Path)
	}
	if err != nil && p.Node == nil {
		now := time.Now().UnixMilli()
		n = &wire.TreeNode{Created: now, ModifiedAt: now} // it is gone already, or can't be read: it was set all the same
	}
	if err != nil && p.Node != nil {
		n, d = p.Node, nil
	}
	was := *n
	was.Modified, was.DataVersion, was.ValueBytes = p.Version, p.Number, len(q.Data)
	return statOf(&was, d), d
}

// remove removes a node.
func (c *conn) remove(ctx context.Context, q *jute.Request) (answer, error) {
	dir, item, err := c.itemOf(q)
	if err != nil {
		return answer{}, err
	}
	told := c.watches.covering(dir)
	var version wire.TreeVersion // of the removal; zero where another client did it in this one's name
	ask := func(s *wire.TreeRequest) (wire.TreeReply, error) {
		p, err := c.f.opts.Client.Tree(ctx, "remove "+q.Path, s)
		if err == nil && p.Code == wire.TreeOK && (s.Op == wire.TreeChange || s.Op == wire.TreeFinish) {
			version = p.Version
		}
		return p, err
	}
	if err := tree.Remove(ask, q.Path, tree.Condition{DataVersion: item.DataVersion}); err != nil {
		return answer{}, err
	}
	delete(c.owned, q.Path)
	if version == (wire.TreeVersion{}) {
		return answer{}, c.holdAbsent(ctx, told, dir)
	}
	return answer{zxid: zxidOf(version)}, c.hold(ctx, told, dir, version)
}

// removersMax is how many removals of a session's nodes are under way at a time.
const removersMax = 8

// removeOwned removes the session's nodes that were created at this front. The servers remove all of
// them once the session has ended: this is for clients that look right after.
func (c *conn) removeOwned() {
	ctx, cancel := context.WithTimeout(c.f.ctx, c.f.opts.Patience)
	defer cancel()
	var running sync.WaitGroup
	free := make(chan struct{}, removersMax)
	for path := range c.owned {
		free <- struct{}{}
		running.Go(func() {
			defer func() { <-free }()
			dir, name := tree.Split(path)
			item := wire.TreeItem{Kind: wire.TreeRemove, Name: name, DataVersion: -1, Owner: c.session}
			_, _, _ = tree.Change(c.f.ask(ctx, "remove "+path), dir, []wire.TreeItem{item}) // else the servers do
		})
	}
	running.Wait()
	clear(c.owned)
}
