package server

import (
	"slices"

	"viewring/ring"
)

// directBytesMax bounds a value that the reading goroutine writes by itself. What is
// longer could keep it from reading on, where the client does not read; the other
// goroutine takes that.
const directBytesMax = 16 << 10

// pipelineBytesMax bounds the values of a pipeline likewise. The kernel takes more for
// a client that reads.
const pipelineBytesMax = 64 << 10

// readNow answers a read where it arrived, without the hops to the lane and to the
// connection's writer, if nothing of the connection is under way and the lane is
// between two rounds. The order of a connection's commands holds, for there is no
// other; and what is read is what the lane itself would read at that moment. Pipelines are
// readGathered's.
func (c *conn) readNow(cl *call) bool {
	if c.reader.Buffered() > 0 || !c.takeWriter() {
		return false
	}
	p := ring.PartitionOf(cl.slot, len(c.s.views.View().Partitions))
	a, ok := c.s.lanes.Of(p).ReadNow(p, cl.request.Key, cl.cut)
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

// readGathered answers a pipeline of reads where it arrived, with one look at the clock
// and one lock for those of a lane. What can't be answered at once goes to the lane, with
// all that came after it.
func (c *conn) readGathered() {
	n := 0
	for _, events := range c.gathered {
		for i := range events {
			if !events[i].IsRead() {
				return
			}
		}
		n += len(events)
	}
	if n == 0 || !c.nothingBefore(n) {
		return
	}
	for i, events := range c.gathered {
		if len(events) > 0 {
			n := c.s.lanes[i].ReadFirst(events)
			c.gathered[i] = slices.Delete(events, 0, n)
		}
	}
	c.writeNow()
}

// nothingBefore reports that the last n calls in line are all that have no answer: a read
// never overtakes a write of its connection.
func (c *conn) nothingBefore(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cl := range c.mu.calls[:max(0, len(c.mu.calls)-n)] {
		if !cl.done.Load() {
			return false
		}
	}
	return !c.mu.gone
}

// writeNow writes all replies in line where all are there, and leaves them to the other
// goroutine where that has begun or one is missing, or where they are long.
func (c *conn) writeNow() {
	if !c.takeAll() {
		c.notify()
		return
	}
	c.writeTaken(c.taken)
	c.taken = c.taken[:0]
	c.flush()
	c.leaveWriter()
}

// takeAll takes all calls in line, and with them the writer.
func (c *conn) takeAll() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.writing || c.mu.gone {
		return false
	}
	bytes := 0
	for _, cl := range c.mu.calls {
		if !cl.done.Load() {
			return false
		}
		if bytes += max(len(cl.answer.Value), int(cl.cost)); bytes > pipelineBytesMax { // cost: replies that a closure writes
			return false
		}
	}
	c.taken = append(c.taken[:0], c.mu.calls...)
	clear(c.mu.calls)
	c.mu.calls = c.mu.calls[:0]
	c.mu.writing = true
	return true
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
