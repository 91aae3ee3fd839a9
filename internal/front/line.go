package front

import (
	"errors"
	"os"
	"time"

	"viewring/internal/wire"
)

// Reply is the reply to one command, in the place of the command in its connection's line.
type Reply interface {
	// Done reports whether Write may be called. Any goroutine may ask, holding locks.
	Done() bool

	// Write writes it, in its turn, on one of the connection's two goroutines. It is not
	// called where nobody takes it, unless Options.InTurn is set.
	Write(w *wire.Writer)

	// Release is the last call: the reply has left the line.
	Release()

	// Size is about how many bytes Write writes, where they are many. Only of what is Done.
	Size() int

	// MustWait reports whether the reply may not come in line yet, because of those that
	// are. It is asked when it is pushed, and again when some have left.
	MustWait(before []Reply) bool
}

// directBytesMax bounds the replies of a pipeline that the reading goroutine writes. The
// kernel takes more for a client that reads, and one that does not must be read on.
const directBytesMax = 64 << 10

// Push puts a reply at the end of the line, waiting while there are too many or it must.
// When the Server stops, the reply is dropped.
func (c *Conn) Push(r Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.line) >= c.server.opts.Limits.Pipeline {
		c.server.reached.Pipelines.Add(1)
	}
	for c.mustWait(r) && !c.mu.gone {
		c.mu.Unlock()
		c.session.Submit() // or those that we wait for would never be done
		c.mu.Lock()
		if c.mustWait(r) && !c.mu.gone {
			c.room.Wait()
		}
	}
	if !c.mu.gone {
		c.putLast(r)
	}
}

// putLast puts a reply at the end of the line. The caller holds mu.
func (c *Conn) putLast(r Reply) {
	c.mu.line = append(c.mu.line, r)
	c.mu.came++
}

// mustWait is true while there is no place in the line. The caller holds mu.
func (c *Conn) mustWait(r Reply) bool {
	return len(c.mu.line) >= c.server.opts.Limits.Pipeline || r.MustWait(c.mu.line)
}

// AwaitReplies waits until all replies that are in line have left it, whatever the client is
// told meanwhile. It is false when the Server stops.
func (c *Conn) AwaitReplies() bool {
	c.session.Submit()
	c.mu.Lock()
	defer c.mu.Unlock()
	for last := c.mu.came; c.mu.left < last && !c.mu.gone; {
		c.room.Wait()
	}
	return !c.mu.gone
}

// Notify says that replies may be done. Any goroutine may call it.
func (c *Conn) Notify() {
	select {
	case c.wake <- struct{}{}:
	default: // told already
	}
}

// made is a reply that was done from the start.
type made string

func (made) Done() bool             { return true }
func (m made) Write(w *wire.Writer) { w.WriteError(string(m)) }
func (made) Release()               {}
func (m made) Size() int            { return len(m) }
func (made) MustWait([]Reply) bool  { return false }

// PushError answers with an error.
func (c *Conn) PushError(text string) {
	c.Push(made(text))
	c.Notify()
}

// end says that no more will come. Where the client is read on, its deadline is the writing
// goroutine's from here on.
func (c *Conn) end(lingers bool) {
	c.mu.Lock()
	c.mu.ended, c.mu.lingers = true, lingers
	_ = c.nc.SetReadDeadline(time.Time{}) // a broken connection says so when it is read
	c.mu.Unlock()
	c.Notify()
}

// TakeWriter lets the reading goroutine write a reply itself, until LeaveWriter. It
// can't while others are in line, which come first.
func (c *Conn) TakeWriter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.line) > 0 || c.mu.writing || c.mu.gone {
		return false
	}
	c.mu.writing, c.mu.direct = true, true
	return true
}

// LeaveWriter ends what TakeWriter began.
func (c *Conn) LeaveWriter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.direct && len(c.mu.line) > 0 {
		c.Notify() // the client is to be told something, which the other goroutine had to leave
	}
	c.mu.writing, c.mu.direct = false, false
	if c.mu.hungry {
		c.room.Signal() // what was written has given back its bytes
	}
}

// Flush sends what was written. The caller has the writer.
func (c *Conn) Flush() {
	err := c.writer.Flush()
	c.session.Flushed(err == nil)
	if err == nil || c.broken {
		return
	}
	c.broken = true
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.server.met(&c.server.reached.Cut, "time of a write")
		c.server.opts.Logger.Debug("a client that does not read was cut off", "peer", c.nc.RemoteAddr())
	}
	_ = c.nc.Close() // lets the reader go
}

// AllDoneBut reports whether all replies in line but the last n are done.
func (c *Conn) AllDoneBut(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.mu.line[:max(0, len(c.mu.line)-n)] {
		if !r.Done() {
			return false
		}
	}
	return !c.mu.gone
}

// WriteAll writes all replies in line where all are done, and leaves them to the other
// goroutine where that has begun or one is missing, or where they are long.
func (c *Conn) WriteAll() {
	if !c.takeAll() {
		c.Notify()
		return
	}
	c.write(c.taken)
	c.taken = c.taken[:0]
	c.Flush()
	c.LeaveWriter()
}

// takeAll takes all replies in line, and with them the writer.
func (c *Conn) takeAll() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.writing || c.mu.gone {
		return false
	}
	bytes := 0
	for _, r := range c.mu.line {
		if !r.Done() {
			return false
		}
		if bytes += r.Size(); bytes > directBytesMax {
			return false
		}
	}
	c.taken = append(c.taken[:0], c.mu.line...)
	c.mu.left += uint64(len(c.mu.line))
	clear(c.mu.line)
	c.mu.line = c.mu.line[:0]
	c.mu.writing, c.mu.direct = true, true
	return true
}

// takeDone takes the replies in front of the line that are done, and with them the writer;
// has tells that it was taken.
func (c *Conn) takeDone(spare []Reply) (taken []Reply, has, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.direct {
		return spare[:0], false, false // LeaveWriter says so if there is something
	}
	n := 0
	for n < len(c.mu.line) && c.mu.line[n].Done() {
		n++
	}
	taken = c.takeFirst(spare, n)
	over = c.mu.ended && len(c.mu.line) == 0
	if has = n > 0 || over; has {
		c.mu.writing = true
	}
	return taken, has, over
}

// takeFirst takes the first n replies. The caller holds mu.
func (c *Conn) takeFirst(spare []Reply, n int) []Reply {
	taken := append(spare[:0], c.mu.line[:n]...)
	rest := copy(c.mu.line, c.mu.line[n:])
	clear(c.mu.line[rest:])
	c.mu.line = c.mu.line[:rest]
	c.mu.left += uint64(n)
	if n > 0 {
		c.room.Signal()
	}
	return taken
}

// write writes replies that were taken, which end with that.
func (c *Conn) write(taken []Reply) {
	for i, r := range taken {
		if !c.broken || c.server.opts.InTurn {
			r.Write(c.writer)
		}
		r.Release()
		taken[i] = nil
	}
}

// writeReplies is the connection's second goroutine. When the other side is gone it goes on
// taking replies, for the service still holds them.
func (c *Conn) writeReplies() {
	stopped := c.server.ctx.Done()
	if c.server.opts.InTurn {
		stopped = nil // what a Write waits for ends with the service
	}
	var taken []Reply
	for {
		select {
		case <-c.wake:
		case <-stopped:
			c.abandon()
			return
		}
		var over bool
		if taken, over = c.writeDone(taken); over {
			c.hangUp()
			return
		}
	}
}

// writeDone writes what is done, until the first reply is not. over says that no more
// come. spare is what it returned before.
func (c *Conn) writeDone(spare []Reply) (taken []Reply, over bool) {
	taken = spare
	for writing := false; ; {
		var has bool
		taken, has, over = c.takeDone(taken)
		c.write(taken)
		if writing = writing || has; len(taken) > 0 && !over {
			continue
		}
		if writing {
			c.Flush()
			c.LeaveWriter()
		}
		if over || !c.server.opts.InTurn || !c.writeNext(taken) {
			return taken, over
		}
		writing = true
	}
}

// writeNext writes the first reply, which is waited for. It is false when there is none.
func (c *Conn) writeNext(spare []Reply) bool {
	c.mu.Lock()
	if len(c.mu.line) == 0 {
		c.mu.Unlock()
		return false
	}
	taken := c.takeFirst(spare, 1)
	c.mu.writing = true
	c.mu.Unlock()
	c.write(taken)
	return true
}

// hangUp ends the connection when all replies are written. Where the client is told to go,
// it may hang up first: what it has sent that was not read would cost it the last replies.
func (c *Conn) hangUp() {
	c.mu.Lock()
	lingers := c.mu.lingers
	c.mu.Unlock()
	half, can := c.nc.(interface{ CloseWrite() error })
	switch {
	case !lingers: // whoever reads knows
	case can && !c.broken && half.CloseWrite() == nil:
		_ = c.nc.SetReadDeadline(time.Now().Add(lingerMax)) // of what is read no more than that
	default:
		_ = c.nc.Close() // lets the reader go
	}
}

// abandon forgets the replies in line: the Server stops.
func (c *Conn) abandon() {
	_ = c.nc.Close() // lets the reader go
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.line, c.mu.gone = nil, true
	c.room.Broadcast()
}
