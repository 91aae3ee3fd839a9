package server

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/lane"
	"viewring/server/link"
	"viewring/server/redis"
	"viewring/server/replica"
)

// call is one command of a connection, from its arrival to its reply. Commands
// that no lane is needed for are complete from the start.
type call struct {
	conn      *conn
	partition ring.PartitionID
	slot      uint16
	isRead    bool
	request   replica.Request // Key alone for a read
	cut       replica.Cut     // of a read: which part of the value; nil: all
	style     replyStyle
	known     bool                         // it came by CmdOnce
	cost      int64                        // bytes held, given back with the reply
	write     func(*wire.Writer)           // writes the reply, where style is replyWritten
	show      func(redis.Found) wire.Value // makes it, where style is replyFound

	told chan<- struct{}     // gets one when the call is complete; nil: nobody waits for it apart
	look func(*replica.Core) // all that is done, on the lane

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

// take counts n more bytes that a call holds; false when that would be too much,
// for its connection or in all.
func (c *conn) take(cl *call, n int64) bool {
	if c.memory.Add(n) > c.s.opts.Bounds.Buffered {
		c.memory.Add(-n)
		c.s.reached.buffers.Add(1)
		return false
	}
	if c.s.memory.Add(n) > c.s.budget.Requests() {
		c.give(n)
		c.s.reached.buffers.Add(1)
		return false
	}
	cl.cost += n
	return true
}

// give returns bytes that take counted.
func (c *conn) give(n int64) {
	c.memory.Add(-n)
	c.s.memory.Add(-n)
}

// conn is a client's connection. One goroutine reads commands and hands them to
// the lanes, one writes the replies in the order of the commands. Reads that can be
// answered on the spot are, by the first (readNow).
type conn struct {
	s      *Server
	nc     net.Conn
	reader *wire.Reader
	writer *wire.Writer
	wake   chan struct{} // capacity 1: the first call may be complete, or reading has ended

	broken bool // a reply could not be written; of the goroutine that has the writer

	memory atomic.Int64 // bytes of its requests and answers under way

	gathered [][]lane.Event // by lane: read, not yet handed over
	taken    []*call        // replies that the reading goroutine writes; empty but then
	once     *wire.Once     // the request id of the command being run, if it has one
	session  session        // of the reading goroutine

	mu struct {
		sync.Mutex
		calls   []*call // in the order of their arrival
		writing bool    // one of the two goroutines has the writer
		ended   bool    // no more will come
		gone    bool    // nobody writes any more
	}
	room sync.Cond // calls were answered; its locker is mu
}

func newConn(s *Server, nc net.Conn, late bool) *conn {
	c := &conn{s: s, nc: nc, wake: make(chan struct{}, 1), gathered: make([][]lane.Event, len(s.lanes))}
	c.room.L = &c.mu
	c.reader = wire.NewReader(c, s.opts.Bounds.limits())
	c.writer = wire.NewWriter(&wire.DeadlineWriter{Conn: nc, Timeout: s.opts.Bounds.WriteTimeout})
	if c.session.late = late; late {
		_ = nc.SetReadDeadline(time.Now().Add(link.Timeout)) // another server says at once that it is one
	}
	c.session.client = s.front.Join(nc.RemoteAddr().String(), nc.LocalAddr().String())
	c.session.guard()
	return c
}

// Read is the Reader's source. Whoever is about to wait for the network first
// hands over what it has gathered: a whole pipeline goes to a lane at once.
func (c *conn) Read(p []byte) (int, error) {
	c.submit()
	return c.nc.Read(p)
}

func (c *conn) submit() {
	c.readGathered()
	for i, events := range c.gathered {
		if len(events) > 0 {
			c.s.lanes.Put(i, events...)
			clear(events)
			c.gathered[i] = events[:0]
		}
	}
}

// serve reads commands until the connection ends, or becomes a link.
func (c *conn) serve() {
	defer c.session.client.Leave()
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.writeReplies()
	}()
	err := c.readCommands()
	c.submit()
	c.discard()
	var link *linkRequest
	if !errors.As(err, &link) {
		c.sayProtocolError(err)
	}
	c.end()
	<-written
	if link != nil {
		_ = c.nc.SetReadDeadline(time.Time{}) // a broken connection says so when it is read
		c.s.receiver.Serve(c.nc, link.hello)
	}
	_ = c.nc.Close() // over in any case
}

// errQuit ends a connection that asked for it.
var errQuit = errors.New("quit")

func (c *conn) readCommands() error {
	for {
		args, err := c.reader.ReadCommand()
		if err != nil {
			return err
		}
		if err := c.run(args); err != nil {
			return err
		}
	}
}

// sayProtocolError answers what can't be understood before hanging up.
func (c *conn) sayProtocolError(err error) {
	c.s.strangers.Note(c.s.logger, c.nc.RemoteAddr(), err)
	switch {
	case errors.Is(err, wire.ErrProtocol), errors.Is(err, wire.ErrTooLarge):
		if errors.Is(err, wire.ErrTooLarge) {
			c.s.reached.requests.Add(1)
		}
		text := "ERR Protocol error: " + err.Error()
		c.reply(func(w *wire.Writer) { w.WriteError(text) })
	case err == io.EOF, errors.Is(err, errQuit):
	default:
		c.s.logger.Debug("a connection broke", "peer", c.nc.RemoteAddr(), "err", err)
	}
}

// push adds a call at the end of the line, waiting while there are too many.
func (c *conn) push(cl *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.mu.calls) >= c.s.opts.Bounds.Pipeline {
		c.s.reached.pipelines.Add(1)
	}
	for c.mustWait(cl) && !c.mu.gone {
		c.mu.Unlock()
		c.submit() // or those that we wait for would never be answered
		c.mu.Lock()
		if c.mustWait(cl) {
			c.room.Wait()
		}
	}
	if c.mu.gone {
		return
	}
	c.mu.calls = append(c.mu.calls, cl)
}

// reply answers a command at once, in its turn.
func (c *conn) reply(write func(*wire.Writer)) {
	c.replyHeld(0, write)
}

// replyHeld is reply for one that holds bytes that take has counted.
func (c *conn) replyHeld(cost int64, write func(*wire.Writer)) {
	cl := callPool.Get().(*call)
	*cl = call{conn: c, style: replyWritten, write: write, cost: cost}
	cl.done.Store(true)
	c.push(cl)
	c.notify()
}

func (c *conn) notify() {
	select {
	case c.wake <- struct{}{}:
	default: // told already
	}
}

func (c *conn) end() {
	c.mu.Lock()
	c.mu.ended = true
	c.mu.Unlock()
	c.notify()
}

// takeDone takes the complete calls at the front of the line, and with them the writer;
// has tells that it was taken.
func (c *conn) takeDone(spare []*call) (taken []*call, has, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(c.mu.calls) && c.mu.calls[n].done.Load() {
		n++
	}
	taken = append(spare[:0], c.mu.calls[:n]...)
	rest := copy(c.mu.calls, c.mu.calls[n:])
	clear(c.mu.calls[rest:])
	c.mu.calls = c.mu.calls[:rest]
	if n > 0 {
		c.room.Signal()
	}
	over = c.mu.ended && rest == 0
	if has = n > 0 || over; has {
		c.mu.writing = true // not the reader's, which has it only while no call is in line
	}
	return taken, has, over
}

// writeReplies is the connection's second goroutine. When the other side is gone
// it goes on taking answers, for the lanes still hold the calls.
func (c *conn) writeReplies() {
	var taken []*call
	for {
		select {
		case <-c.wake:
		case <-c.s.ctx.Done():
			_ = c.nc.Close() // lets the reader go
			c.abandon()
			return
		}
		for writing := false; ; {
			var has, over bool
			taken, has, over = c.takeDone(taken)
			c.writeTaken(taken)
			if writing = writing || has; len(taken) > 0 && !over {
				continue
			}
			if writing {
				c.flush()
				c.leaveWriter()
			}
			if over {
				return
			}
			break
		}
	}
}

// writeTaken writes the replies of complete calls, which end with that.
func (c *conn) writeTaken(taken []*call) {
	for i, cl := range taken {
		if !c.broken {
			c.writeReply(cl)
		}
		c.give(cl.cost)
		*cl = call{}
		callPool.Put(cl)
		taken[i] = nil
	}
}

// abandon forgets the calls under way: the server stops.
func (c *conn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.calls, c.mu.gone = nil, true
	c.room.Broadcast()
}
