package server

import (
	"slices"

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
// other; and what is read is what the lane itself would read at that moment. Pipelines are
// readGathered's.
func (c *conn) readNow(cl *call) bool {
	if c.Buffered() > 0 || !c.TakeWriter() {
		return false
	}
	p := ring.PartitionOf(cl.slot, len(c.s.views.View().Partitions))
	a, ok := c.s.lanes.Of(p).ReadNow(p, cl.request.Key, cl.cut)
	if !ok || len(a.Value) > directBytesMax {
		c.LeaveWriter() // before anything is in line
		if ok {
			cl.complete(a)
			c.Push(cl)
			c.Notify()
		}
		return ok
	}
	c.writeNow(cl, a)
	return true
}

// writeNow writes the reply of who has the writer.
func (c *conn) writeNow(cl *call, a replica.Answer) {
	cl.answer = a
	c.writeReply(c.Writer(), cl)
	c.count(cl)
	c.Flush()
	c.LeaveWriter()
	c.Give(cl.cost)
	*cl = call{}
	callPool.Put(cl)
}

// lookNow answers a call that has a look as readNow does a read.
func (c *conn) lookNow(cl *call) bool {
	if c.Buffered() > 0 || !c.TakeWriter() {
		return false
	}
	cl.partition = ring.PartitionOf(cl.slot, len(c.s.views.View().Partitions))
	a, ok := c.s.lanes.Of(cl.partition).LookNow(cl.look)
	if !ok || len(a.Value) > directBytesMax {
		c.LeaveWriter()
		if ok {
			cl.complete(a)
			c.Push(cl)
			c.Notify()
		}
		return ok
	}
	c.writeNow(cl, a)
	return true
}

// readGathered answers a pipeline of reads where it arrived, with one look at the clock
// and one lock for those of a lane. A read never overtakes a write of its connection. What can't be answered at once goes to the lane, with
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
	if n == 0 || !c.AllDoneBut(n) {
		return
	}
	for i, events := range c.gathered {
		if len(events) > 0 {
			n := c.s.lanes[i].ReadFirst(events)
			c.gathered[i] = slices.Delete(events, 0, n)
		}
	}
	c.WriteAll()
}
