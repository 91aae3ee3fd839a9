package zk

import (
	"context"
	"errors"
	"slices"

	"viewring/internal/tree"
	"viewring/internal/wire"
)

// change makes changes of a directory as one. The servers remove the nodes of a session soon after it has ended. A
// client that was told of the end, and creates such a node again, must not find it there, nor take it for
// another's: so one that is in the way is removed first.
func (c *conn) change(ctx context.Context, name, dir string, items []wire.TreeItem) (p wire.TreeReply, index int, err error) {
	for range wire.TreeItemsMax + 1 {
		p, index, err = tree.Change(c.f.ask(ctx, name), dir, items)
		if !errors.Is(err, tree.ErrNodeExists) || !c.removeGhost(ctx, dir, items[index].Name) {
			break
		}
	}
	return p, index, err
}

// removeGhost removes a node whose session has ended; false where it is none, or nobody can tell.
func (c *conn) removeGhost(ctx context.Context, dir, name string) bool {
	path := tree.Join(dir, name)
	n, err := tree.Head(c.f.ask(ctx, "read "+path), path)
	switch {
	case errors.Is(err, tree.ErrNoNode):
		return true // the servers were faster
	case err != nil || n.Owner == 0 || n.Owner == c.session:
		return false
	}
	ended, err := c.f.opts.Client.Leader().SessionsEnded(ctx, []uint64{n.Owner})
	if err != nil || !slices.Contains(ended, n.Owner) {
		return false
	}
	item := wire.TreeItem{Kind: wire.TreeRemove, Name: name, DataVersion: -1, Owner: n.Owner}
	_, _, err = tree.Change(c.f.ask(ctx, "remove "+path), dir, []wire.TreeItem{item})
	return err == nil || errors.Is(err, tree.ErrNoNode) || errors.Is(err, tree.ErrBadVersion)
}
