package record

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"viewring/internal/tree"
	"viewring/internal/wire"
)

// groupNodes are the nodes of a group, by chunk.
type groupNodes struct {
	names      []string
	held, done map[uint32]bool
}

// chunkOf is the chunk that a node of a group is about.
func chunkOf(name string) (uint32, bool) {
	name = strings.TrimSuffix(strings.TrimSuffix(name, doneSuffix), heldSuffix)
	n, err := strconv.ParseUint(name, 10, 32)
	return uint32(n), err == nil && partName(uint32(n)) == name
}

func (g *Group) nodes(o *op) (*groupNodes, error) {
	names, err := o.names(g.path)
	if err != nil {
		return nil, err
	}
	n := &groupNodes{names: names, held: make(map[uint32]bool), done: make(map[uint32]bool)}
	for _, name := range names {
		k, ok := chunkOf(name)
		switch {
		case !ok:
		case strings.HasSuffix(name, heldSuffix):
			n.held[k] = true
		case strings.HasSuffix(name, doneSuffix):
			n.done[k] = true
		}
	}
	return n, nil
}

// claim takes the first chunk that nobody reads and that was not read whole; nil where there is none. On the way what the group can go past
// is left behind, and what of it nobody had read is told.
func (g *Group) claim(o *op, yield func(Entry, error) bool) (*turn, error) {
	floor, err := g.advance(o, yield)
	if err != nil {
		return nil, err
	}
	nodes, err := g.nodes(o)
	if err != nil {
		return nil, err
	}
	for k := floor.Chunk; ; k++ {
		for nodes.held[k] || nodes.done[k] {
			k++
		}
		index, head, _, err := g.f.records(o).FirstFrom(k)
		if err != nil || head == nil {
			return nil, err
		}
		if k = index; nodes.held[k] || nodes.done[k] {
			continue
		}
		t, err := g.take(o, floor, k, head)
		if err != nil || t != nil {
			return t, err
		}
	}
}

// take makes a chunk this member's; nil where another one was faster. From its change on, a member that had it and was taken for
// dead can commit nothing more.
func (g *Group) take(o *op, floor place, k uint32, head *wire.RecordHead) (*turn, error) {
	name := partName(k)
	part := wire.TreeItem{Kind: wire.TreeCreate, Name: name}
	value := place{Kind: kindPart, Nonce: g.nonce, Chunk: k, First: head.First, Next: head.First}
	if k == floor.Chunk {
		value.First, value.Next = max(head.First, floor.Next), max(head.First, floor.Next)
	}
	before, err := o.getPlace(tree.Join(g.path, name))
	switch {
	case err == nil:
		value.First, value.Next = before.value.First, before.value.Next
		part.Kind, part.DataVersion, part.Modified = wire.TreeSet, -1, before.at
	case !errors.Is(err, tree.ErrNoNode):
		return nil, err
	}
	part.Value = value.encode()
	p, _, err := tree.Change(o.ask, g.path, []wire.TreeItem{{Kind: wire.TreeCreate, Name: name + heldSuffix, Owner: g.session.ID(), Value: []byte(g.member)}, part})
	switch {
	case errors.Is(err, tree.ErrNoParent):
		return nil, ErrNoReader
	case errors.Is(err, tree.ErrNodeExists), errors.Is(err, tree.ErrBadVersion), errors.Is(err, tree.ErrNoNode):
		return nil, nil
	case err != nil:
		return nil, err
	}
	t := &turn{chunk: k, at: &held{path: tree.Join(g.path, name), value: value, at: p.Version}, read: value.Next}
	was, err := g.wasRead(o, k)
	if err != nil {
		return nil, err
	}
	if was { // between the look at the nodes and the change
		return nil, g.letGo(o, t)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begun++
	t.number = g.begun
	g.turns = append(g.turns, t)
	return t, nil
}

// wasRead reports whether a chunk was read whole. A node that says so goes only once the group has gone past it: so it is looked for first.
func (g *Group) wasRead(o *op, k uint32) (bool, error) {
	_, err := tree.Head(o.ask, tree.Join(g.path, partName(k)+doneSuffix))
	if err == nil || !errors.Is(err, tree.ErrNoNode) {
		return err == nil, err
	}
	h, err := o.getPlace(g.path)
	if errors.Is(err, tree.ErrNoNode) {
		return false, ErrNoReader
	}
	return err == nil && h.value.Chunk > k, err
}

// letGo takes a claim back.
func (g *Group) letGo(o *op, t *turn) error {
	name := partName(t.chunk)
	_, _, err := tree.Change(o.ask, g.path, []wire.TreeItem{
		{Kind: wire.TreeRemove, Name: name, DataVersion: -1, Modified: t.at.at},
		{Kind: wire.TreeRemove, Name: name + heldSuffix, DataVersion: -1},
	})
	if errors.Is(err, tree.ErrNoNode) || errors.Is(err, tree.ErrNoParent) {
		return nil
	}
	return err
}

// advance moves the group past chunks that were read, and those that are not kept any more, and returns where it is then. What nobody
// had read of these is told before the group goes past it: once at least.
func (g *Group) advance(o *op, yield func(Entry, error) bool) (place, error) {
	for range placeTries {
		h, err := o.getPlace(g.path)
		if errors.Is(err, tree.ErrNoNode) {
			return place{}, ErrNoReader
		}
		if err != nil {
			return place{}, err
		}
		nodes, err := g.nodes(o)
		if err != nil {
			return place{}, err
		}
		k, done := h.value.Chunk, nodes.done[h.value.Chunk]
		if done {
			k++
		}
		index, head, retired, err := g.f.records(o).FirstFrom(k)
		if err != nil || head == nil || index == h.value.Chunk {
			return h.value, err
		}
		if err := g.missed(o, nodes, h.value, index, head.First, retired, yield); err != nil {
			return place{}, err
		}
		next := h.value
		next.Chunk, next.Next, next.Nonce = index, head.First, g.nonce
		switch err := o.set(h, next); {
		case errors.Is(err, ErrNotReader): // another member was faster
			continue
		case err != nil:
			return place{}, err
		}
		g.clean(o, nodes, index)
	}
	return place{}, tree.ErrContended
}

// missed tells what nobody has read from where the group is to a chunk, whose first record has that number.
func (g *Group) missed(o *op, nodes *groupNodes, at place, to uint32, first int64, retired bool, yield func(Entry, error) bool) error {
	tell := func(from, to int64) error {
		if from >= to {
			return nil
		}
		g.mu.Lock()
		e := Entry{Place: from, Lost: to - from, Retired: retired, turn: g.begun, between: true}
		g.mu.Unlock()
		if !yield(e, nil) {
			return errStopped
		}
		return nil
	}
	next := at.Next
	names := slices.Sorted(slices.Values(nodes.names))
	for _, name := range names {
		k, ok := chunkOf(name)
		if !ok || k < at.Chunk || k >= to || strings.HasSuffix(name, heldSuffix) {
			continue
		}
		part, err := o.getPlace(tree.Join(g.path, name))
		if errors.Is(err, tree.ErrNoNode) {
			continue
		}
		if err == nil {
			err = tell(next, part.value.First)
		}
		if err != nil {
			return err
		}
		next = max(next, part.value.Next)
	}
	return tell(next, first)
}

// clean removes the nodes of chunks before one. What it can't remove the next one does.
func (g *Group) clean(o *op, nodes *groupNodes, before uint32) {
	for _, name := range nodes.names {
		if k, ok := chunkOf(name); ok && k < before {
			_ = tree.Remove(o.ask, tree.Join(g.path, name), tree.Always)
		}
	}
}
