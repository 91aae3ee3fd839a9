package backup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cespare/xxhash/v2"

	"viewring/client"
	"viewring/client/file"
	"viewring/internal/codec"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// pieceBytes bounds what is written of a file as one.
const pieceBytes = 1 << 20

var (
	// errGone: the bytes of a file are gone, since it was replaced or removed.
	errGone = errors.New("replaced while it was read")
	// errLost: bytes of a file can't be read of any server.
	errLost = errors.New("bytes are lost")
)

// body is a file that can be read; *file.File is one.
type body interface {
	io.WriterTo
	io.Closer
}

// nodeCopier writes down the nodes that a collector finds, with the bytes of files. One goroutine uses it.
type nodeCopier struct {
	open func(ctx context.Context, path string, n *wire.TreeNode) (body, error)
	base map[string]*stream // the record files of the run before, by path

	// Of the partition that is being copied.
	c         *collector
	start     Version             // all pages are later
	written   map[string]Version  // long files that may be told again: their last changes
	live      map[string]Version  // record files: their creations
	touched   map[string]struct{} // directories whose children changed
	ephemeral map[string]struct{} // paths
	reading   bool                // a file's bytes, while more is told
	tally     Tree
}

// openFile is a nodeCopier's open.
func (c *Cluster) openFile(ctx context.Context, path string, n *wire.TreeNode) (body, error) {
	return c.files.OpenEntry(ctx, path, n)
}

// begin begins a partition, or begins it anew.
func (n *nodeCopier) begin(c *collector, whole bool) {
	n.c, n.start, n.tally, n.reading = c, c.at, Tree{}, false
	n.written, n.live = make(map[string]Version), make(map[string]Version)
	n.touched, n.ephemeral = make(map[string]struct{}), make(map[string]struct{})
	if whole {
		return
	}
	for path, s := range n.base {
		n.live[path] = s.id
	}
}

// put writes down a node as it is, or its deletion. errGone and errLost say that the bytes of a file could not be written.
func (n *nodeCopier) put(ctx context.Context, x *record) error {
	dir, name := splitNode(x.name)
	path := pathOf(x.name)
	switch {
	case isLeftOut(path):
		return nil
	case name == "":
		return n.numbers(x)
	case x.kind != recordSet && dir != "":
		n.touched[dir] = struct{}{}
	}
	delete(n.live, path)
	delete(n.ephemeral, path)
	if x.kind == recordDeleted {
		return n.c.into.add(x)
	}
	w, err := wire.DecodeTreeNode(x.value)
	if err != nil {
		return fmt.Errorf("copy %.200q: %w", path, err)
	}
	if w.Owner != 0 { // what there was before it is gone, whether or not that is told
		n.ephemeral[path] = struct{}{}
		return n.c.into.add(&record{kind: recordDeleted, name: x.name, version: x.version})
	}
	out := nodeOf(&w)
	switch out.kind {
	case nodePlain:
		n.tally.Nodes++
	case nodeRecords:
		n.live[path] = out.id
	case nodeLong:
		if n.written[path] == Version(w.Modified) {
			return nil
		}
		if err := n.body(ctx, x, path, &w, &out); err != nil {
			return err
		}
		n.tally.Files++
		n.tally.FileBytes += uint64(out.size)
		if x.kind != recordSet || !x.version.Before(n.start) {
			n.written[path] = Version(w.Modified)
		}
	case nodeShort:
		n.tally.Files++
		n.tally.FileBytes += uint64(len(out.value))
	}
	return n.c.into.add(&record{kind: x.kind, name: x.name, version: x.version, value: out.encode()})
}

// numbers writes down the next number of a directory.
func (n *nodeCopier) numbers(x *record) error {
	if x.kind == recordDeleted {
		return nil
	}
	r := codec.NewReader(x.value)
	next := r.Varint()
	if err := r.Done(); err != nil || next < 0 {
		return fmt.Errorf("copy the numbers of %.200q: next is %d: %w", pathOf(x.name), next, errors.Join(err, codec.ErrMalformed))
	}
	out := node{kind: nodeNumbers, next: next}
	return n.c.into.add(&record{kind: x.kind, name: x.name, version: x.version, value: out.encode()})
}

// finish writes down the numbers of directories that may have given some. They are read now, and so are not lower than at
// the partition's instant.
func (n *nodeCopier) finish(ctx context.Context) error {
	for dir := range n.touched {
		key := []byte(dir + tree.Separator)
		got, err := n.c.from.Get(ctx, key)
		if errors.Is(err, client.ErrNotFound) {
			continue
		}
		if err == nil {
			err = n.numbers(&record{kind: recordChanged, name: key, version: Version{got.Term, got.Seq}, value: got.Value})
		}
		if err != nil {
			return err
		}
	}
	n.tally.Ephemeral = uint64(len(n.ephemeral))
	return nil
}

// body writes down the bytes of a long file, and notes their sum.
func (n *nodeCopier) body(ctx context.Context, x *record, path string, w *wire.TreeNode, out *node) error {
	if n.reading { // and this was told meanwhile
		return errGone
	}
	f, err := n.open(ctx, path, w)
	if err != nil {
		return unread(err)
	}
	defer f.Close() // read only
	n.reading = x.kind == recordSet
	defer func() { n.reading = false }()
	to := &bodyWriter{n: n, ctx: ctx, x: x}
	to.sum.Reset()
	_, err = f.WriteTo(to)
	switch {
	case err != nil:
		return unread(err)
	case to.size != out.size:
		return fmt.Errorf("copy %.200q: %d bytes came of %d", path, to.size, out.size)
	}
	out.sum = to.sum.Sum64()
	return nil
}

// unread says what it means that a file could not be read.
func unread(err error) error {
	switch {
	case errors.Is(err, file.ErrReplaced):
		return errGone
	case errors.Is(err, file.ErrLost), errors.Is(err, file.ErrChecksum), errors.Is(err, file.ErrUnreadable), errors.Is(err, client.ErrCorrupt):
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

// bodyWriter writes the bytes of a file, in pieces, and between them what is told meanwhile.
type bodyWriter struct {
	n    *nodeCopier
	ctx  context.Context
	x    *record
	size int64
	sum  xxhash.Digest
}

// Write implements io.Writer.
func (b *bodyWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		piece := p[:min(len(p), pieceBytes)]
		p = p[len(piece):]
		if err := b.n.c.into.add(&record{kind: recordBody, name: b.x.name, version: b.x.version, expiry: b.size, value: piece}); err != nil {
			return written, err
		}
		_, _ = b.sum.Write(piece) // never fails
		b.size += int64(len(piece))
		written += len(piece)
		if err := b.n.c.pace(b.ctx, len(piece)); err != nil {
			return written, err
		}
	}
	if b.n.reading { // else the watch would be left behind
		err = b.n.c.drain(b.ctx)
	}
	return written, err
}
