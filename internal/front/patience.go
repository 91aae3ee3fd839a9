package front

import (
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"viewring/internal/secure"
)

// lastLook is for what has come already when a deadline is found to be over: a process that
// was stopped for a while cuts nobody off for that.
const lastLook = 500 * time.Millisecond

// stillMin is how late a deadline must be looked at to tell that the process was stopped. What
// it did not read then is not late.
const stillMin = time.Second

// longAgo is a deadline that wakes who reads.
var longAgo = time.Unix(1, 0)

// patience is until when a connection is waited for. To set a deadline is a call of the
// runtime that many commands have no use for: one that is set stays, and when it fires is
// looked at anew.
type patience struct {
	greeting time.Time // by then the password, or a peer's command, must have come; zero: either has
	begun    time.Time // when a command was found to have come in part; zero: none has
	last     bool      // lastLook was given
	greeted  bool      // it has: whoever forgets the password later (RESET) may take its time
	over     bool      // the handshake failed: each read does
	armed    time.Time // the deadline that is set; zero: none
}

// came notes a whole command. lastLook is not given back: who has not said the password could
// go on with it for ever, by commands in parts.
func (p *patience) came() { p.begun = time.Time{} }

// awaitGreeting sets until when the connection may be guarded, for the first time.
func (c *Conn) awaitGreeting() {
	l, p := &c.server.opts.Limits, &c.patience
	was := p.greeting
	switch {
	case c.reserved && was.IsZero():
		p.greeting = time.Now().Add(l.PeerTimeout)
	case c.reserved: // and AUTH or RESET puts nothing off
	case !c.trusted && !p.greeted:
		p.greeting = time.Now().Add(l.PasswordTimeout)
	default:
		p.greeting, p.last, p.greeted = time.Time{}, false, true
		c.leave()
	}
	if !p.greeting.IsZero() && (was.IsZero() || p.greeting.Before(was)) {
		c.arm(p.greeting)
	}
}

// begin notes that a part of a command has come.
func (c *Conn) begin() {
	p := &c.patience
	p.begun = time.Now()
	if due := c.due(); p.armed.IsZero() || due.Before(p.armed) && !p.last {
		c.arm(due)
	}
}

// due is when there is no patience left; zero: never.
func (c *Conn) due() time.Time {
	p := &c.patience
	due := p.greeting
	if !p.begun.IsZero() {
		most := c.server.opts.Limits.RequestTimeout + time.Duration(c.reader.Buffered()/requestRate)*time.Second
		if end := p.begun.Add(most); due.IsZero() || end.Before(due) {
			due = end
		}
	}
	return due
}

// again looks at a deadline that has fired. It is true when reading goes on.
func (c *Conn) again() bool {
	p, now := &c.patience, time.Now()
	if !p.begun.IsZero() && !p.armed.IsZero() && now.Sub(p.armed) > stillMin {
		p.begun = now // the time for the password goes on: whoever wants some looks for such moments
	}
	switch due := c.due(); {
	case p.over:
		return false
	case due.IsZero() || now.Before(due):
		p.last = false
		c.arm(due)
	case p.last:
		return false
	default:
		p.last = true
		c.arm(now.Add(lastLook))
	}
	return true
}

// shake shakes hands, in time. An error of TLS is final: there is no reading on after a
// deadline, so none is set before the last look is over.
func (c *Conn) shake(nc *tls.Conn) error {
	var mu sync.Mutex // guards over
	over := false
	cut := func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			_ = c.nc.SetDeadline(longAgo) // a broken connection says so itself
		}
	}
	most := c.server.opts.Limits.PasswordTimeout
	if c.reserved {
		most = min(most, c.server.opts.Limits.PeerTimeout)
	}
	due := time.Now().Add(most)
	patience := time.AfterFunc(most, func() {
		if time.Since(due) > stillMin {
			time.AfterFunc(most, cut)
			return
		}
		time.AfterFunc(lastLook, cut)
	})
	err := nc.Handshake()
	patience.Stop() // what it has set off finds that all is over
	mu.Lock()
	defer mu.Unlock()
	over = true
	_ = c.nc.SetDeadline(time.Time{})
	return err
}

func (c *Conn) arm(at time.Time) {
	c.patience.armed = at
	_ = c.nc.SetReadDeadline(at) // a broken connection says so when it is read
	if c.leaves.Load() && c.patience.begun.IsZero() {
		_ = c.nc.SetReadDeadline(longAgo) // as dismiss did, which came in between
	}
}

// lateText is the reply to whom there is no patience with any more.
func (c *Conn) lateText() string {
	p := &c.patience
	switch l := &c.server.opts.Limits; {
	case !p.begun.IsZero() && (p.greeting.IsZero() || time.Now().Before(p.greeting)):
		return protocolError + fmt.Sprintf("the rest of a command did not come within %v", l.RequestTimeout)
	case c.reserved:
		return c.server.opts.TooMany
	default:
		return secure.NoAuth
	}
}
