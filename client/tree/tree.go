// Package tree keeps nodes at paths, such as /config/limits: each with a value, a version,
// and children. It is what ZooKeeper's clients know as znodes, on the servers of a viewring
// cluster. The nodes of one directory are kept together: what is done with them takes effect
// in one order, each at one instant, and several may change as one.
package tree

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// What operations fail with, beside the errors of package client, to be told apart with
// errors.Is.
var (
	// ErrNoNode: there is no such node.
	ErrNoNode = tree.ErrNoNode
	// ErrNoParent: the node would have no parent.
	ErrNoParent = tree.ErrNoParent
	// ErrNodeExists: there is such a node already.
	ErrNodeExists = tree.ErrNodeExists
	// ErrNotEmpty: a node that has children is not removed.
	ErrNotEmpty = tree.ErrNotEmpty
	// ErrBadVersion: the Condition does not hold.
	ErrBadVersion = tree.ErrBadVersion
	// ErrEphemeral: a node that goes with a session can't have children.
	ErrEphemeral = tree.ErrEphemeral
	// ErrHadChild: a node that has, or ever had, a child is not removed by a Multi.
	ErrHadChild = tree.ErrHadChild
	// ErrIsFile: the node is a file that package file has written; its value is not set like this.
	ErrIsFile = tree.ErrIsFile
	// ErrBadPath: the text says what is wrong with the path.
	ErrBadPath = tree.ErrBadPath
	// ErrContended: others changed these nodes again and again.
	ErrContended = tree.ErrContended
)

// Root is the path of the node that is always there. It has a value, and is not removed.
const Root = tree.Root

// Tree is the tree of one cluster. Any number of goroutines may use it.
type Tree struct{ router *route.Client }

// Open finds the cluster, as client.Open does. Close it after use.
func Open(ctx context.Context, opts client.Options) (*Tree, error) {
	router, err := route.Open(ctx, route.Options(opts))
	if err != nil {
		return nil, err
	}
	return &Tree{router}, nil
}

// Close ends the connections. What is under way fails.
func (t *Tree) Close() error { return t.router.Close() }

// Stat is what is known of a node beside its value.
type Stat struct {
	Created    client.Version // never that of another node at this path
	Modified   client.Version // of the creation, or the last Set
	CreatedAt  time.Time      // by a server's clock
	ModifiedAt time.Time
	Version    int64  // how often it was set
	Bytes      int    // of the value
	Owner      uint64 // client.Session.ID of the session that it goes with; 0: none

	// Of the children, as Stat tells: their number, how often one was created or removed, and
	// when last. Each half of a Stat is of some moment of the call.
	Children        int64
	ChildrenVersion int64
	ChildrenChanged client.Version
}

// Node is a node with its value.
type Node struct {
	Path  string
	Value []byte
	Stat  Stat
}

// Condition is what must hold of a node for a change; where it does not, the change does
// nothing and fails with ErrBadVersion.
type Condition struct {
	made bool
	is   tree.Condition
}

// Always holds whatever the node is, and so does the zero Condition.
func Always() Condition { return Condition{} }

// IfVersion holds while the node was set so often. A node that was removed and created again
// begins with 0, as in ZooKeeper: IfModified tells them apart.
func IfVersion(v int64) Condition { return Condition{true, tree.Condition{DataVersion: v}} }

// IfModified holds while the node was last changed at that Stat.Modified.
func IfModified(v client.Version) Condition {
	return Condition{true, tree.Condition{DataVersion: -1, Modified: wire.TreeVersion(v)}}
}

func (c Condition) condition() tree.Condition {
	if !c.made {
		return tree.Always
	}
	return c.is
}

// ask carries out the steps of an operation that is named so in errors.
func (t *Tree) ask(ctx context.Context, name string) tree.Ask {
	return func(q *wire.TreeRequest) (wire.TreeReply, error) { return t.router.Tree(ctx, name, q) }
}

// failed is an operation's error as callers see it, nil for none.
func failed(name string, err error) error {
	var told *route.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, tree.ErrUnfinished), errors.Is(err, tree.ErrOvertaken):
		return &route.Error{Op: name, Kind: client.ErrUnknownOutcome, Last: err}
	case errors.As(err, &told):
		return err
	}
	return &route.Error{Op: name, Kind: err}
}

// check looks at a path and a value before anything is sent.
func check(path string, value []byte) error {
	if err := tree.Check(path); err != nil {
		return err
	}
	if len(value) > wire.TreeValueMax {
		return fmt.Errorf("%w: the value has %d bytes, at most %d are allowed", client.ErrTooLarge, len(value), wire.TreeValueMax)
	}
	return nil
}

func (s *Stat) fromNode(n *wire.TreeNode) {
	*s = Stat{Created: client.Version(n.ID), Modified: client.Version(n.Modified), CreatedAt: moment(n.Created), ModifiedAt: moment(n.ModifiedAt),
		Version: n.DataVersion, Bytes: n.ValueBytes, Owner: n.Owner}
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Get reads a node. Of its Stat the children are missing.
func (t *Tree) Get(ctx context.Context, path string) (Node, error) {
	name := fmt.Sprintf("get %.200q", path)
	if err := check(path, nil); err != nil {
		return Node{}, failed(name, err)
	}
	n, err := tree.Get(t.ask(ctx, name), path)
	if err != nil {
		return Node{}, failed(name, err)
	}
	out := Node{Path: path, Value: n.Value}
	out.Stat.fromNode(n)
	return out, nil
}

// Stat tells of a node, with its children.
func (t *Tree) Stat(ctx context.Context, path string) (s Stat, err error) {
	name := fmt.Sprintf("stat %.200q", path)
	if err := check(path, nil); err != nil {
		return s, failed(name, err)
	}
	n, d, err := tree.Stat(t.ask(ctx, name), path)
	if err != nil {
		return s, failed(name, err)
	}
	s.fromNode(n)
	if d != nil {
		s.Children, s.ChildrenVersion, s.ChildrenChanged = d.Children, d.ChildrenVersion, client.Version(d.Changed)
	}
	return s, nil
}

// CreateOption changes what Create does.
type CreateOption uint8

// The options of Create.
const (
	Parents    CreateOption = 1 << iota // creates those that are missing, with empty values; is done where the node exists, if it is not Sequential
	Sequential                          // puts a number of ten digits behind the path, higher than all that were given below this parent; taken names are skipped
)

// Create creates a node and returns its path, which a number ends if it is Sequential: then
// the path may end with a slash, and the number is the name. Missing parents are created one by
// one: a failure may leave some.
func (t *Tree) Create(ctx context.Context, path string, value []byte, options ...CreateOption) (string, error) {
	return t.create(ctx, path, value, combined(options), 0)
}

func combined(options []CreateOption) (all CreateOption) {
	for _, o := range options {
		all |= o
	}
	return all
}

// create is Create, of a node that goes with a session unless owner is 0.
func (t *Tree) create(ctx context.Context, path string, value []byte, all CreateOption, owner uint64) (string, error) {
	name := fmt.Sprintf("create %.200q", path)
	kind, checked := wire.TreeCreate, path
	if all&Sequential != 0 {
		kind, checked = wire.TreeSequential, tree.SequentialName(path, 0)
	}
	if err := check(checked, value); err != nil {
		return "", failed(name, err)
	}
	dir, own := tree.Split(path)
	switch {
	case path == Root && kind == wire.TreeSequential:
		dir, own = Root, ""
	case path == Root:
		return "", failed(name, ErrNodeExists)
	}
	ask := t.ask(ctx, name)
	for {
		p, _, err := tree.Change(ask, dir, []wire.TreeItem{{Kind: kind, Name: own, Value: value, Owner: owner}})
		switch {
		case err == nil && kind == wire.TreeSequential:
			return tree.Join(dir, tree.SequentialName(own, p.Number)), nil
		case err == nil, errors.Is(err, ErrNodeExists) && all == Parents && owner == 0:
			return path, nil
		case !errors.Is(err, ErrNoParent) || all&Parents == 0:
			return "", failed(name, err)
		}
		if _, err := t.create(ctx, dir, nil, Parents, 0); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
}

// Set writes a node's value and returns its new Stat.Version.
func (t *Tree) Set(ctx context.Context, path string, value []byte, when Condition) (int64, error) {
	name := fmt.Sprintf("set %.200q", path)
	if err := check(path, value); err != nil {
		return 0, failed(name, err)
	}
	dir, own := tree.Split(path)
	c := when.condition()
	p, _, err := tree.Change(t.ask(ctx, name), dir, []wire.TreeItem{{Kind: wire.TreeSet, Name: own, Value: value, DataVersion: c.DataVersion, Modified: c.Modified}})
	return p.Number, failed(name, err)
}

// Remove removes a node that has no children. Where it fails with client.ErrUnknownOutcome
// after it has begun, whoever next creates, lists or removes at the path finishes it.
func (t *Tree) Remove(ctx context.Context, path string, when Condition) error {
	name := fmt.Sprintf("remove %.200q", path)
	err := check(path, nil)
	if err == nil && path == Root {
		err = fmt.Errorf("%w: the root is not removed", ErrBadPath)
	}
	if err == nil {
		err = tree.Remove(t.ask(ctx, name), path, when.condition())
	}
	return failed(name, err)
}
