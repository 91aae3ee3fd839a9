package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"sync"

	"viewring/client/file"
)

const (
	chunksAtOnce = 8         // that package file reads or writes of a file at a time
	pageBytes    = 256 << 10 // that are read at a time where there is no room for so much
)

// content is an open file as http.ServeContent takes it: that reads several ranges in a goroutine, which may go on
// after it has returned.
type content struct {
	mu     sync.Mutex // of all below, and of each Read
	closed bool
	ctx    context.Context
	file   *file.File
	size   int64
	offset int64
	budget *budget

	page []byte // that was read last, for what asks for little at a time
	from int64  // its place
	done func() // gives its room back
	err  error  // why the file could not be read
}

func newContent(ctx context.Context, f *file.File, b *budget) *content {
	return &content{ctx: ctx, file: f, size: f.Info().Bytes, budget: b}
}

// Close gives the room back, and ends the reading.
func (c *content) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.done != nil {
		c.done()
		c.done = nil
	}
	return c.file.Close()
}

// Seek is that of io.Seeker.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += c.offset
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("the offset is %d", offset)
	}
	c.offset = offset
	return offset, nil
}

// Read is that of io.Reader: by pages, for what asks for little at a time.
func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, fs.ErrClosed
	}
	if c.offset >= c.size {
		return 0, io.EOF
	}
	if c.offset < c.from || c.offset >= c.from+int64(len(c.page)) {
		if err := c.turn(); err != nil {
			c.err = err
			return 0, err
		}
	}
	n := copy(p, c.page[c.offset-c.from:])
	c.offset += int64(n)
	return n, nil
}

// turn reads the page at the offset.
func (c *content) turn() error {
	size := min(pageBytes, c.size)
	if c.done == nil {
		done, err := c.budget.take(c.ctx, size)
		if err != nil {
			return err
		}
		c.done, c.page = done, make([]byte, 0, size)
	}
	c.page, c.from = c.page[:size], c.offset
	n, err := c.file.ReadAt(c.page, c.offset)
	c.page = c.page[:n]
	if err == io.EOF && n > 0 {
		err = nil
	}
	return err
}

// writeRange writes a range to w: several chunks at a time where there is room for them.
func (c *content) writeRange(w io.Writer, length int64) (n int64, err error) {
	most := max(c.file.ChunkBytes(), 4<<10) * (chunksAtOnce + 1)
	done, ok := c.budget.tryTake(min(most, length))
	if !ok {
		return c.writePages(w, length)
	}
	defer done()
	if c.offset > 0 || length < c.size {
		n, err = c.file.WriteRange(errWriter{w}, c.offset, length)
	} else {
		last := &delayed{w: errWriter{w}}
		n, err = c.file.WriteRange(last, 0, length)
		if err == nil {
			err = last.flush()
		}
	}
	c.offset += n
	return n, c.note(err)
}

// writePages is writeRange where there is little room.
func (c *content) writePages(w io.Writer, length int64) (int64, error) {
	n, err := io.Copy(errWriter{w}, struct{ io.Reader }{io.LimitReader(c, length)})
	if err == nil && n < length {
		err = io.ErrUnexpectedEOF
	}
	return n, c.note(err)
}

// note keeps an error that is the file's, and not the client's.
func (c *content) note(err error) error {
	var gone errClient
	if err != nil && !errors.As(err, &gone) {
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
	}
	return err
}

// failed returns why the file could not be read.
func (c *content) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// errClient is an error of writing to the client.
type errClient struct{ error }

func (e errClient) Unwrap() error { return e.error }

type errWriter struct{ w io.Writer }

func (w errWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		err = errClient{err}
	}
	return n, err
}

// delayed holds the last piece that was written until it is flushed: that of a file whose checksum does not
// match never is, so that no client takes what it got for the file.
type delayed struct {
	w    io.Writer
	last []byte
}

// Write keeps p, which its writer does not use again.
func (d *delayed) Write(p []byte) (int, error) {
	if err := d.flush(); err != nil {
		return 0, err
	}
	d.last = p
	return len(p), nil
}

func (d *delayed) flush() error {
	_, err := d.w.Write(d.last)
	d.last = nil
	return err
}

// late is where http.ServeContent writes: the head goes out with the first bytes, so that a file that
// can't be read at all is an error, and no answer that breaks off.
type late struct {
	http.ResponseWriter
	status int
	sent   bool
}

// WriteHeader is that of http.ResponseWriter.
func (l *late) WriteHeader(status int) {
	if l.status == 0 {
		l.status = status
	}
}

// send sends the head.
func (l *late) send() {
	if !l.sent && l.status != 0 {
		l.sent = true
		l.ResponseWriter.WriteHeader(l.status)
	}
}

// Write is that of io.Writer.
func (l *late) Write(p []byte) (int, error) {
	l.send()
	return l.ResponseWriter.Write(p)
}

// ReadFrom is that of io.ReaderFrom: a range of a file is not copied in small pieces.
func (l *late) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if c, ok := limited.R.(*content); ok {
			n, err := c.writeRange(l, min(limited.N, max(c.size-c.offset, 0)))
			limited.N -= n
			return n, err
		}
	}
	return io.Copy(struct{ io.Writer }{l}, r)
}
