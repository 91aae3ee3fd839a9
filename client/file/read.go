package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"viewring/client"
	"viewring/internal/wire"
)

// chunk reads n bytes of the file's chunk k, from that offset in it.
func (o *op) chunk(e *entry, k, offset, n int64) ([]byte, error) {
	x := e.manifest.locate(k)
	if x.hole {
		return make([]byte, n), nil
	}
	c := wire.Chunk{Content: wire.Content{Home: e.home, Version: e.contentOf(x)}, Index: uint32(x.first)}
	p, err := o.f.store.Chunk(o.ctx, o.name, &wire.ChunkRequest{Op: wire.ChunkGet, Chunk: c, Offset: offset, Length: n})
	switch {
	case err != nil:
		return nil, err
	case p.Status == wire.DoNotFound:
		return nil, o.missing(e, k)
	case p.Status != wire.DoOK || int64(len(p.Value)) != n:
		return nil, fmt.Errorf("%w: chunk %d has %d bytes where %d should be (outcome %d)", ErrLost, k, len(p.Value), n, p.Status)
	}
	return p.Value, nil
}

// missing says why a chunk is not there.
func (o *op) missing(e *entry, k int64) error {
	content := e.manifest.locate(k).content
	if content == (wire.TreeVersion{}) {
		content = e.node.Content
	}
	p, err := o.ask(&wire.TreeRequest{Op: wire.TreeContent, Home: e.home, Nonce: content})
	switch {
	case err != nil:
		return err
	case p.Code == wire.TreeNoContent || p.Code == wire.TreeOK && p.Content.State == wire.ContentEnded:
		return ErrReplaced
	}
	return fmt.Errorf("%w: chunk %d of %d", ErrLost, k, chunksOf(e.Bytes, e.manifest.chunkSize))
}

// length is that of the file's chunk k.
func (e *entry) length(k int64) int64 {
	return min(e.manifest.chunkSize, e.Bytes-k*e.manifest.chunkSize)
}

// File is a file that is read. It reads the bytes that the file had when it was opened, also
// after it was replaced, for as long as this process is heard of at least once a minute. ReadAt
// may be used by any number of goroutines; what uses the offset, by one.
type File struct {
	o      *op
	e      *entry
	cancel context.CancelFunc
	offset int64

	mu     sync.Mutex
	closed bool
}

// OpenFile opens a file for reading. The context is that of all that is done with it. Close it.
func (f *FS) OpenFile(ctx context.Context, path string) (*File, error) {
	o := f.op(ctx, "read", path)
	file, err := o.open(path)
	return file, o.failed(err)
}

func (o *op) open(path string) (*File, error) {
	e, err := o.file(path)
	if err != nil {
		return nil, err
	}
	return o.reader(e), nil
}

func (o *op) reader(e *entry) *File {
	ctx, cancel := context.WithCancel(o.ctx)
	f := &File{o: o.within(ctx), e: e, cancel: cancel}
	if e.manifest != nil {
		go f.keep()
	}
	return f
}

// OpenEntry opens a file as its entry said, which need not be the newest: what was replaced can be read for a minute, and
// from then on while it is open. It is for who has read entries by other ways, such as backups.
func (f *FS) OpenEntry(ctx context.Context, path string, n *wire.TreeNode) (*File, error) {
	o := f.op(ctx, "read", path)
	e, err := o.entryOf(path, n)
	if err == nil && (e.Dir || e.Records) {
		err = fmt.Errorf("%w: it is no file", ErrUnreadable)
	}
	if err != nil {
		return nil, o.failed(err)
	}
	return o.reader(e), nil
}

// Stat tells of the file as it was opened.
func (f *File) Stat() (fs.FileInfo, error) {
	if f.isClosed() {
		return nil, fs.ErrClosed
	}
	return f.e.Info, nil
}

// Info is Stat.
func (f *File) Info() Info { return f.e.Info }

// Close ends the reading. What is under way fails.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	f.cancel()
	return nil
}

func (f *File) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// keep keeps the content from being deleted, until the file is closed.
func (f *File) keep() {
	tick := time.NewTicker(readTouchEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.o.ctx.Done():
			return
		case <-tick.C:
			// Where it fails the next may not; reads find out what is gone.
			_, _ = f.o.ask(&wire.TreeRequest{Op: wire.TreeTouch, Home: f.e.home, Nonce: f.e.node.Content})
		}
	}
}

// ReadAt is that of io.ReaderAt.
func (f *File) ReadAt(p []byte, offset int64) (n int, err error) {
	switch {
	case f.isClosed():
		return 0, f.o.failed(fs.ErrClosed)
	case offset < 0:
		return 0, f.o.failed(fmt.Errorf("%w: the offset is %d", fs.ErrInvalid, offset))
	case offset >= f.e.Bytes:
		return 0, io.EOF
	}
	if f.e.manifest == nil {
		n = copy(p, f.e.node.Value[offset:])
	}
	size := int64(0)
	if f.e.manifest != nil {
		size = f.e.manifest.chunkSize
	}
	for n < len(p) && offset+int64(n) < f.e.Bytes {
		at := offset + int64(n)
		k := at / size
		b, err := f.o.chunk(f.e, k, at%size, min(f.e.length(k)-at%size, int64(len(p)-n)))
		if err != nil {
			return n, f.o.failed(err)
		}
		n += copy(p[n:], b)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Read is that of io.Reader.
func (f *File) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.ReadAt(p, f.offset)
	f.offset += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Seek is that of io.Seeker. It may lead beyond the end, where reads are io.EOF.
func (f *File) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.offset
	case io.SeekEnd:
		offset += f.e.Bytes
	case io.SeekStart:
	default:
		return 0, f.o.failed(fmt.Errorf("%w: whence %d", fs.ErrInvalid, whence))
	}
	if offset < 0 {
		return 0, f.o.failed(fmt.Errorf("%w: the offset is %d", fs.ErrInvalid, offset))
	}
	f.offset = offset
	return offset, nil
}

// errWrite is an error of who is written to, and not of the store.
type errWrite struct{ error }

func (e errWrite) Unwrap() error { return e.error }

// WriteTo is that of io.WriterTo: several chunks are read at a time. From the beginning of the
// file it compares the checksum in the end: then all was written, and ErrChecksum says
// that it is not what the file should be.
func (f *File) WriteTo(w io.Writer) (int64, error) {
	if f.isClosed() {
		return 0, f.o.failed(fs.ErrClosed)
	}
	n, err := f.writeTo(w, f.offset, f.e.Bytes)
	f.offset += n
	var writing errWrite
	if errors.As(err, &writing) {
		return n, writing.error
	}
	return n, f.o.failed(err)
}

// piece is a chunk, or a part of it, that was read.
type piece struct {
	bytes []byte
	sum   uint64 // its chunkSum, if it is a whole chunk
	err   error
}

// read reads the bytes of a file that is kept in chunks from one offset to another, several chunks at
// a time, and passes them on in order.
func (o *op) read(e *entry, from, to int64, pass func(p *piece) error) error {
	ctx, cancel := context.WithCancel(o.ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	size := e.manifest.chunkSize
	line := make(chan chan piece, parallelMax-2) // one more is being passed on, one waits to be in line
	running.Go(func() {
		defer close(line)
		for k := from / size; k*size < to; k++ {
			one := make(chan piece, 1)
			select {
			case line <- one:
			case <-ctx.Done():
				return
			}
			running.Go(func() { one <- o.within(ctx).fetch(e, k, max(from-k*size, 0), min(to-k*size, e.length(k))) })
		}
	})
	for one := range line {
		p := <-one
		if p.err != nil {
			return p.err
		}
		if err := pass(&p); err != nil {
			return err
		}
	}
	return o.ctx.Err()
}

// fetch reads a part of a chunk.
func (o *op) fetch(e *entry, k, from, to int64) (p piece) {
	if p.bytes, p.err = o.chunk(e, k, from, to-from); p.err == nil && !e.manifest.locate(k).hole {
		p.sum = chunkSum(e.manifest.seed(k), p.bytes)
	}
	return p
}

// writeTo writes the bytes of the file from one offset to another.
func (f *File) writeTo(w io.Writer, from, to int64) (written int64, err error) {
	if from >= to {
		return 0, nil
	}
	if f.e.manifest == nil {
		return writeAll(w, f.e.node.Value[from:to])
	}
	var sum uint64
	err = f.o.read(f.e, from, to, func(p *piece) error {
		n, err := writeAll(w, p.bytes)
		written, sum = written+n, sum+p.sum
		return err
	})
	if err == nil && from == 0 && to == f.e.Bytes && sum != f.e.manifest.sum {
		err = fmt.Errorf("%w: %016x was read, %016x was written", ErrChecksum, sum, f.e.manifest.sum)
	}
	return written, err
}

func writeAll(w io.Writer, p []byte) (int64, error) {
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		err = errWrite{err}
	}
	return int64(n), err
}

// Get writes a file to w: that of one moment, whatever becomes of it meanwhile. Where it fails with
// ErrChecksum all of it was written. Where the file was replaced, and its bytes are gone, before any was
// written, it begins anew with the new one.
func (f *FS) Get(ctx context.Context, path string, w io.Writer) (Info, error) {
	return f.GetRange(ctx, path, w, 0, -1)
}

// GetRange is Get of up to length bytes from an offset on; a length below 0 stands for all of
// them. Beyond the end there are none. A part has no checksum of its own, beside those that the servers
// keep of each chunk.
func (f *FS) GetRange(ctx context.Context, path string, w io.Writer, offset, length int64) (Info, error) {
	o := f.op(ctx, "get", path)
	if offset < 0 {
		return Info{}, o.failed(fmt.Errorf("%w: the offset is %d", client.ErrRefused, offset))
	}
	for range attemptsMax {
		file, err := o.open(path)
		if err != nil {
			return Info{}, o.failed(err)
		}
		to := file.e.Bytes
		if length >= 0 && length < to-offset {
			to = offset + length
		}
		n, err := file.writeTo(w, offset, to)
		_ = file.Close() // for the first time
		var writing errWrite
		switch {
		case errors.As(err, &writing):
			return file.e.Info, writing.error
		case n > 0 || !errors.Is(err, ErrReplaced):
			return file.e.Info, o.failed(err)
		}
	}
	return Info{}, o.failed(ErrContended)
}
