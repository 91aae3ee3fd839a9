package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// PutOptions change what Put does. The zero value is fine.
type PutOptions struct {
	// IfAbsent: only if nothing is at the path; else fs.ErrExist.
	IfAbsent bool
	// IfModified: only if the file was last changed at that Info.Modified; else ErrChanged.
	IfModified client.Version
	// Parents creates the directories above that are missing.
	Parents bool
	// ChunkBytes is the length of the file's chunks; 0 stands for 1 MiB.
	ChunkBytes int64
	// Written, if not nil, is told how many bytes were read so far.
	Written func(bytes int64)
	// Seal, if not nil, is called once all bytes were read, before anything is seen of the file, with its path and
	// length, and returns the attributes that it is to have. Its error ends the put, and nothing is
	// changed. Of a copy it is told the attributes and the last change that the other file has.
	Seal func(Info) (Attributes, error)
	// Part, if not nil, is called by Concat with what each part was found to be, in order; its error ends
	// the put, and nothing is changed.
	Part func(i int, part Info) error
}

func (p *PutOptions) check() error {
	switch {
	case p.ChunkBytes != 0 && (p.ChunkBytes < ChunkBytesMin || p.ChunkBytes > ChunkBytesMax):
		return fmt.Errorf("%w: chunks have %d to %d bytes, not %d", client.ErrRefused, ChunkBytesMin, ChunkBytesMax, p.ChunkBytes)
	case p.IfAbsent && p.IfModified != client.Version{}:
		return fmt.Errorf("%w: a file can't be absent and at a version", client.ErrRefused)
	}
	return nil
}

// Put makes what r gives, to its end, the file at a path: of any length, in memory for a few
// chunks. The old file, if there is one, stays until all is stored, and is replaced at one instant;
// where Put fails it stays. Only with client.ErrUnknownOutcome, where nobody could be asked
// what came of that, it is one or the other. Of the Info only the path, Bytes, Attributes and Modified are told; Modified is zero
// where the file was replaced again before its version could be told.
func (f *FS) Put(ctx context.Context, path string, r io.Reader, opts PutOptions) (Info, error) {
	o := f.op(ctx, "put", path)
	if err := o.mayPut(path, &opts); err != nil {
		return Info{}, o.failed(err)
	}
	w := when{absent: opts.IfAbsent, modified: wire.TreeVersion(opts.IfModified)}
	r = input{r}
	if opts.Written != nil {
		r = &teller{r: r, told: opts.Written}
	}
	head := make([]byte, f.inline+1)
	n, err := io.ReadFull(r, head)
	head = head[:n]
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		info, err := o.putInline(path, head, w, opts.Seal)
		return info, o.failed(err)
	case err != nil:
		return Info{}, o.failed(fmt.Errorf("read what is to be written: %w", err))
	}
	b := o.build(homeOfFile(path), opts.ChunkBytes, opts.Seal)
	defer b.close()
	err = b.stream(io.MultiReader(bytes.NewReader(head), r))
	if err != nil {
		return Info{}, o.failed(err)
	}
	info, err := b.commit(path, w)
	return info, o.failed(err)
}

// homeOfFile is where a file's content is.
func homeOfFile(path string) uint16 {
	dir, _ := tree.Split(path)
	return homeOf(dir)
}

// teller counts what is read.
type teller struct {
	r    io.Reader
	n    int64
	told func(int64)
}

func (t *teller) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if t.n += int64(n); n > 0 {
		t.told(t.n)
	}
	return n, err
}

// mayPut looks, before anything is sent, whether a file may be put at a path.
func (o *op) mayPut(path string, opts *PutOptions) error {
	if err := errors.Join(tree.Check(path), opts.check()); err != nil {
		return err
	}
	e, err := o.entry(path)
	switch {
	case errors.Is(err, tree.ErrNoNode) && opts.IfModified != client.Version{}:
		return err
	case errors.Is(err, tree.ErrNoNode):
		o.nothing = true
		err := o.inDirectory(path)
		if errors.Is(err, tree.ErrNoParent) && opts.Parents {
			dir, _ := tree.Split(path)
			return o.mkdirAll(dir)
		}
		return err
	case e == nil:
		return err
	case e.Dir:
		return ErrIsDirectory
	case e.Records:
		return ErrIsRecords
	case opts.IfAbsent:
		return tree.ErrNodeExists
	case e.Owner != 0:
		return ErrSession
	case opts.IfModified != client.Version{} && opts.IfModified != e.Modified:
		return ErrChanged
	}
	return nil
}

func (o *op) putInline(path string, value []byte, w when, s sealer) (Info, error) {
	info := Info{Path: path, Bytes: int64(len(value))}
	raw, err := s.seal(&info)
	if err != nil {
		return Info{}, err
	}
	v, err := o.commit(path, wire.TreeItem{Value: value, Size: info.Bytes, Attributes: raw}, w, nil)
	if err != nil {
		return Info{}, err
	}
	info.Modified = client.Version(v)
	return info, nil
}

// builder makes a new file, chunk by chunk, of new bytes and of chunks of an old file.
type builder struct {
	*op
	home      uint16
	c         *content // nil until a chunk of its own is stored
	m         manifest
	size      int64
	chunks    int64 // so far
	seal      sealer
	committed bool
}

func (o *op) build(home uint16, chunkSize int64, s sealer) *builder {
	if chunkSize == 0 {
		chunkSize = o.f.chunk
	}
	return &builder{op: o, home: home, m: manifest{chunkSize: chunkSize}, seal: s}
}

// close gives up what was not committed.
func (b *builder) close() {
	if b.c == nil {
		return
	}
	b.c.close()
	if !b.committed {
		_, _ = b.c.giveUp() // else servers find out
	}
}

// begin begins the content, once.
func (b *builder) begin() (err error) {
	if b.c == nil {
		b.c, err = b.op.begin(b.home, b.m.chunkSize, firstReserved)
	}
	return err
}

// buffer returns one for the next chunk of its own.
func (b *builder) buffer() ([]byte, error) {
	if err := b.begin(); err != nil {
		return nil, err
	}
	return b.c.buffer()
}

// put makes new bytes the file's next chunk. They are a buffer's.
func (b *builder) put(p []byte) error {
	b.m.sum += chunkSum(b.m.seed(b.chunks), p)
	b.size += int64(len(p))
	if b.chunks == chunksMax {
		b.c.giveBack(p)
		return fmt.Errorf("%w: more than %d chunks of %d bytes", client.ErrTooLarge, int64(chunksMax), b.m.chunkSize)
	}
	index, err := b.c.put(p)
	if err == nil {
		b.m.add(extent{first: index, count: 1})
		b.chunks++
	}
	return err
}

// stream makes all that r gives the file's next chunks.
func (b *builder) stream(r io.Reader) error {
	for {
		p, err := b.buffer()
		if err != nil {
			return err
		}
		n, err := io.ReadFull(r, p)
		if n > 0 {
			if err := b.put(p[:n]); err != nil {
				return err
			}
		} else {
			b.c.giveBack(p)
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return nil
		case err != nil:
			return fmt.Errorf("read what is to be written: %w", err)
		}
	}
}

// commit makes what was built the file at a path.
func (b *builder) commit(path string, w when) (Info, error) {
	if err := b.begin(); err != nil { // also one of which all chunks are others': it has a content, which holds them
		return Info{}, err
	}
	if err := b.c.wait(); err != nil {
		return Info{}, err
	}
	for n := len(b.m.starts); n > 0 && b.m.starts[n-1] >= b.chunks; n-- { // it is shorter now
		b.m.starts = b.m.starts[:n-1]
	}
	info := Info{Path: path, Bytes: b.size}
	raw, err := b.seal.seal(&info)
	if err != nil {
		return Info{}, err
	}
	body := wire.TreeItem{Value: b.m.encode(), Content: b.c.version, Size: b.size, Owners: b.m.owners(), Attributes: raw}
	v, err := b.op.commit(path, body, w, b.c)
	if err != nil {
		return Info{}, err
	}
	b.committed = true
	info.Modified = client.Version(v)
	return info, nil
}
