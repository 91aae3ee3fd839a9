package front

import (
	"crypto/tls"
	"sync"
	"time"
)

// readings are the parts of commands that are not complete, as far as they are long. Each alone
// may be as long as a command; together they are bounded. Where more come, the command that
// began first is given up: whoever sends a half and waits keeps nobody out.
type readings struct {
	most int64

	mu   sync.Mutex
	held int64              // guarded by mu
	of   map[*Conn]*reading // likewise
}

type reading struct {
	bytes int64
	since time.Time
	over  bool // it was given up: what it still has is counted no more
}

func (rs *readings) init(most int64) {
	rs.most = most
	rs.of = make(map[*Conn]*reading)
}

// change counts n more bytes of a connection, or fewer. It is false where that one has to go.
func (rs *readings) change(c *Conn, n int64) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.of[c]
	if r == nil {
		r = &reading{since: time.Now()}
		rs.of[c] = r
	}
	if r.over {
		if r.bytes += n; r.bytes <= 0 {
			delete(rs.of, c)
		}
		return n < 0
	}
	r.bytes += n
	rs.held += n
	if r.bytes <= 0 {
		delete(rs.of, c)
	}
	for rs.held > rs.most {
		first := rs.first()
		if first == c {
			r.bytes -= n
			rs.held -= n
			if r.bytes <= 0 {
				delete(rs.of, c)
			}
			return false
		}
		rs.of[first].over = true
		rs.held -= rs.of[first].bytes
		first.giveUp()
	}
	return true
}

// first is whose command began first. The caller holds mu, and knows that there is one.
func (rs *readings) first() (first *Conn) {
	for c, r := range rs.of {
		if !r.over && (first == nil || r.since.Before(rs.of[first].since)) {
			first = c
		}
	}
	return first
}

// giveUp has the rest of a command not be waited for. It does not wait.
func (c *Conn) giveUp() {
	c.server.met(&c.server.reached.Buffers, "bytes of commands that are not complete")
	_ = raw(c.nc).Close() // lets the reader go
}

// cutGuest hangs up on a connection that has said nothing, because too many do. It does not wait.
func (c *Conn) cutGuest() {
	c.server.met(&c.server.reached.Late, "connections that have not said the password")
	_ = raw(c.nc).Close() // as above
}

// raw is a connection without its encryption, which would say farewell, and wait.
func raw(nc interface{ Close() error }) interface{ Close() error } {
	if over, ok := nc.(*tls.Conn); ok {
		return over.NetConn()
	}
	return nc
}
