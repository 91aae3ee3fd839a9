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
	p := ring.PartitionOf(cl.slot, len(c.s.views.current().view.Partitions))
	a, ok := c.s.laneOf(p).readNow(p, cl.request.Key, cl.cut)
	if !ok || len(a.Value) > directBytesMax {
		c.LeaveWriter() // before anything is in line
		if ok {
			cl.complete(a)
			c.Push(cl)
			c.Notify()
		}
		return ok
	}
	cl.answer = a
	c.writeReply(c.Writer(), cl)
	c.Flush()
	c.LeaveWriter()
	*cl = call{}
	callPool.Put(cl)
	return true
}

// readGathered answers a pipeline of reads where it arrived, with one look at the clock
// and one lock for those of a lane. A read never overtakes a write of its connection. What can't be answered at once goes to the lane, with
// all that came after it.
func (c *conn) readGathered() {
	n := 0
	for _, events := range c.gathered {
		for i := range events {
			if !events[i].call.isRead {
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
			n := c.s.lanes[i].readFirst(events)
			c.gathered[i] = slices.Delete(events, 0, n)
		}
	}
	c.WriteAll()
}

// readFirst answers the first of some reads, up to one that can't be, and returns how
// many they are.
func (l *lane) readFirst(events []event) (n int) {
	if !l.turn.TryLock() {
		return 0
	}
	defer l.turn.Unlock()
	if l.failed {
		return 0
	}
	at := l.s.opts.Now()
	for n < len(events) {
		cl := events[n].call
		a, ok := l.core.ReadNow(at, cl.partition, cl.request.Key, cl.cut)
		if !ok {
			break
		}
		cl.complete(a)
		n++
	}
	return n
}

// readNow reads a key, or with a cut a part of its value, if the lane is not in the middle
// of something and the core can answer at once. Any goroutine may call it. One look at the lease will do: it holds at
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
