package bubble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// outside is the node at which the clients are.
const outside = "outside"

// network connects nodes by name; a node's address is its name and a port. Every
// wait in it is one that the virtual clock knows of.
type network struct {
	mu sync.Mutex

	rng       *rand.Rand
	listeners map[string]*listener // by address
	conns     map[*conn]bool
	paths     map[path]condition
	dead      map[string]bool // nodes whose machines are off: silence
	lives     map[string]int  // of a node's processes that have crashed
	changed   signal          // a path, a node or a listener has changed

	hear func(from string, c *conn, b []byte) // listens to all that is written; set once
}

type path struct{ from, to string }

// condition is how a path is; the zero value is a sound one.
type condition struct {
	held  bool          // bytes wait
	lossy bool          // and the connections that had any waiting break afterwards
	slow  time.Duration // bytes take up to so much longer
}

func newNetwork(rng *rand.Rand) *network {
	return &network{rng: rng, listeners: make(map[string]*listener), conns: make(map[*conn]bool),
		paths: make(map[path]condition), dead: make(map[string]bool), lives: make(map[string]int), changed: make(signal)}
}

// signal is closed and replaced when those who wait for it should look again.
// The network's mu guards it.
type signal chan struct{}

func (s *signal) tell() {
	close(*s)
	*s = make(signal)
}

// told lets all look again. The caller holds mu.
func (n *network) told() {
	n.changed.tell()
	for c := range n.conns {
		c.changed.tell()
	}
}

// set puts the paths into a condition, and returns what ends it.
func (n *network) set(c condition, paths ...path) (heal func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range paths {
		n.paths[p] = c
	}
	n.told()
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, p := range paths {
			delete(n.paths, p)
			if c.lossy {
				n.breakLossy(p)
			}
		}
		n.told()
	}
}

// breakLossy resets the connections of which the path lost something. The caller
// holds mu.
func (n *network) breakLossy(p path) {
	for c := range n.conns {
		if c.in.on == p && len(c.in.pieces) > 0 {
			n.reset(c)
		}
	}
}

// reset breaks both ends of a connection. The caller holds mu.
func (n *network) reset(c *conn) {
	for _, end := range []*conn{c, c.other} {
		end.broken = true
		end.changed.tell()
		delete(n.conns, end)
	}
}

// crash ends a node's process. What it has sent arrives; its connections end, or,
// when its machine goes off with it, fall silent until it is back.
func (n *network) crash(name string, silent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for addr, l := range n.listeners {
		if l.name == name {
			delete(n.listeners, addr)
			l.shut()
		}
	}
	n.dead[name] = silent
	n.lives[name]++
	for c := range n.conns {
		if c.out.on.from != name {
			continue
		}
		c.broken = true
		c.out.closed = c.out.closed || !silent
		c.changed.tell()
		c.other.changed.tell()
		delete(n.conns, c)
	}
	n.told()
}

// revive lets a node's machine answer again: what it does not know is reset.
func (n *network) revive(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.dead, name)
	for c := range n.conns {
		if c.out.on.to == name && c.other.broken {
			n.reset(c)
		}
	}
	n.told()
}

// listener is a node's open port.
type listener struct {
	n       *network
	name    string
	addr    string
	waiting []*conn
	closed  bool
	changed signal
}

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func (n *network) listen(name, addr string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &listener{n: n, name: name, addr: addr, changed: make(signal)}
	n.listeners[addr] = l
	n.told()
	return l
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		l.n.mu.Lock()
		if l.closed {
			l.n.mu.Unlock()
			return nil, net.ErrClosed
		}
		if len(l.waiting) > 0 {
			c := l.waiting[0]
			l.waiting = l.waiting[1:]
			l.n.mu.Unlock()
			return c, nil
		}
		changed := l.changed
		l.n.mu.Unlock()
		<-changed
	}
}

func (l *listener) Close() error {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	if l.n.listeners[l.addr] == l {
		delete(l.n.listeners, l.addr)
	}
	l.shut()
	return nil
}

// shut ends the waiting. The caller holds mu.
func (l *listener) shut() {
	l.closed = true
	l.changed.tell()
	for _, c := range l.waiting { // nobody will take them
		l.n.reset(c)
	}
	l.waiting = nil
}

func (l *listener) Addr() net.Addr { return address(l.addr) }

// dialer is how a node's present process connects to others.
func (n *network) dialer(from string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	n.mu.Lock()
	life := n.lives[from]
	n.mu.Unlock()
	return func(ctx context.Context, _, addr string) (net.Conn, error) {
		c, err := n.dial(ctx, from, life, addr)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(addr), Err: err}
		}
		return c, nil
	}
}

func (n *network) dial(ctx context.Context, from string, life int, addr string) (net.Conn, error) {
	to, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	there, back := path{from, to}, path{to, from}
	for {
		n.mu.Lock()
		if n.lives[from] != life {
			n.mu.Unlock()
			return nil, errCrashed
		}
		if !n.paths[there].held && !n.paths[back].held && !n.dead[to] {
			l := n.listeners[addr]
			if l == nil {
				n.mu.Unlock()
				return nil, syscall.ECONNREFUSED
			}
			c := n.connect(there, back, addr)
			l.waiting = append(l.waiting, c.other)
			l.changed.tell()
			n.mu.Unlock()
			return c, nil
		}
		changed := n.changed
		n.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// errCrashed is what a process is told that is no more.
var errCrashed = errors.New("this process has crashed")

// connect makes both ends. The caller holds mu.
func (n *network) connect(there, back path, addr string) *conn {
	a, b := &flow{on: there}, &flow{on: back}
	near := &conn{n: n, out: a, in: b, addr: addr, changed: make(signal)}
	far := &conn{n: n, out: b, in: a, addr: there.from + ":0", other: near, changed: make(signal)}
	near.other = far
	n.conns[near], n.conns[far] = true, true
	return near
}

// flow is what one end has said and the other has not read.
type flow struct {
	on     path
	pieces []piece
	bytes  int
	closed bool      // no more comes after the pieces
	last   time.Time // when the last piece arrives
}

type piece struct {
	bytes []byte
	at    time.Time // arrives
}

// flowBytesMax is what a writer may be ahead of its reader.
const flowBytesMax = 1 << 20

// conn is one end of a connection. All its fields are guarded by the network's mu.
type conn struct {
	n       *network
	in, out *flow
	other   *conn
	addr    string
	broken  bool // by a reset, or because its process is gone
	closed  bool // on this side
	changed signal

	readBy, writeBy time.Time // deadlines

	// Of who writes: what told has not understood yet.
	said  []byte // of a command
	piece []byte // of a message
	deaf  bool   // it is no link
}

func (c *conn) Read(b []byte) (int, error) {
	for {
		c.n.mu.Lock()
		wait := time.Time{} // when to look again at the latest
		now := time.Now()
		switch {
		case c.closed:
			c.n.mu.Unlock()
			return 0, net.ErrClosed
		case c.broken:
			c.n.mu.Unlock()
			return 0, syscall.ECONNRESET
		case !c.readBy.IsZero() && !now.Before(c.readBy):
			c.n.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		if sound := !c.n.paths[c.in.on].held; sound && len(c.in.pieces) > 0 {
			if p := &c.in.pieces[0]; !now.Before(p.at) {
				k := c.take(b)
				c.n.mu.Unlock()
				return k, nil
			}
			wait = c.in.pieces[0].at
		} else if sound && c.in.closed && len(c.in.pieces) == 0 {
			if !now.Before(c.in.last) {
				c.n.mu.Unlock()
				return 0, io.EOF
			}
			wait = c.in.last
		}
		if !c.readBy.IsZero() && (wait.IsZero() || c.readBy.Before(wait)) {
			wait = c.readBy
		}
		changed := c.changed
		c.n.mu.Unlock()
		until(changed, wait)
	}
}

// take reads from what has arrived. The caller holds mu.
func (c *conn) take(b []byte) int {
	p := &c.in.pieces[0]
	k := copy(b, p.bytes)
	p.bytes = p.bytes[k:]
	c.in.bytes -= k
	if len(p.bytes) == 0 {
		c.in.pieces[0] = piece{}
		c.in.pieces = c.in.pieces[1:]
	}
	if was := c.in.bytes + k; was >= flowBytesMax && c.in.bytes < flowBytesMax {
		c.other.changed.tell() // the writer may go on
	}
	return k
}

func (c *conn) Write(b []byte) (int, error) {
	c.tap(b)
	for {
		c.n.mu.Lock()
		switch {
		case c.closed:
			c.n.mu.Unlock()
			return 0, net.ErrClosed
		case c.broken, c.other.broken && c.in.closed: // its process is gone, and its machine says so
			c.n.mu.Unlock()
			return 0, syscall.EPIPE
		case !c.writeBy.IsZero() && !time.Now().Before(c.writeBy):
			c.n.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		if c.out.bytes < flowBytesMax {
			c.put(b)
			c.other.changed.tell()
			c.n.mu.Unlock()
			return len(b), nil
		}
		changed, wait := c.changed, c.writeBy
		c.n.mu.Unlock()
		until(changed, wait)
	}
}

// Latency of a sound path.
const (
	latencyMin = 50 * time.Microsecond
	latencyMax = 2 * time.Millisecond
)

// tap lets who listens hear what a process that runs is about to say.
func (c *conn) tap(b []byte) {
	c.n.mu.Lock()
	hear, over := c.n.hear, c.broken || c.closed
	c.n.mu.Unlock()
	if hear != nil && !over && !c.deaf {
		hear(c.out.on.from, c, b)
	}
}

// put sends bytes on their way. The caller holds mu.
func (c *conn) put(b []byte) {
	f := c.n.rng.Float64()
	at := time.Now().Add(latencyMin + time.Duration(f*f*f*float64(latencyMax-latencyMin)))
	if slow := c.n.paths[c.out.on].slow; slow > 0 {
		at = at.Add(time.Duration(c.n.rng.Int64N(int64(slow))))
	}
	if at.Before(c.out.last) { // in order
		at = c.out.last
	}
	c.out.last = at
	c.out.pieces = append(c.out.pieces, piece{append([]byte(nil), b...), at})
	c.out.bytes += len(b)
}

// until waits for a change, or for a time unless that is zero.
func until(changed signal, at time.Time) {
	if at.IsZero() {
		<-changed
		return
	}
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	}
}

func (c *conn) Close() error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	c.out.closed = true
	delete(c.n.conns, c)
	c.changed.tell()
	c.other.changed.tell()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return address(c.out.on.from + ":0") }
func (c *conn) RemoteAddr() net.Addr { return address(c.addr) }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.deadline(&c.readBy, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.deadline(&c.writeBy, t) }

func (c *conn) deadline(which *time.Time, t time.Time) error {
	c.n.mu.Lock()
	defer c.n.mu.Unlock()
	if c.closed {
		return fmt.Errorf("set deadline: %w", net.ErrClosed)
	}
	*which = t
	if which == &c.readBy {
		c.changed.tell()
	}
	return nil
}
