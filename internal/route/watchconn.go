package route

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wire"
)

// How a connection on which a server tells of changes is found to be dead, on which nothing comes
// for as long as nothing happens.
const (
	watchPingEvery = 3 * time.Second
	watchSilence   = 3 * time.Second  // that nothing comes after a PING
	watchIdleClose = 30 * time.Second // without a watch it is closed
)

// watchConns are the connections on which servers tell of changes: one to each, which all
// watches of a Client share.
type watchConns struct {
	c *Client

	mu struct {
		sync.Mutex
		closed bool
		byAddr map[string]*watchConn
		lastID uint64 // of a watch of a partition, on whichever connection
	}
}

// watchConn is one of them, or the attempt to open it.
type watchConn struct {
	addr  string
	ready chan struct{} // closed when conn or err is set
	conn  *wire.Conn
	err   error
	came  atomic.Int64 // when something came last, unix nanoseconds

	mu struct {
		sync.Mutex
		parts  map[uint64]*watchPart // by id. Invariant: none where broken
		broken bool
	}
}

func newWatchConns(c *Client) *watchConns {
	ws := &watchConns{c: c}
	ws.mu.byAddr = make(map[string]*watchConn)
	return ws
}

// nextID names a watch of a partition.
func (ws *watchConns) nextID() uint64 {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.mu.lastID++
	return ws.mu.lastID
}

// get returns the connection to a server, opening it if need be.
func (ws *watchConns) get(ctx context.Context, addr string) (*watchConn, error) {
	ws.mu.Lock()
	wc := ws.mu.byAddr[addr]
	switch {
	case ws.mu.closed:
		ws.mu.Unlock()
		return nil, ErrClosed
	case wc == nil:
		wc = &watchConn{addr: addr, ready: make(chan struct{})}
		wc.mu.parts = make(map[uint64]*watchPart)
		ws.mu.byAddr[addr] = wc
		ws.c.ended.Go(func() { ws.run(wc) })
	}
	ws.mu.Unlock()
	select {
	case <-wc.ready:
		return wc, wc.err
	case <-ctx.Done():
		return nil, fmt.Errorf("connect to %s: %w", addr, context.Cause(ctx))
	}
}

// run opens a connection, looks after it and, when it is broken, tells who watches by it.
func (ws *watchConns) run(wc *watchConn) {
	ctx := ws.c.running
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	wc.conn, wc.err = wire.DialPushed(dialing, wc.addr, wc.heardBy(ws.c.opts.Dialer), wire.DefaultLimits, wc.pushed)
	if wc.err == nil {
		if wc.err = ws.c.greet(dialing, wc.conn); wc.err != nil {
			_ = wc.conn.Close() // the error says more
		}
	}
	cancel()
	close(wc.ready)
	if wc.err == nil {
		wc.keepAlive(ctx)
		_ = wc.conn.Close() // broken already, or of no more use
	}
	ws.mu.Lock()
	delete(ws.mu.byAddr, wc.addr)
	ws.mu.Unlock()
	wc.mu.Lock()
	parts := wc.mu.parts
	wc.mu.parts, wc.mu.broken = nil, true
	wc.mu.Unlock()
	for _, p := range parts {
		p.lost(wc)
	}
}

// heardConn notes when something comes.
type heardConn struct {
	net.Conn
	wc *watchConn
}

// Read implements net.Conn.
func (c *heardConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.wc.came.Store(time.Now().UnixNano())
	}
	return n, err
}

// heardBy has a dialer's connections note when something comes: an answer may stand behind a
// long value.
func (wc *watchConn) heardBy(dial DialFunc) DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &heardConn{nc, wc}, nil
	}
}

// keepAlive returns when the connection is broken, silent or of no more use, or the Client is
// closed.
func (wc *watchConn) keepAlive(ctx context.Context) {
	tick := time.NewTicker(watchPingEvery)
	defer tick.Stop()
	used := time.Now()
	for {
		select {
		case <-tick.C:
		case <-wc.conn.Done():
			return
		case <-ctx.Done():
			return
		}
		if !wc.unused() {
			used = time.Now()
		}
		if time.Since(used) >= watchIdleClose && wc.retire() || !wc.answers(ctx) {
			return
		}
	}
}

// answers reports whether the other side answers a PING, or says anything else meanwhile.
func (wc *watchConn) answers(ctx context.Context) bool {
	ping, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan error, 1)
	go func() {
		_, err := wc.conn.Do(ping, []byte("PING"))
		answered <- err
	}()
	since := time.Now()
	for {
		select {
		case err := <-answered:
			return err == nil
		case <-time.After(watchSilence):
		}
		if last := time.Unix(0, wc.came.Load()); last.After(since) {
			since = last
		}
		if time.Since(since) >= watchSilence {
			return false
		}
	}
}

func (wc *watchConn) unused() bool {
	wc.mu.Lock()
	defer wc.mu.Unlock()
	return len(wc.mu.parts) == 0
}

// retire has nobody use the connection any more, if nobody does.
func (wc *watchConn) retire() bool {
	wc.mu.Lock()
	defer wc.mu.Unlock()
	wc.mu.broken = len(wc.mu.parts) == 0
	return wc.mu.broken
}

// close ends all connections.
func (ws *watchConns) close() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.mu.closed = true
}

// pushed passes on what the server tells. What is no Told breaks the connection.
func (wc *watchConn) pushed(v wire.Value) {
	if len(v.Array) != 2 || string(v.Array[0].Bytes) != wire.PushTold {
		return // of a kind that this build does not know
	}
	t, err := wire.DecodeTold(v.Array[1].Bytes)
	if err != nil {
		go wc.conn.Close() // it waits for the goroutine that this one is
		return
	}
	wc.mu.Lock()
	p := wc.mu.parts[t.ID]
	if t.Kind == wire.TellEnded {
		delete(wc.mu.parts, t.ID)
	}
	wc.mu.Unlock()
	if p != nil {
		p.hear(&t)
	}
}

// add has what comes for an id go to a part; false when the connection is broken.
func (wc *watchConn) add(id uint64, p *watchPart) bool {
	wc.mu.Lock()
	defer wc.mu.Unlock()
	if wc.mu.broken {
		return false
	}
	wc.mu.parts[id] = p
	return true
}

// forget has nothing go to who was added.
func (wc *watchConn) forget(id uint64) {
	wc.mu.Lock()
	defer wc.mu.Unlock()
	delete(wc.mu.parts, id)
}

// remove forgets an id, and tells the server, whose answer nobody waits for.
func (wc *watchConn) remove(id uint64) {
	wc.mu.Lock()
	_, there := wc.mu.parts[id]
	delete(wc.mu.parts, id)
	wc.mu.Unlock()
	if !there {
		return
	}
	_, sent, _ := wc.conn.TryStart(wire.AppendCommand(nil, []byte(wire.CmdUnwatch), strconv.AppendUint(nil, id, 10)), 1, wire.Room{})
	if !sent {
		go wc.conn.Close() // or the server would go on telling; who else watches by it connects anew
	}
}
