package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"viewring/client"
	"viewring/internal/route"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// firstReserved is how many chunks a content is begun with where its length is not known. More are
// reserved as they are needed, twice as many each time: servers delete as many where the write
// is given up, be they there or not.
const firstReserved = 16

// content is a content while it is written. One goroutine puts chunks, in order of their
// indexes; up to parallelMax are under way.
type content struct {
	*op
	outer    *op // whose context outlives the content's
	home     uint16
	version  wire.TreeVersion
	reserved int64
	next     int64 // index of the next chunk

	cancel  context.CancelCauseFunc
	running sync.WaitGroup // chunks, and keep
	busy    chan struct{}  // one for each chunk under way
	free    chan []byte    // buffers
	size    int64          // of a buffer
}

// begin begins a content, for a file in that slot. It must be committed or given up.
func (o *op) begin(home uint16, chunkSize, chunks int64) (*content, error) {
	p, err := o.ask(&wire.TreeRequest{Op: wire.TreeBegin, Home: home, Limit: int(chunks)})
	if err != nil {
		return nil, o.notDone(err)
	}
	if p.Code != wire.TreeOK {
		return nil, fmt.Errorf("unexpected outcome %d of the beginning of a file", p.Code)
	}
	ctx, cancel := context.WithCancelCause(o.ctx)
	c := &content{op: o.within(ctx), outer: o, home: home, version: p.Version, reserved: p.Number, cancel: cancel,
		busy: make(chan struct{}, parallelMax), free: make(chan []byte, parallelMax), size: chunkSize}
	c.running.Go(c.keep)
	return c, nil
}

// notDone is the error of a step before the change of an entry: what came of it need not be
// known, the file is as it was.
func (o *op) notDone(err error) error {
	if !errors.Is(err, client.ErrUnknownOutcome) {
		return err
	}
	return &route.Error{Op: o.name, Kind: client.ErrUnreachable, Last: fmt.Errorf("the file is as it was: %v", err), Ended: o.ctx.Err()}
}

// keep tells servers that the content is still being written, until its context ends. A
// touch that fails is not repeated before the next.
func (c *content) keep() {
	tick := time.NewTicker(writeTouchEvery)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		if p, err := c.ask(&wire.TreeRequest{Op: wire.TreeTouch, Home: c.home, Nonce: c.version}); err == nil && p.Code == wire.TreeNoContent {
			c.cancel(ErrEnded)
		}
	}
}

// failure is why the content's context has ended, nil while it has not.
func (c *content) failure() error {
	if c.ctx.Err() == nil {
		return nil
	}
	return context.Cause(c.ctx)
}

// buffer returns one for a chunk, once fewer than parallelMax are in use.
func (c *content) buffer() ([]byte, error) {
	select {
	case c.busy <- struct{}{}:
	case <-c.ctx.Done():
		return nil, c.failure()
	}
	select {
	case b := <-c.free:
		return b[:c.size], nil
	default:
	}
	if b, ok := c.f.buffers.Get().(*[]byte); ok && int64(cap(*b)) >= c.size {
		return (*b)[:c.size], nil
	}
	return make([]byte, c.size), nil
}

// giveBack returns a buffer.
func (c *content) giveBack(b []byte) {
	c.free <- b
	<-c.busy
}

// put begins to store a chunk, whose buffer comes from buffer, and returns its index. That it
// fails is told by a later call, or by wait.
func (c *content) put(b []byte) (int64, error) {
	index := c.next
	if err := c.reserve(index + 1); err != nil {
		c.giveBack(b)
		return 0, err
	}
	c.next++
	c.running.Go(func() {
		defer c.giveBack(b)
		if err := c.store(index, b); err != nil {
			c.cancel(c.notDone(err))
		}
	})
	return index, nil
}

// reserve makes sure that n chunks are reserved.
func (c *content) reserve(n int64) error {
	for c.reserved < n {
		p, err := c.ask(&wire.TreeRequest{Op: wire.TreeTouch, Home: c.home, Nonce: c.version, Limit: int(2 * c.reserved)})
		switch {
		case err != nil:
			return c.because(c.notDone(err))
		case p.Code == wire.TreeNoContent:
			return ErrEnded
		case p.Code != wire.TreeOK || p.Number <= c.reserved:
			return fmt.Errorf("%w: no more than %d chunks of %d bytes are stored for a file", client.ErrTooLarge, c.reserved, c.size)
		}
		c.reserved = p.Number
	}
	return nil
}

// because is err, or why the content's context had ended before.
func (c *content) because(err error) error {
	if why := c.failure(); why != nil {
		return why
	}
	return err
}

// store stores a chunk. One that is there already must be our own, of a try whose answer was lost.
func (c *content) store(index int64, b []byte) error {
	chunk := wire.Chunk{Content: wire.Content{Home: c.home, Version: c.version}, Index: uint32(index)}
	p, err := c.f.store.Chunk(c.ctx, c.name, &wire.ChunkRequest{Op: wire.ChunkPut, Chunk: chunk, Value: b})
	if err != nil || p.Status == wire.DoOK {
		return err
	}
	if p.Status != wire.DoCondFailed {
		return fmt.Errorf("unexpected outcome %d of chunk %d", p.Status, index)
	}
	there, err := c.f.store.Chunk(c.ctx, c.name, &wire.ChunkRequest{Op: wire.ChunkGet, Chunk: chunk})
	if err == nil && (there.Status != wire.DoOK || !bytes.Equal(there.Value, b)) {
		err = fmt.Errorf("chunk %d was stored before, with other bytes", index)
	}
	return err
}

// wait returns once all chunks are stored, or nothing more is under way.
func (c *content) wait() error {
	for range parallelMax {
		select {
		case c.busy <- struct{}{}:
		case <-c.ctx.Done():
			return c.failure()
		}
	}
	for range parallelMax {
		<-c.busy
	}
	return c.failure()
}

// close ends what is under way. What was not committed is to be given up before.
func (c *content) close() {
	c.cancel(context.Canceled)
	c.running.Wait()
	for {
		select {
		case b := <-c.free:
			c.f.buffers.Put(&b) // many files are shorter than a chunk
		default:
			return
		}
	}
}

// giveUp ends a content that is not to be named, and tells the state that it was in. Where
// nobody can be asked, servers find that out themselves, after a quarter of an hour.
func (c *content) giveUp() (wire.TreeContentState, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.outer.ctx), abortPatience)
	defer cancel()
	p, err := c.outer.within(ctx).ask(&wire.TreeRequest{Op: wire.TreeAbort, Home: c.home, Nonce: c.version})
	if err != nil || p.Code != wire.TreeOK {
		return 0, err
	}
	return wire.TreeContentState(p.Number), nil
}

// when is what must hold of what is at a path for a file to be put there.
type when struct {
	absent   bool
	modified wire.TreeVersion // zero: anything, but no directory
}

// commit makes a file of what body says: its bytes, or the manifest of c, which is written whole
// then. It returns the version of the change; zero where it took effect and was overtaken before that
// could be told.
func (o *op) commit(path string, body wire.TreeItem, w when, c *content) (wire.TreeVersion, error) {
	dir, name := tree.Split(path)
	body.Name, body.File = name, true
	for attempt := range attemptsMax {
		body.Kind, body.DataVersion, body.Modified = wire.TreeSet, -1, w.modified
		if w.absent || attempt == 0 && o.nothing && w == (when{}) {
			body.Kind = wire.TreeCreate
		} else if w.modified == (wire.TreeVersion{}) {
			e, err := o.entry(path)
			switch {
			case errors.Is(err, tree.ErrNoNode):
				body.Kind = wire.TreeCreate
			case e == nil:
				return wire.TreeVersion{}, err
			case e.Dir:
				return wire.TreeVersion{}, ErrIsDirectory
			case e.Owner != 0:
				return wire.TreeVersion{}, ErrSession
			default: // also where the old one is not readable: it is replaced
				body.Modified = e.node.Modified
			}
		}
		p, _, err := tree.Change(o.ask, dir, []wire.TreeItem{body})
		switch {
		case err == nil:
			return p.Version, nil
		case p.Code == wire.TreeNoContent:
			return wire.TreeVersion{}, ErrEnded
		case errors.Is(err, client.ErrUnknownOutcome):
			return o.resolve(path, err, c)
		case w != when{} || !errors.Is(err, tree.ErrNodeExists) && !errors.Is(err, tree.ErrBadVersion) && !errors.Is(err, tree.ErrNoNode):
			return wire.TreeVersion{}, err
		}
	}
	return wire.TreeVersion{}, ErrContended
}

// errTakenBack: a change was not answered, and has been made impossible since.
var errTakenBack = errors.New("the change was not answered in time and was taken back: nothing was done")

// resolve finds out what came of a change whose outcome is unknown: a content that is given up while
// it is still writing is never named, however late the change comes.
func (o *op) resolve(path string, unknown error, c *content) (wire.TreeVersion, error) {
	if c == nil {
		return wire.TreeVersion{}, unknown
	}
	switch state, err := c.giveUp(); {
	case err == nil && state == wire.ContentWriting:
		return wire.TreeVersion{}, fmt.Errorf("%w: %w", client.ErrUnreachable, errTakenBack)
	case err != nil || state != wire.ContentWhole:
		return wire.TreeVersion{}, unknown
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), abortPatience)
	defer cancel()
	e, err := o.within(ctx).entry(path)
	if err != nil || e.node.Content != c.version {
		return wire.TreeVersion{}, nil
	}
	return e.node.Modified, nil
}
