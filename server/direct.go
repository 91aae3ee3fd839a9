package server

import (
	"viewring/ring"
	"viewring/server/replica"
)

// directBytesMax bounds a value that the reading goroutine writes by itself. What is
// longer could keep it from reading on, where the client does not read; the other
// goroutine takes that.
const directBytesMax = 16 << 10

// readNow answers a read where it arrived, without the hops to the lane and to the
// connection's writer, if nothing of the connection is under way and the lane is
// between two rounds. The order of a connection's commands holds, for there is no
// other; and what is read is what the lane itself would read at that moment. A pipeline
// goes to the lane, which looks at its clock and locks once for all of it.
func (c *conn) readNow(cl *call) bool {
	if c.reader.Buffered() > 0 || !c.takeWriter() {
		return false
	}
	p := ring.PartitionOf(cl.slot, len(c.s.views.current().view.Partitions))
	a, ok := c.s.laneOf(p).readNow(p, cl.request.Key, cl.cut)
	if !ok || len(a.Value) > directBytesMax {
		c.leaveWriter() // before anything is in line
		if ok {
			cl.complete(a)
			c.push(cl)
			c.notify()
		}
		return ok
	}
	cl.answer = a
	c.writeReply(cl)
	c.flush()
	c.leaveWriter()
	*cl = call{}
	callPool.Put(cl)
	return true
}

// readNow reads a key, or with a cut a part of its value, if the lane is not in the middle of something and the core can
// answer at once. Any goroutine may call it. One look at the lease will do: it holds at
// an instant after the request came, and nothing changes here between that instant and
// the reading, so the read takes place at it.
func (l *lane) readNow(p ring.PartitionID, key replica.Key, cut replica.Cut) (a replica.Answer, ok bool) {
	if !l.turn.TryLock() {
		return a, false
	}
	defer l.turn.Unlock()
	if l.failed {
		return a, false
	}
	return l.core.ReadNow(l.s.opts.Now(), p, key, cut)
}

// takeWriter lets the reading goroutine write a reply itself, until leaveWriter. It
// can't while calls are under way, whose replies come first.
func (c *conn) takeWriter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.calls) > 0 || c.mu.writing || c.mu.gone {
		return false
	}
	c.mu.writing = true
	return true
}

// leaveWriter ends what takeWriter or takeDone began.
func (c *conn) leaveWriter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.writing = false
}

// flush sends the replies that were written. The caller has the writer.
func (c *conn) flush() {
	if err := c.writer.Flush(); err != nil && !c.broken {
		c.broken = true
		c.noteCut(err)
		_ = c.nc.Close() // lets the reader go
	}
}
