package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"viewring/internal/wait"
)

// How a Leader goes about a view leader that does not answer.
const (
	leaderPatience   = 4 * time.Second // of failures in a row before a call gives up
	leaderDialMax    = time.Second     // for one connection
	leaderAnswerMax  = 2 * time.Second // for one answer, beyond what it may wait
	leaderPauseMin   = 10 * time.Millisecond
	leaderPauseMax   = 250 * time.Millisecond
	leaderSparesKeep = 2 // idle connections for long calls
)

// leaderLimits bound a reply of the view leader.
var leaderLimits = Limits{
	BulkBytesMax:  LeaderCommandBytesMax,
	LineBytesMax:  16 << 10,
	ArgsMax:       16,
	TotalBytesMax: LeaderCommandBytesMax + 1<<10,
	DepthMax:      4,
}

// ErrLeaderUnreachable is wrapped when no view leader answers.
var ErrLeaderUnreachable = errors.New("view leader unreachable")

// Leader asks the view leader. It keeps one connection for what is answered at
// once, pipelined, and others for calls that wait long, so that nothing waits
// behind them. A broken connection is made anew, at the next address of the
// list or the one that a view leader names as its head. Safe for concurrent use.
type Leader struct {
	addrs []string
	dial  DialFunc

	dialing chan struct{} // capacity 1: one goroutine at a time connects the shared one

	mu struct {
		sync.Mutex
		head   string // where to dial next
		shared *Conn
		spares []*Conn // idle, for long calls
		long   map[*Conn]bool
		closed bool
	}
}

// NewLeader returns a Leader for a list of addresses; a nil dial is net.Dialer's.
// Nothing is dialed before the first call.
func NewLeader(addrs []string, dial DialFunc) *Leader {
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	l := &Leader{addrs: addrs, dial: dial, dialing: make(chan struct{}, 1)}
	l.mu.long = make(map[*Conn]bool)
	if len(addrs) > 0 {
		l.mu.head = addrs[0]
	}
	return l
}

// Close breaks all connections and the calls that wait on them.
func (l *Leader) Close() error {
	l.mu.Lock()
	l.mu.closed = true
	conns := l.mu.spares
	if l.mu.shared != nil {
		conns = append(conns, l.mu.shared)
	}
	for c := range l.mu.long {
		conns = append(conns, c)
	}
	l.mu.shared, l.mu.spares = nil, nil
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // never fails
	}
	return nil
}

// question is one call to the view leader.
type question struct {
	args [][]byte
	long bool          // on a connection of its own
	wait time.Duration // that the answer may take by design; negative: any
}

// ask repeats q until it is answered, ctx ends, or nobody answered for
// leaderPatience. again reports that an earlier try may have been carried out.
func (l *Leader) ask(ctx context.Context, q question) (v Value, again bool, err error) {
	pause := leaderPauseMin
	failing := time.Now()
	for {
		var sent bool
		began := time.Now()
		v, sent, err = l.try(ctx, q)
		var reply *ServerError
		if err == nil || (errors.As(err, &reply) && reply.Code != CodeNotHead) {
			return v, again, err
		}
		if ctx.Err() != nil && sent && q.long {
			return v, again, err // it is there, and was asked no longer
		}
		again = again || sent && reply == nil
		if reply != nil {
			l.redirect(reply.Message)
		} else {
			l.next()
		}
		if sent && q.long && time.Since(began) > leaderDialMax {
			failing, pause = time.Now(), leaderPauseMin // it was there until just now
		}
		if errors.Is(err, ErrClosed) || time.Since(failing) > leaderPatience || !wait.For(ctx, pause) {
			return v, again, fmt.Errorf("%w: %s: %w", ErrLeaderUnreachable, strings.Join(l.addrs, ", "), err)
		}
		pause = min(2*pause, leaderPauseMax)
	}
}

// try asks once. sent reports that the question may have arrived.
func (l *Leader) try(ctx context.Context, q question) (v Value, sent bool, err error) {
	conn, err := l.connection(ctx, q.long)
	if err != nil {
		return Value{}, false, err
	}
	asking := ctx
	if q.wait >= 0 {
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(ctx, q.wait+leaderAnswerMax)
		defer cancel()
	}
	v, err = conn.Do(asking, q.args...)
	var reply *ServerError
	answered := err == nil || errors.As(err, &reply)
	switch {
	case q.long && answered:
		l.spare(conn)
	case q.long, !answered && ctx.Err() == nil:
		// The view leader sees by the broken connection that nobody waits any
		// more; and one that does not answer in time may be hung.
		l.drop(conn)
	}
	return v, true, err
}

// connection returns the shared connection, or one for a long call.
func (l *Leader) connection(ctx context.Context, long bool) (*Conn, error) {
	if long {
		if c := l.takeSpare(); c != nil {
			return c, nil
		}
		c, err := l.connect(ctx)
		if err != nil {
			return nil, err
		}
		return c, l.adopt(c, true)
	}
	if c := l.takeShared(); c != nil {
		return c, nil
	}
	select {
	case l.dialing <- struct{}{}:
		defer func() { <-l.dialing }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if c := l.takeShared(); c != nil { // somebody else made it meanwhile
		return c, nil
	}
	c, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	return c, l.adopt(c, false)
}

func (l *Leader) connect(ctx context.Context) (*Conn, error) {
	l.mu.Lock()
	head, closed := l.mu.head, l.mu.closed
	l.mu.Unlock()
	switch {
	case closed:
		return nil, ErrClosed
	case head == "":
		return nil, errors.New("no address given")
	}
	ctx, cancel := context.WithTimeout(ctx, leaderDialMax)
	defer cancel()
	return Dial(ctx, head, l.dial, leaderLimits)
}

// adopt takes a new connection in charge.
func (l *Leader) adopt(c *Conn, long bool) error {
	l.mu.Lock()
	closed := l.mu.closed
	if !closed && long {
		l.mu.long[c] = true
	} else if !closed {
		l.mu.shared = c
	}
	l.mu.Unlock()
	if closed {
		_ = c.Close() // never fails
		return ErrClosed
	}
	return nil
}

func (l *Leader) takeShared() *Conn {
	l.mu.Lock()
	c := l.mu.shared
	if c != nil && broken(c) {
		l.mu.shared = nil
	}
	l.mu.Unlock()
	if c != nil && broken(c) {
		_ = c.Close() // waits for its goroutines
		return nil
	}
	return c
}

func (l *Leader) takeSpare() *Conn {
	for {
		l.mu.Lock()
		n := len(l.mu.spares)
		if n == 0 {
			l.mu.Unlock()
			return nil
		}
		c := l.mu.spares[n-1]
		l.mu.spares = l.mu.spares[:n-1]
		if !broken(c) {
			l.mu.long[c] = true
			l.mu.Unlock()
			return c
		}
		l.mu.Unlock()
		_ = c.Close() // waits for its goroutines
	}
}

func broken(c *Conn) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// spare keeps a connection whose long call is over.
func (l *Leader) spare(c *Conn) {
	l.mu.Lock()
	delete(l.mu.long, c)
	keep := !l.mu.closed && len(l.mu.spares) < leaderSparesKeep && !broken(c)
	if keep {
		l.mu.spares = append(l.mu.spares, c)
	}
	l.mu.Unlock()
	if !keep {
		_ = c.Close() // never fails
	}
}

// drop closes a connection for good.
func (l *Leader) drop(c *Conn) {
	l.mu.Lock()
	delete(l.mu.long, c)
	if l.mu.shared == c {
		l.mu.shared = nil
	}
	l.mu.Unlock()
	_ = c.Close() // never fails
}

// next moves on to the address after the one that failed.
func (l *Leader) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, a := range l.addrs {
		if a == l.mu.head {
			l.mu.head = l.addrs[(i+1)%len(l.addrs)]
			return
		}
	}
	if len(l.addrs) > 0 {
		l.mu.head = l.addrs[0]
	}
}

// redirect moves on to the head that a view leader named.
func (l *Leader) redirect(head string) {
	if head == "" {
		l.next()
	} else {
		l.mu.Lock()
		l.mu.head = head
		l.mu.Unlock()
	}
	l.mu.Lock()
	old := l.mu.shared
	l.mu.shared = nil
	spares := l.mu.spares
	l.mu.spares = nil
	l.mu.Unlock()
	if old != nil {
		spares = append(spares, old)
	}
	for _, c := range spares {
		_ = c.Close() // never fails
	}
}
