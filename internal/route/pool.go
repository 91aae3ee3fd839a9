package route

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

const (
	dialTimeout  = 2 * time.Second
	dialCooldown = 50 * time.Millisecond // after a failed dial, its error answers everyone
)

// lane names one of the few connections to a server. Replies come in order, so
// reads have lanes of their own, where no write's fsync is ahead of them.
type lane struct {
	addr   string
	number uint8
	resp3  bool // replies are in RESP3
}

const (
	writeLanes = 4
	readLanes  = 2
	adminLane  = writeLanes + readLanes // views and whatever else is rare
)

// laneOf picks the lane for an operation on a partition.
func laneOf(addr string, p ring.PartitionID, mutation, resp3 bool) lane {
	if mutation {
		return lane{addr, uint8(p % writeLanes), resp3}
	}
	return lane{addr, uint8(writeLanes + p%readLanes), resp3}
}

// pool keeps the connections to servers, each shared by many goroutines.
type pool struct {
	dial  DialFunc
	greet func(ctx context.Context, conn *wire.Conn) error

	mu struct {
		sync.Mutex
		closed bool
		lines  map[lane]*line
	}
}

// line is the connection of one lane, or the attempt to open it.
type line struct {
	ready chan struct{} // closed when the fields below are set
	conn  *wire.Conn
	err   error
	until time.Time // until when err stands
}

func newPool(dial DialFunc, greet func(context.Context, *wire.Conn) error) *pool {
	p := &pool{dial: dial, greet: greet}
	p.mu.lines = make(map[lane]*line)
	return p
}

// get returns the connection of a lane, opening it if need be. Many callers
// share one attempt; an attempt outlives the caller that began it.
func (p *pool) get(ctx context.Context, at lane) (*wire.Conn, error) {
	l, err := p.line(ctx, at)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.ready:
		return l.conn, l.err
	case <-ctx.Done():
		return nil, fmt.Errorf("connect to %s: %w", at.addr, context.Cause(ctx))
	}
}

// opened returns the connection of a lane if it is open already; if not, it will
// be.
func (p *pool) opened(ctx context.Context, at lane) *wire.Conn {
	l, err := p.line(ctx, at)
	if err != nil {
		return nil
	}
	select {
	case <-l.ready:
		return l.conn
	default:
		return nil
	}
}

func (p *pool) line(ctx context.Context, at lane) (*line, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.closed {
		return nil, ErrClosed
	}
	l := p.mu.lines[at]
	if l == nil || l.stale(time.Now()) {
		l = &line{ready: make(chan struct{})}
		p.mu.lines[at] = l
		go p.open(context.WithoutCancel(ctx), l, at)
	}
	return l, nil
}

// stale reports whether a finished attempt is of no more use.
func (l *line) stale(now time.Time) bool {
	select {
	case <-l.ready:
	default:
		return false
	}
	if l.err != nil {
		return now.After(l.until)
	}
	select {
	case <-l.conn.Done():
		return true
	default:
		return false
	}
}

func (p *pool) open(ctx context.Context, l *line, at lane) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	defer close(l.ready)
	if l.conn, l.err = p.connect(ctx, at); l.err != nil {
		l.until = time.Now().Add(dialCooldown)
	}
}

// connect makes a connection.
func (p *pool) connect(ctx context.Context, at lane) (*wire.Conn, error) {
	conn, err := wire.Dial(ctx, at.addr, p.dial, wire.DefaultLimits)
	if err != nil {
		return nil, err
	}
	if at.resp3 {
		_, err = conn.Do(ctx, []byte("HELLO"), []byte("3"))
	}
	if err == nil {
		err = p.greet(ctx, conn)
	}
	if err != nil {
		_ = conn.Close() // the error says more
		return nil, err
	}
	return conn, nil
}

// close closes every connection and waits for attempts under way.
func (p *pool) close() {
	p.mu.Lock()
	p.mu.closed = true
	lines := p.mu.lines
	p.mu.lines = nil
	p.mu.Unlock()
	for _, l := range lines {
		<-l.ready
		if l.conn != nil {
			_ = l.conn.Close() // nothing is in flight that anyone waits for
		}
	}
}

// viewOf asks the server behind conn for a view newer than base, or for its
// present one when base is nil. It returns nil when the server has none newer.
func viewOf(ctx context.Context, conn *wire.Conn, base *ring.View) (*ring.View, error) {
	var since uint64
	if base != nil {
		since = base.Epoch
	}
	reply, err := conn.Do(ctx, []byte(wire.CmdViewOf), strconv.AppendUint(nil, since, 10))
	if err != nil {
		return nil, fmt.Errorf("ask for the view: %w", err)
	}
	if reply.IsNil() {
		return nil, nil
	}
	v, err := ring.DecodeView(reply.Bytes, base)
	if err != nil {
		return nil, fmt.Errorf("read the view: %w", err)
	}
	return v, nil
}
