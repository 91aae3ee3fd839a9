package tree

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Child is a node as a list tells of it: its value and children are not told.
type Child struct {
	Path string
	Name string
	Stat Stat

	// MayHaveChildren is false of a node that never had any.
	MayHaveChildren bool
}

// listPage is how many nodes are asked for at a time.
const listPage = 1000

// List tells of the children of a node, in no order that means anything. They come page by
// page, so a list of any length takes little memory: a node that is there from the first page
// to the last is told once, of others there may be none or one. All of a page is of one instant,
// and so is a list of up to 1,000 children, unless its slot is shared with much else (a page looks at
// 4,096 nodes, of 4 MiB with their values). An error ends it. Servers read each node for it: where names will
// do, Names costs less.
func (t *Tree) List(ctx context.Context, path string) iter.Seq2[Child, error] {
	return pages(ctx, t, path, tree.ListPage, func(n wire.TreeNode) Child {
		c := Child{Path: tree.Join(path, n.Name), Name: n.Name, MayHaveChildren: n.HasRecord}
		c.Stat.fromNode(&n)
		return c
	})
}

// Names is List of the children's names alone. Servers have those of directories that are listed often in
// memory, and tell them also while nodes are being set.
func (t *Tree) Names(ctx context.Context, path string) iter.Seq2[string, error] {
	page := func(ask tree.Ask, dir string, cursor []byte, limit int) ([]string, []byte, error) {
		names, _, next, err := tree.NamesPage(ask, dir, cursor, limit)
		return names, next, err
	}
	return pages(ctx, t, path, page, func(name string) string { return name })
}

// pages tells of what is on the pages of a list.
func pages[N, T any](ctx context.Context, t *Tree, path string, page func(ask tree.Ask, dir string, cursor []byte, limit int) ([]N, []byte, error), told func(N) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		name := fmt.Sprintf("list %.200q", path)
		if err := check(path, nil); err != nil {
			yield(none, failed(name, err))
			return
		}
		var cursor []byte
		for {
			some, next, err := page(t.ask(ctx, name), path, cursor, listPage)
			if err != nil {
				yield(none, failed(name, err))
				return
			}
			for _, n := range some {
				if !yield(told(n), nil) {
					return
				}
			}
			if cursor = next; len(cursor) == 0 {
				return
			}
		}
	}
}

// Walk tells of all nodes below one, each before its own children. Those that go meanwhile
// are left out.
func (t *Tree) Walk(ctx context.Context, path string) iter.Seq2[Child, error] {
	return func(yield func(Child, error) bool) { t.walk(ctx, path, true, yield) }
}

func (t *Tree) walk(ctx context.Context, path string, top bool, yield func(Child, error) bool) bool {
	for c, err := range t.List(ctx, path) {
		switch {
		case errors.Is(err, ErrNoNode) && !top:
			return true
		case !yield(c, err) || err != nil:
			return false
		case c.MayHaveChildren && !t.walk(ctx, c.Path, false, yield):
			return false
		}
	}
	return true
}

// removersMax is how many removals of a RemoveAll are under way at a time, beside the first.
const removersMax = 8

// RemoveAll removes a node and all below it, from the bottom up: it is many removals, not one.
// At every moment, and wherever it fails, what is left is whole: no node is without its
// parent. Nodes that others create below meanwhile go too, as long as it finds any. removed, if
// not nil, is told how many nodes are gone so far, by one goroutine at a time. A node that is
// absent is ErrNoNode.
func (t *Tree) RemoveAll(ctx context.Context, path string, removed func(nodes int)) error {
	r := &remover{t: t, told: removed, free: make(chan struct{}, removersMax)}
	return r.all(ctx, path)
}

// remover is a RemoveAll.
type remover struct {
	t    *Tree
	free chan struct{}

	mu    sync.Mutex
	count int
	told  func(int)
}

func (r *remover) gone(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count += n
	if r.told != nil {
		r.told(r.count)
	}
}

// all removes a node and what is below it. Others may create there: it goes on while it finds
// children.
func (r *remover) all(ctx context.Context, path string) error {
	for {
		err := r.t.Remove(ctx, path, Always())
		if err == nil {
			r.gone(1)
		}
		if !errors.Is(err, ErrNotEmpty) {
			return err
		}
		if err := r.below(ctx, path); err != nil && !errors.Is(err, ErrNoNode) {
			return err
		}
	}
}

// below removes the children of a node: those that never had any many at a time.
func (r *remover) below(ctx context.Context, path string) error {
	var running sync.WaitGroup
	var mu sync.Mutex
	var failure error
	note := func(err error) {
		if err != nil && !errors.Is(err, ErrNoNode) {
			mu.Lock()
			failure = errors.Join(failure, err)
			mu.Unlock()
		}
	}
	var leaves []wire.TreeItem
	flush := func() {
		items := leaves
		leaves = nil
		r.spread(&running, func() { note(r.leaves(ctx, path, items)) })
	}
	for c, err := range r.t.List(ctx, path) {
		if err != nil {
			note(err)
			break
		}
		if !c.MayHaveChildren {
			if leaves = append(leaves, wire.TreeItem{Kind: wire.TreeRemove, Name: c.Name, DataVersion: -1}); len(leaves) == removeAtOnce {
				flush()
			}
			continue
		}
		r.spread(&running, func() { note(r.all(ctx, c.Path)) })
	}
	if len(leaves) > 0 {
		flush()
	}
	running.Wait()
	return failure
}

// spread lets somebody do a share of the work, or does it itself: all may be busy with waiting
// for what is below.
func (r *remover) spread(running *sync.WaitGroup, share func()) {
	select {
	case r.free <- struct{}{}:
		running.Go(func() {
			defer func() { <-r.free }()
			share()
		})
	default:
		share()
	}
}

// removeAtOnce is how many nodes are removed as one.
const removeAtOnce = 50

// leaves removes nodes as one; where one of them is gone, or has children by now, one by one.
func (r *remover) leaves(ctx context.Context, path string, items []wire.TreeItem) error {
	name := fmt.Sprintf("remove below %.200q", path)
	_, _, err := tree.Change(r.t.ask(ctx, name), path, items)
	if err == nil {
		r.gone(len(items))
		return nil
	}
	if !errors.Is(err, ErrNoNode) && !errors.Is(err, ErrHadChild) {
		return failed(name, err)
	}
	for i := range items {
		if err := r.all(ctx, tree.Join(path, items[i].Name)); err != nil && !errors.Is(err, ErrNoNode) {
			return err
		}
	}
	return nil
}
