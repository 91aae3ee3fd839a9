package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Small is a short file, or a directory, as PutMany makes it.
type Small struct {
	Name       string // in the directory
	Dir        bool
	Bytes      []byte // up to SmallMax
	Attributes Attributes
}

// SmallMax is how many bytes a Small has at most.
const SmallMax = inlineMax

// Made is what became of a Small.
type Made struct {
	Created bool  // nothing was there before
	Err     error // as of Put, or of MkdirAll for a directory
}

// manyBytesMax is how many bytes of files are put by one step.
const manyBytesMax = 1 << 20

// PutMany puts short files in one directory, and makes directories in it, as many as can be by each step: what
// costs one file a step costs a hundred of them one. Each is put as by Put, and those of one step at one
// instant; there are as many outcomes, in the same order. A directory that is there is left as it is. Of the
// options only IfAbsent counts, for files.
func (f *FS) PutMany(ctx context.Context, dir string, some []Small, opts PutOptions) []Made {
	o := f.op(ctx, "put in", dir)
	made := make([]Made, len(some))
	m := &many{op: o, dir: dir, some: some, made: made, absent: opts.IfAbsent}
	items, err := m.items()
	if err == nil {
		err = o.isDirectory(dir)
	}
	for len(items) > 0 {
		n, bytes := 0, 0
		for n < len(items) && n < wire.TreeItemsMax && (n == 0 || bytes+len(items[n].Value) <= manyBytesMax) {
			bytes += len(items[n].Value)
			n++
		}
		if err == nil {
			err = m.step(items[:n])
		}
		if err != nil { // of all that are left: what one step meets meets the next
			m.fail(items, err)
			break
		}
		items = items[n:]
	}
	for i := range made {
		if err := made[i].Err; err != nil {
			made[i].Err = f.op(ctx, "put", tree.Join(dir, some[i].Name)).failed(err)
		}
	}
	return made
}

// many is a run of PutMany.
type many struct {
	*op
	dir    string
	some   []Small
	made   []Made
	absent bool
}

// manyItem is a change of one node, and which of the files it is.
type manyItem struct {
	wire.TreeItem
	i int
}

// items are the changes that make all of them, where nothing is there.
func (m *many) items() (items []manyItem, err error) {
	if err := tree.Check(m.dir); err != nil {
		for i := range m.made {
			m.made[i].Err = err
		}
		return nil, err
	}
	seen := map[string]bool{}
	for i := range m.some {
		s := &m.some[i]
		raw, err := s.Attributes.encode()
		switch {
		case err != nil:
		case seen[s.Name]:
			err = fmt.Errorf("%w: the name %q is there twice", client.ErrRefused, s.Name)
		case int64(len(s.Bytes)) > m.f.inline:
			err = fmt.Errorf("%w: %d bytes are no short file", client.ErrTooLarge, len(s.Bytes))
		default:
			if err = tree.CheckName(s.Name); err == nil {
				err = tree.Check(tree.Join(m.dir, s.Name))
			}
		}
		if m.made[i].Err = err; err != nil {
			continue
		}
		seen[s.Name] = true
		it := wire.TreeItem{Kind: wire.TreeCreate, Name: s.Name}
		if !s.Dir {
			it.File, it.Value, it.Size, it.Attributes = true, s.Bytes, int64(len(s.Bytes)), raw
		}
		items = append(items, manyItem{it, i})
	}
	return items, nil
}

func (m *many) fail(items []manyItem, err error) {
	for _, it := range items {
		m.made[it.i].Err = err
	}
}

// step makes some of them by one change. Its error is of all that are without an outcome then.
func (m *many) step(items []manyItem) error {
	for range attemptsMax {
		if len(items) == 0 {
			return nil
		}
		changes := make([]wire.TreeItem, len(items))
		for i := range items {
			changes[i] = items[i].TreeItem
		}
		_, _, err := tree.Change(m.ask, m.dir, changes)
		switch {
		case err == nil:
			for _, it := range items {
				m.made[it.i].Created = it.Kind == wire.TreeCreate
			}
			return nil
		case !errors.Is(err, tree.ErrNodeExists) && !errors.Is(err, tree.ErrNoNode) && !errors.Is(err, tree.ErrBadVersion):
			m.fail(items, err)
			if told := m.ctx.Err(); told != nil || errors.Is(err, tree.ErrNoParent) {
				return err
			}
			return nil
		}
		items = m.look(items)
	}
	m.fail(items, ErrContended)
	return nil
}

// look finds out what is there, and returns those that are still to be made.
func (m *many) look(items []manyItem) (left []manyItem) {
	there, errs := make([]*entry, len(items)), make([]error, len(items))
	var running sync.WaitGroup
	for w := range parallelMax {
		running.Go(func() {
			for i := w; i < len(items); i += parallelMax {
				there[i], errs[i] = m.entry(tree.Join(m.dir, items[i].Name))
			}
		})
	}
	running.Wait()
	for i, it := range items {
		e, err := there[i], errs[i]
		wanted := m.some[it.i].Dir
		switch {
		case errors.Is(err, tree.ErrNoNode):
			it.Kind, it.Modified, err = wire.TreeCreate, wire.TreeVersion{}, nil
			left = append(left, it)
		case e == nil:
		case wanted && e.Dir:
			err = nil
		case wanted:
			err = ErrNotDirectory
		case e.Dir:
			err = ErrIsDirectory
		case m.absent:
			err = fs.ErrExist
		case e.Owner != 0:
			err = ErrSession
		default: // also where the old one is not readable: it is replaced
			it.Kind, it.DataVersion, it.Modified, err = wire.TreeSet, -1, e.node.Modified, nil
			left = append(left, it)
		}
		m.made[it.i].Err = err
	}
	return left
}
