package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"time"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Info is what is known of a file or a directory. It is an fs.FileInfo.
type Info struct {
	Path       string
	Bytes      int64
	Dir        bool
	Created    client.Version // never that of another file at this path
	Modified   client.Version // of the last change
	CreatedAt  time.Time      // by a server's clock
	ModifiedAt time.Time
	Version    int64  // how often it was changed since it was created
	Owner      uint64 // client.Session.ID of the session that it goes with; 0: none
	Attributes Attributes
	Records    bool // of records: package record appends to it and reads it
}

// Name is the last name of the path.
func (i Info) Name() string { return path.Base(i.Path) }

// Size is the length in bytes, 0 of a directory.
func (i Info) Size() int64 { return i.Bytes }

// Mode is one that anybody may read; there are no permissions.
func (i Info) Mode() fs.FileMode {
	if i.Dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// ModTime is ModifiedAt.
func (i Info) ModTime() time.Time { return i.ModifiedAt }

// IsDir is Dir.
func (i Info) IsDir() bool { return i.Dir }

// Sys is nil.
func (i Info) Sys() any { return nil }

// infoOf makes an Info of a node. One that package tree made is a directory if it may have children,
// or has no value; else its value is the file.
func infoOf(path string, n *wire.TreeNode) Info {
	i := Info{Path: path, Created: client.Version(n.ID), Modified: client.Version(n.Modified), CreatedAt: moment(n.Created), ModifiedAt: moment(n.ModifiedAt),
		Version: n.DataVersion, Owner: n.Owner}
	switch {
	case path == Root || !n.File && (n.HasRecord || n.ValueBytes == 0):
		i.Dir = true
	case n.File && n.Content != wire.TreeVersion{}:
		i.Bytes = n.Size
	default:
		i.Bytes = int64(n.ValueBytes)
	}
	i.Records = n.File && n.Content != wire.TreeVersion{} && n.ValueBytes == len(tree.RecordEntry) // no manifest is that short
	i.Attributes, _ = decodeAttributes(n.Attributes)                                               // none in lists where another build wrote them
	return i
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// entry is a file as its entry has it.
type entry struct {
	Info
	node     *wire.TreeNode
	home     uint16
	manifest *manifest // nil: the node's value is the file
}

// homeOf is the slot of a directory, where the contents are of its files.
func homeOf(dir string) uint16 {
	q := wire.TreeRequest{Dir: dir}
	return q.Slot()
}

// entry reads that of a file, or of a directory.
func (o *op) entry(path string) (*entry, error) {
	if err := tree.Check(path); err != nil {
		return nil, err
	}
	n, err := tree.Get(o.ask, path)
	if err != nil {
		return nil, err
	}
	return o.entryOf(path, n)
}

// entryOf is that of a node.
func (o *op) entryOf(path string, n *wire.TreeNode) (e *entry, err error) {
	dir, _ := tree.Split(path)
	e = &entry{Info: infoOf(path, n), node: n, home: homeOf(dir)}
	if !e.Dir && !e.Records && n.File && n.Content != (wire.TreeVersion{}) {
		e.manifest, err = decodeManifest(n.Value, n.Size)
	}
	if err == nil {
		_, err = decodeAttributes(n.Attributes)
	}
	return e, err
}

// file is entry, of a file.
func (o *op) file(path string) (*entry, error) {
	e, err := o.entry(path)
	if err == nil && e.Dir {
		err = ErrIsDirectory
	}
	if err == nil && e.Records {
		err = ErrIsRecords
	}
	return e, err
}

// Stat tells of a file or a directory.
func (f *FS) Stat(ctx context.Context, path string) (Info, error) {
	o := f.op(ctx, "stat", path)
	e, err := o.entry(path)
	if err != nil {
		return Info{}, o.failed(err)
	}
	return e.Info, nil
}

// Details is what is known of how a file is stored.
type Details struct {
	Info
	ChunkBytes int64  // 0: the file has no chunks, its bytes are in its entry
	Chunks     int64  // without holes
	Holes      int64  // chunks that nobody has written, and that read as zeros
	Sum        uint64 // the xxhash64 of a file without chunks; else the sum of that of all chunks, each seeded with its number in the file, or in the part that Concat made it of
	Extents    []Extent
	home       uint16
}

// Extent is a run of a file's chunks.
type Extent struct {
	Content client.Version // who began it: the version of the step
	Hole    bool
	First   int64 // index of the first in the content
	Count   int64
}

// Slots tells of each chunk that is stored the slot that places it.
func (d *Details) Slots() iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		for _, e := range d.Extents {
			for i := int64(0); i < e.Count && !e.Hole; i++ {
				c := wire.Chunk{Content: wire.Content{Home: d.home, Version: wire.TreeVersion(e.Content)}, Index: uint32(e.First + i)}
				if !yield(c.Slot()) {
					return
				}
			}
		}
	}
}

// Piece is what servers keep copies of, of a file: its entry, or a chunk.
type Piece struct {
	Chunk int64  // its number in the file; -1: the entry
	Slot  uint16 // that places it
	Name  []byte // for admin.Server.Look
}

// Pieces tells of all that is stored of a file, the entry first.
func (d *Details) Pieces() iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		dir, name := tree.Split(d.Path)
		if !yield(Piece{-1, d.home, wire.AppendLookRequest(nil, &wire.LookRequest{Dir: dir, Name: name})}) {
			return
		}
		k := int64(0)
		for _, e := range d.Extents {
			for i := int64(0); i < e.Count && !e.Hole; i++ {
				c := wire.Chunk{Content: wire.Content{Home: d.home, Version: wire.TreeVersion(e.Content)}, Index: uint32(e.First + i)}
				if !yield(Piece{k + i, c.Slot(), wire.AppendLookRequest(nil, &wire.LookRequest{Chunk: c})}) {
					return
				}
			}
			k += e.Count
		}
	}
}

// Describe tells how a file is stored.
func (f *FS) Describe(ctx context.Context, path string) (Details, error) {
	o := f.op(ctx, "stat", path)
	e, err := o.entry(path)
	if err != nil {
		return Details{}, o.failed(err)
	}
	d := Details{Info: e.Info, home: e.home}
	if e.manifest == nil {
		if !e.Dir {
			d.Sum = chunkSum(0, e.node.Value)
		}
		return d, nil
	}
	d.ChunkBytes, d.Sum = e.manifest.chunkSize, e.manifest.sum
	for _, x := range e.manifest.extents {
		if x.hole {
			d.Holes += x.count
		} else {
			d.Chunks += x.count
		}
		d.Extents = append(d.Extents, Extent{Content: client.Version(e.contentOf(x)), Hole: x.hole, First: x.first, Count: x.count})
	}
	return d, nil
}

// contentOf is the content that an extent's chunks are of.
func (e *entry) contentOf(x extent) wire.TreeVersion {
	if x.content == (wire.TreeVersion{}) && !x.hole {
		return e.node.Content
	}
	return x.content
}

// listPage is how many nodes are asked for at a time.
const listPage = 1000

// List tells of what is in a directory, in no order that means anything, page by page, as
// tree.Tree.List does. A file in place of the directory is ErrNotDirectory. An error ends it.
func (f *FS) List(ctx context.Context, path string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		o := f.op(ctx, "list", path)
		e, err := o.entry(path)
		if err == nil && !e.Dir {
			err = ErrNotDirectory
		}
		var cursor []byte
		for {
			var nodes []wire.TreeNode
			if err == nil {
				nodes, cursor, err = tree.ListPage(o.ask, path, cursor, listPage)
			}
			if err != nil {
				yield(Info{}, o.failed(err))
				return
			}
			for i := range nodes {
				if !yield(infoOf(tree.Join(path, nodes[i].Name), &nodes[i]), nil) {
					return
				}
			}
			if len(cursor) == 0 {
				return
			}
		}
	}
}

// Walk tells of all that is below a directory, each directory before what is in it. What goes
// meanwhile is left out.
func (f *FS) Walk(ctx context.Context, path string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) { f.walk(ctx, path, true, yield) }
}

func (f *FS) walk(ctx context.Context, path string, top bool, yield func(Info, error) bool) bool {
	for i, err := range f.List(ctx, path) {
		switch {
		case !top && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotDirectory)):
			return true
		case !yield(i, err) || err != nil:
			return false
		case i.Dir && !f.walk(ctx, i.Path, false, yield):
			return false
		}
	}
	return true
}

// inDirectory looks whether a file may be created at a path: its parent must be a directory. It is
// not one step with the creation: where somebody puts a file in place of the directory in
// between, that file gets a child.
func (o *op) inDirectory(path string) error {
	dir, _ := tree.Split(path)
	if dir == "" {
		return nil // the root
	}
	return o.isDirectory(dir)
}

// isDirectory is nil of a directory that is there.
func (o *op) isDirectory(path string) error {
	e, err := o.entry(path)
	switch {
	case errors.Is(err, tree.ErrNoNode):
		return tree.ErrNoParent
	case err == nil && !e.Dir:
		return fmt.Errorf("%s %w", path, ErrNotDirectory)
	}
	return err
}

// Mkdir creates a directory. One that exists, or a file in its place, is fs.ErrExist.
func (f *FS) Mkdir(ctx context.Context, path string) error {
	o := f.op(ctx, "mkdir", path)
	return o.failed(o.mkdir(path))
}

func (o *op) mkdir(path string) error {
	err := tree.Check(path)
	if err == nil && path == Root {
		err = tree.ErrNodeExists
	}
	if err == nil {
		err = o.inDirectory(path)
	}
	if err == nil {
		dir, name := tree.Split(path)
		_, _, err = tree.Change(o.ask, dir, []wire.TreeItem{{Kind: wire.TreeCreate, Name: name}})
	}
	return err
}

// MkdirAll creates a directory and those above it that are missing, one by one. One that exists
// is left as it is; a file in the place of one is ErrNotDirectory.
func (f *FS) MkdirAll(ctx context.Context, path string) error {
	o := f.op(ctx, "mkdir", path)
	return o.failed(o.mkdirAll(path))
}

func (o *op) mkdirAll(path string) error {
	for range attemptsMax {
		e, err := o.entry(path)
		switch {
		case err == nil && !e.Dir:
			return fmt.Errorf("%s %w", path, ErrNotDirectory)
		case !errors.Is(err, tree.ErrNoNode):
			return err
		}
		err = o.mkdir(path)
		if errors.Is(err, tree.ErrNoParent) {
			dir, _ := tree.Split(path)
			if err = o.mkdirAll(dir); err == nil {
				continue
			}
		}
		if !errors.Is(err, tree.ErrNodeExists) {
			return err
		}
	}
	return ErrContended
}

// Remove removes a file, or a directory that is empty.
func (f *FS) Remove(ctx context.Context, path string) error {
	return f.remove(ctx, path, tree.Always)
}

// RemoveIf removes a file that was last changed at that Info.Modified; else it does nothing and
// fails with ErrChanged.
func (f *FS) RemoveIf(ctx context.Context, path string, modified client.Version) error {
	return f.remove(ctx, path, tree.Condition{DataVersion: -1, Modified: wire.TreeVersion(modified)})
}

func (f *FS) remove(ctx context.Context, path string, when tree.Condition) error {
	o := f.op(ctx, "remove", path)
	err := tree.Check(path)
	if err == nil && path == Root {
		err = fmt.Errorf("%w: the root is not removed", ErrBadPath)
	}
	if err == nil {
		err = tree.Remove(o.ask, path, when)
	}
	return o.failed(err)
}

// removeAtOnce is how many files are removed as one.
const removeAtOnce = 50

// RemoveAll removes a file or a directory and all that is below it, from the bottom up, as
// tree.Tree.RemoveAll does: wherever it fails, what is left is whole. removed, if not nil, is told
// how many are gone so far.
func (f *FS) RemoveAll(ctx context.Context, path string, removed func(n int)) error {
	total := 0
	return f.removeAll(ctx, path, func(n int) {
		if total += n; removed != nil {
			removed(total)
		}
	})
}

func (f *FS) removeAll(ctx context.Context, path string, gone func(int)) error {
	for {
		err := f.Remove(ctx, path)
		if err == nil {
			gone(1)
		}
		if !errors.Is(err, ErrNotEmpty) {
			return err
		}
		if err := f.removeBelow(ctx, path, gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// removeBelow removes what is in a directory: nodes that never had children many at a time.
func (f *FS) removeBelow(ctx context.Context, path string, gone func(int)) error {
	o := f.op(ctx, "remove below", path)
	var cursor []byte
	for {
		nodes, next, err := tree.ListPage(o.ask, path, cursor, removeAtOnce)
		if err != nil {
			return o.failed(err)
		}
		var leaves []wire.TreeItem
		var others []string
		for i := range nodes {
			if nodes[i].HasRecord {
				others = append(others, nodes[i].Name)
			} else {
				leaves = append(leaves, wire.TreeItem{Kind: wire.TreeRemove, Name: nodes[i].Name, DataVersion: -1})
			}
		}
		if len(leaves) > 0 {
			_, _, err = tree.Change(o.ask, path, leaves)
			switch {
			case err == nil:
				gone(len(leaves))
			case errors.Is(err, tree.ErrNoNode) || errors.Is(err, tree.ErrHadChild): // one of them: one by one
				for i := range leaves {
					others = append(others, leaves[i].Name)
				}
			default:
				return o.failed(err)
			}
		}
		for _, name := range others {
			if err := f.removeAll(ctx, tree.Join(path, name), gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if cursor = next; len(cursor) == 0 {
			return nil
		}
	}
}
