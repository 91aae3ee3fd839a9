package tree

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// EventKind says what became of a node.
type EventKind uint8

// The kinds of events.
const (
	// Created: the node was created.
	Created EventKind = iota + 1
	// Set: the node got another value; or it was created, where Event.Node is nil.
	Set
	// Removed: the node was removed.
	Removed
	// Anew: what was changed between the last event and this one is not known any more. The
	// event has no path. Read what you follow now: all that changes from now on is told.
	Anew
)

// String returns the kind's name in lower case.
func (k EventKind) String() string {
	if k == 0 || k > Anew {
		return fmt.Sprintf("event %d", uint8(k))
	}
	return [...]string{"created", "set", "removed", "anew"}[k-1]
}

// Scope says which nodes are watched.
type Scope uint8

// The scopes.
const (
	ThisNode Scope = iota // the node itself; it need not be there
	Children              // the nodes directly below it
	AllBelow              // all nodes below it
)

// Event is a change of a node that is watched.
type Event struct {
	Kind    EventKind
	Path    string
	Version client.Version // when the change was made: Stat.Modified of a Created or Set
	Node    *Node          // as it was then; nil where it is gone, or was changed again before this could be told
}

// Watch is told of changes of nodes. One goroutine uses it, but for Close.
type Watch struct {
	changes *route.Changes
	below   string // AllBelow: the path; else ""
}

// Watch has the servers tell of each change of nodes, from now on or from a Token of another such
// Watch, as client.Watch does for keys, with the same promises: the changes of one directory's
// nodes come in their order, none is left out or lost later. ctx bounds the beginning alone.
func (t *Tree) Watch(ctx context.Context, path string, scope Scope, from client.Token) (*Watch, error) {
	op := fmt.Sprintf("watch %.200q", path)
	if err := check(path, nil); err != nil {
		return nil, failed(op, err)
	}
	w := &Watch{}
	dir, name := path, ""
	switch scope {
	case ThisNode:
		dir, name = tree.Split(path)
	case AllBelow:
		w.below = path
	}
	var err error
	w.changes, err = t.router.WatchTree(ctx, op, dir, name, scope == AllBelow, string(from))
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Close ends the watch.
func (w *Watch) Close() error {
	w.changes.Close()
	return nil
}

// Next returns the next event, and waits for it. It fails when ctx ends, with ctx's error, and
// when the Watch or its Tree is closed, with client.ErrClosed.
func (w *Watch) Next(ctx context.Context) (Event, error) {
	for {
		told, change, err := w.changes.Next(ctx)
		if err != nil {
			return Event{}, err
		}
		version := client.Version{Term: told.Term, Seq: told.Seq}
		if change == nil {
			return Event{Kind: Anew, Version: version}, nil
		}
		if e, ok, err := w.event(change, version); ok || err != nil {
			return e, err
		}
	}
}

// event is a change as callers see it; false where it is of a node that is not watched.
func (w *Watch) event(c *wire.ToldChange, version client.Version) (e Event, ok bool, err error) {
	dir, name, _ := strings.Cut(string(c.Name), tree.Separator)
	if w.below != "" && dir != w.below && (dir == "" || w.below != Root && !strings.HasPrefix(dir, w.below+"/")) {
		return e, false, nil // its directory's name only begins alike
	}
	e = Event{Kind: Removed, Path: tree.Join(dir, name), Version: version}
	if c.Change != wire.TellSet {
		return e, true, nil
	}
	e.Kind = Set
	if !c.HasValue {
		return e, true, nil
	}
	n, err := wire.DecodeTreeNode(c.Value)
	if err != nil {
		return e, false, fmt.Errorf("watch: %w", err)
	}
	e.Node = &Node{Path: e.Path, Value: n.Value}
	e.Node.Stat.fromNode(&n)
	if e.Node.Stat.Created == e.Version {
		e.Kind = Created
	}
	return e, true, nil
}

// Events yields the events as they come, until ctx ends or the Watch is closed. Its last error
// is Next's, unless ctx has ended.
func (w *Watch) Events(ctx context.Context) iter.Seq2[Event, error] {
	return route.Events(ctx, w.Next)
}

// Token says up to where the events were taken, as that of client.Watch does.
func (w *Watch) Token() client.Token {
	return client.Token(w.changes.Token())
}
