package zk

import (
	"sync"
	"time"

	"viewring/server/zk/jute"
)

// line is the requests of a connection that wait for their turn.
type line struct {
	mu      sync.Mutex
	waiting []*request
	busy    bool          // somebody carries requests out
	room    chan struct{} // closed when one was taken; nil: nobody waits for that
}

// unreadTicks is how often in its time to live a client counts as heard that nobody reads.
const unreadTicks = 4

// enqueue puts a request in line. While there is no room the client counts as heard, for it may have
// said more, which nobody reads; but for no longer than its time to live. It is false when the connection has ended.
func (c *conn) enqueue(q *request) bool {
	c.f.stats.outstanding.Add(1)
	var still *time.Ticker
	ticks := 0
	for {
		room := c.join(q)
		if room == nil {
			return true
		}
		if still == nil {
			still = time.NewTicker(c.ttl / unreadTicks)
			defer still.Stop()
		}
		select {
		case <-room:
		case <-still.C:
			if ticks++; ticks <= unreadTicks {
				c.beat.heard()
			}
		case <-c.ctx.Done():
			c.done(q)
			return false
		}
	}
}

// join puts a request in line; where there is no room it returns what is closed when there is some.
func (c *conn) join(q *request) (room chan struct{}) {
	l := &c.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) >= c.f.opts.Bounds.Pipeline {
		if l.room == nil {
			l.room = make(chan struct{})
		}
		return l.room
	}
	l.waiting = append(l.waiting, q)
	if !l.busy {
		l.busy = true
		c.working.Add(1)
		c.f.crew.do(c.f.ctx, c.worked)
	}
	return nil
}

// turn takes the next request; nil when there is none, and nobody is busy then.
func (l *line) turn() *request {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.waiting, l.busy = nil, false
		return nil
	}
	q := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	if l.room != nil {
		close(l.room)
		l.room = nil
	}
	return q
}

// length is how many wait.
func (l *line) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting)
}

// work carries out what the client asks for. Of what waits when the client is gone only the end of
// its session is: clients need not wait for that.
func (c *conn) work() {
	c.inherit()
	for q := c.line.turn(); q != nil; q = c.line.turn() {
		if c.ctx.Err() == nil || q.Op == jute.OpClose {
			c.serve(q)
		}
		c.done(q)
	}
}

func (c *conn) worked() {
	defer c.working.Done()
	c.work()
}

// done forgets a request.
func (c *conn) done(q *request) {
	c.giveBack(int64(len(q.raw)))
	c.f.stats.outstanding.Add(-1)
}
