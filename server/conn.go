package server

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"viewring/internal/front"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/lane"
	"viewring/server/redis"
	"viewring/server/replica"
)

// call is one command of a connection, from its arrival to its reply, as which it stands in
// the connection's line. Commands that no lane is needed for are complete from the start.
type call struct {
	conn      *conn
	partition ring.PartitionID
	slot      uint16
	isRead    bool
	request   replica.Request // Key alone for a read
	cut       replica.Cut     // of a read: which part of the value; nil: all
	style     replyStyle
	known     bool                                          // it came by CmdOnce
	asked     asked                                         // the command that it is of
	ended     redis.Ended                                   // what it came to, where style is replyWritten
	first     string                                        // the first argument, where it is kept
	cost      int64                                         // bytes held, given back with the reply
	write     func(*wire.Writer)                            // writes the reply, where style is replyWritten
	show      func(redis.Found) wire.Value                  // makes it, where style is replyFound
	tree      func(*replica.Answer) (wire.TreeReply, error) // likewise, where style is replyTree
	record    *wire.RecordReply                             // what it came to, where style is replyRecord

	told chan<- struct{}                                 // gets one when the call is complete; nil: nobody waits for it apart
	look func(*replica.Core) (a replica.Answer, ok bool) // what is done first, on the lane

	answer replica.Answer
	done   atomic.Bool // the fields above are set; from then on the connection's writer owns the call
}

var callPool = sync.Pool{New: func() any { return new(call) }}

// complete hands the call back to its connection. An answer for which there is no
// memory becomes "busy": reads did nothing, and writes carry no value.
func (c *call) complete(a replica.Answer) {
	if n := int64(len(a.Value)); n > 0 && !c.conn.take(c, n) {
		a.Status, a.Value = replica.StatusBusy, nil
	}
	c.answer = a
	c.request = replica.Request{}
	told := c.told
	c.done.Store(true)
	if told != nil {
		told <- struct{}{}
	}
}

// Done reports that the call is complete.
func (c *call) Done() bool { return c.done.Load() }

// Write writes the reply.
func (c *call) Write(w *wire.Writer) { c.conn.writeReply(w, c) }

// Release gives the call back.
func (c *call) Release() {
	c.conn.count(c)
	c.conn.Give(c.cost)
	*c = call{}
	callPool.Put(c)
}

// Size is that of the value, or what a closure writes as far as it holds bytes.
func (c *call) Size() int { return max(len(c.answer.Value), int(c.cost)) }

// MustWait reports whether the call is a write behind a read of its slot, by which it must
// not be seen.
func (c *call) MustWait(before []front.Reply) bool {
	if c.request.Op == 0 {
		return false
	}
	for _, r := range before {
		if b, ok := r.(*call); ok && b.isRead && b.slot == c.slot && !b.done.Load() {
			return true
		}
	}
	return false
}

// take counts n more bytes that a call holds; false when that would be too much,
// for its connection or in all.
func (c *conn) take(cl *call, n int64) bool {
	if !c.Take(n) {
		return false
	}
	cl.cost += n
	return true
}

// conn is a client's session. Its connection's reading goroutine hands commands to the
// lanes. Reads that can be answered on the spot are, by that goroutine (readNow).
type conn struct {
	*front.Conn
	s        *Server
	gathered [][]lane.Event // by lane: read, not yet handed over
	once     *wire.Once     // the request id of the command being run, if it has one
	session  session        // of the reading goroutine
	post     postbox        // what the client is told unasked
	watches  *keyWatches    // nil: it never had any; of the reading goroutine
	times    times
}

func (s *Server) newConn(fc *front.Conn) front.Session {
	c := &conn{Conn: fc, s: s, gathered: make([][]lane.Event, len(s.lanes))}
	c.post.c = c
	c.session.client = s.front.Join(fc.RemoteAddr().String(), fc.LocalAddr().String())
	s.notifier.came(c)
	c.guard()
	return c
}

// Submit hands what was gathered to the lanes.
func (c *conn) Submit() {
	c.times.arrived = 0
	c.readGathered()
	for i, events := range c.gathered {
		if len(events) > 0 {
			c.s.lanes.Put(i, events...)
			clear(events)
			c.gathered[i] = events[:0]
		}
	}
}

// Run carries out one command, or hands it to a lane.
func (c *conn) Run(words [][]byte) error {
	if err := c.run(words); err != nil {
		return c.end(err)
	}
	return nil
}

// end says how a connection goes on that is a client's no more. It is apart from Run, where
// what it points to would be an allocation for each command.
func (c *conn) end(why error) error {
	var link *linkRequest
	if errors.As(why, &link) {
		return &front.Takeover{Serve: func(nc net.Conn) { c.s.receiver.Serve(nc, link.hello) }}
	}
	return why
}

// Flushed has the next reply look at the clock. No lane waits for what becomes of replies.
func (c *conn) Flushed(bool) { c.times.answered = 0 }

// Ended forgets what the client began.
func (c *conn) Ended() { c.discard() }

// Left ends the session.
func (c *conn) Left() {
	c.s.notifier.left(c)
	c.watches.leave()
	c.session.client.Leave()
}

// errQuit ends a connection that asked for it.
var errQuit = front.ErrQuit

// reply answers a command at once, in its turn.
func (c *conn) reply(write func(*wire.Writer)) {
	c.replyHeld(0, redis.EndedOK, write)
}

// replyHeld is reply for one that holds bytes that take has counted.
func (c *conn) replyHeld(cost int64, ended redis.Ended, write func(*wire.Writer)) {
	cl := callPool.Get().(*call)
	*cl = call{conn: c, asked: c.times.asked, first: c.firstIfSlow(), style: replyWritten, write: write, cost: cost, ended: ended}
	cl.done.Store(true)
	c.Push(cl)
	c.Notify()
}
