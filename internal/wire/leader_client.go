package wire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/outcome"
	"viewring/internal/wait"
)

// How a Leader goes about a view leader that does not answer.
const (
	leaderPatience  = 4 * time.Second // of failures in a row before a call gives up
	leaderDialMax   = time.Second     // for one connection
	leaderAnswerMax = 2 * time.Second // for one answer, beyond what it may wait
	leaderPauseMin  = 10 * time.Millisecond
	leaderPauseMax  = 60 * time.Millisecond
	leaderIdleMax   = 2               // idle connections for long calls
	leaderWatch     = 2 * time.Second // between looks at a view leader that a call waits on
	leaderAddrsMax  = 16
	leaderBrief     = 256 // heartbeats until a view leader that refused a longer one is tried again
)

// leaderLimits bound a reply of the view leader.
var leaderLimits = Limits{
	BulkBytesMax:  LeaderCommandBytesMax,
	LineBytesMax:  16 << 10,
	ArgsMax:       16,
	TotalBytesMax: LeaderCommandBytesMax + 1<<10,
	DepthMax:      4,
}

// ErrLeaderUnreachable is wrapped when no view leader answers, or none is the head.
var ErrLeaderUnreachable = errors.New("view leader unreachable")

// ErrNoHead is also ErrLeaderUnreachable: those who answer can't decide anything.
var ErrNoHead = fmt.Errorf("%w: none is the head, for no majority of the group is up and connected", ErrLeaderUnreachable)

// Leader asks the view leader. It keeps one connection for what is answered at
// once, pipelined, and others for calls that wait long, so that nothing waits
// behind them. A broken connection is made anew, at the next address of the
// list or the one that a view leader names as its head. Safe for concurrent use.
type Leader struct {
	dial DialFunc

	dialing chan struct{} // capacity 1: one goroutine at a time connects the shared one
	closing chan struct{} // closed by Close
	brief   atomic.Int32  // heartbeats to be kept brief: the view leader refused a longer one

	mu struct {
		sync.Mutex
		addrs  []string // given, and named by view leaders since
		head   string   // where to dial next
		watch  bool     // a goroutine looks after long
		shared *Conn
		idle   []*Conn // for long calls
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
	l := &Leader{dial: dial, dialing: make(chan struct{}, 1), closing: make(chan struct{})}
	l.mu.addrs = slices.Clone(addrs)
	l.mu.long = make(map[*Conn]bool)
	if len(addrs) > 0 {
		l.mu.head = addrs[0]
	}
	return l
}

// Close breaks all connections and the calls that wait on them.
func (l *Leader) Close() error {
	l.mu.Lock()
	if !l.mu.closed {
		close(l.closing)
	}
	l.mu.closed = true
	conns := l.mu.idle
	if l.mu.shared != nil {
		conns = append(conns, l.mu.shared)
	}
	for c := range l.mu.long {
		conns = append(conns, c)
	}
	l.mu.shared, l.mu.idle = nil, nil
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
	kind outcome.Kind  // Read or Repeatable: doing it twice is as doing it once, or else it is once
	once bool          // carries an id, so that it is done once however often it is asked
}

// ask repeats q until it is answered, ctx ends, or nobody answered for
// leaderPatience. again reports that an earlier try may have been carried out; where
// that leaves open what came of it the error is ErrOutcomeUnknown.
func (l *Leader) ask(ctx context.Context, q question) (v Value, again bool, err error) {
	if q.once {
		id := NewCommandID()
		q.args = append(q.args, id[:])
	}
	tries := outcome.Of(q.kind)
	ended := func(v Value, err error) (Value, bool, error) {
		if tries.End() == outcome.Unknown {
			err = UnknownOutcome(err)
		}
		return v, tries.Maybe(), err
	}
	pause := leaderPauseMin
	failing := time.Now()
	var last error
	for {
		began := time.Now()
		v, t := l.try(ctx, q)
		last = Telling(last, t.err)
		switch tries.Next(t.came) {
		case outcome.Answer:
			if q.once && (IsCode(t.err, CodeRefused) || IsCode(t.err, CodeNotHeld)) {
				// A try whose answer was lost may have done it: with so many commands
				// since that the view leader has forgotten what came of it.
				return ended(v, t.err)
			}
			return v, tries.Maybe(), t.err
		case outcome.Refuse, outcome.Unknown:
			return ended(v, t.err)
		}
		if ctx.Err() != nil && t.sent && q.long {
			return ended(v, t.err) // it is there, and was asked no longer
		}
		head, notHead := NamedHead(t.err)
		l.moveOn(t.addr, head)
		if t.sent && q.long && time.Since(began) > leaderPauseMax {
			failing, pause = time.Now(), leaderPauseMin // it was there until just now
		}
		patience := leaderPatience
		if len(l.addresses()) > 1 {
			patience *= 2 // one of them may be about to become the head
		}
		if l.isClosed() || time.Since(failing) > patience || !wait.For(ctx, pause) {
			if notHead {
				return ended(v, fmt.Errorf("%w: %s", ErrNoHead, strings.Join(l.addresses(), ", ")))
			}
			return ended(v, fmt.Errorf("%w: %s: %w", ErrLeaderUnreachable, strings.Join(l.addresses(), ", "), last))
		}
		pause = min(2*pause, leaderPauseMax)
	}
}

// tried is how one try went.
type tried struct {
	addr string // that was asked; "" when it is not known
	sent bool   // there was a connection to ask on
	came outcome.Try
	err  error
}

// try asks once.
func (l *Leader) try(ctx context.Context, q question) (Value, tried) {
	conn, addr, err := l.connection(ctx, q.long)
	if err != nil {
		return Value{}, tried{addr: addr, came: notAsked(err), err: err}
	}
	asking := ctx
	if q.wait >= 0 {
		answer := leaderAnswerMax
		if len(l.addresses()) > 1 {
			answer /= 2 // another one may know more
		}
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(ctx, q.wait+answer)
		defer cancel()
	}
	v, err := conn.Do(asking, q.args...)
	var reply *ServerError
	answered := err == nil || errors.As(err, &reply)
	switch {
	case q.long && answered:
		l.keepIdle(conn)
	case q.long, !answered && ctx.Err() == nil:
		// The view leader sees by the broken connection that nobody waits any
		// more; and one that does not answer in time may be hung.
		l.drop(conn)
	}
	return v, tried{addr: conn.Addr(), sent: true, came: answeredBy(err), err: err}
}

// answeredBy is what a question came to that was asked. A view leader that turns it
// away is asked again, at once or elsewhere, only where the outcome of an earlier try must be learned:
// everyone else is told why.
func answeredBy(err error) outcome.Try {
	came := Tried(err)
	if came == outcome.Declined && !IsCode(err, CodeNotHead) {
		return outcome.AtLimit
	}
	return came
}

// notAsked is what a try came to for which there was no connection: one that is
// refused, for want of a password say, is answered by an error reply.
func notAsked(err error) outcome.Try {
	if came := answeredBy(err); came != outcome.Silent {
		return came
	}
	return outcome.NotSent
}

// connection returns the shared connection, or one for a long call. The address is
// the one that was dialed in vain.
func (l *Leader) connection(ctx context.Context, long bool) (*Conn, string, error) {
	if long {
		if c := l.takeIdle(); c != nil {
			return c, "", nil
		}
		c, addr, err := l.connect(ctx)
		if err != nil {
			return nil, addr, err
		}
		return c, addr, l.adopt(c, true)
	}
	if c := l.takeShared(); c != nil {
		return c, "", nil
	}
	select {
	case l.dialing <- struct{}{}:
		defer func() { <-l.dialing }()
	case <-ctx.Done():
		return nil, "", context.Cause(ctx)
	}
	if c := l.takeShared(); c != nil { // somebody else made it meanwhile
		return c, "", nil
	}
	c, addr, err := l.connect(ctx)
	if err != nil {
		return nil, addr, err
	}
	return c, addr, l.adopt(c, false)
}

func (l *Leader) connect(ctx context.Context) (*Conn, string, error) {
	l.mu.Lock()
	head, closed, others := l.mu.head, l.mu.closed, len(l.mu.addrs) > 1
	l.mu.Unlock()
	switch {
	case closed:
		return nil, head, ErrClosed
	case head == "":
		return nil, "", errors.New("no address given")
	}
	bound := leaderDialMax
	if others {
		bound /= 2
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	c, err := Dial(ctx, head, l.dial, leaderLimits)
	return c, head, err
}

// adopt takes a new connection in charge.
func (l *Leader) adopt(c *Conn, long bool) error {
	l.mu.Lock()
	closed := l.mu.closed
	if !closed && long {
		l.mu.long[c] = true
		if !l.mu.watch && len(l.mu.addrs) > 1 {
			l.mu.watch = true
			go l.watchLong() // ends with the last long call
		}
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

// takeShared returns the shared connection, if it is one to who is asked now: it
// may have been dialed just when others moved on.
func (l *Leader) takeShared() *Conn {
	l.mu.Lock()
	c := l.mu.shared
	stale := c != nil && (broken(c) || c.Addr() != l.mu.head)
	if stale {
		l.mu.shared = nil
	}
	l.mu.Unlock()
	if stale {
		_ = c.Close() // waits for its goroutines
		return nil
	}
	return c
}

func (l *Leader) takeIdle() *Conn {
	for {
		l.mu.Lock()
		n := len(l.mu.idle)
		if n == 0 {
			l.mu.Unlock()
			return nil
		}
		c := l.mu.idle[n-1]
		l.mu.idle = l.mu.idle[:n-1]
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

// keepIdle keeps a connection whose long call is over.
func (l *Leader) keepIdle(c *Conn) {
	l.mu.Lock()
	delete(l.mu.long, c)
	keep := !l.mu.closed && len(l.mu.idle) < leaderIdleMax && !broken(c) && c.Addr() == l.mu.head
	if keep {
		l.mu.idle = append(l.mu.idle, c)
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

// moveOn is for a view leader that did not answer, or that named another one as the
// head: the next of the list is asked then, or that one. Where others have moved on
// already nothing changes.
func (l *Leader) moveOn(failed, head string) {
	l.mu.Lock()
	if failed != l.mu.head || len(l.mu.addrs) == 0 {
		l.mu.Unlock()
		return
	}
	switch i := slices.Index(l.mu.addrs, l.mu.head); {
	case head == "":
		l.mu.head = l.mu.addrs[(i+1)%len(l.mu.addrs)]
	default:
		l.mu.head = head
		if !slices.Contains(l.mu.addrs, head) && len(l.mu.addrs) < leaderAddrsMax {
			l.mu.addrs = append(l.mu.addrs, head)
		}
	}
	old := l.mu.idle
	l.mu.idle = nil
	if l.mu.shared != nil {
		old = append(old, l.mu.shared)
		l.mu.shared = nil
	}
	l.mu.Unlock()
	for _, c := range old {
		_ = c.Close() // never fails
	}
}

func (l *Leader) isClosed() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

func (l *Leader) addresses() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.mu.addrs)
}

// watchLong looks after long calls: a view leader that is cut off, or stands still,
// breaks no connection. It ends when no long call is left.
func (l *Leader) watchLong() {
	tick := time.NewTicker(leaderWatch)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.closing:
			return
		}
		l.mu.Lock()
		if len(l.mu.long) == 0 || l.mu.closed {
			l.mu.watch = false
			l.mu.Unlock()
			return
		}
		waiting := slices.Collect(maps.Keys(l.mu.long))
		l.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), leaderAnswerMax)
		alive := l.ping(ctx)
		cancel()
		for _, c := range waiting {
			if c.Addr() != alive {
				_ = c.Close() // never fails; its call is asked again elsewhere
			}
		}
	}
}

// ping returns the address of the view leader that is asked now, when it answers.
func (l *Leader) ping(ctx context.Context) string {
	c, addr, err := l.connection(ctx, false)
	if err == nil {
		addr = c.Addr()
		_, err = c.Do(ctx, []byte("PING"))
	}
	if err == nil {
		return addr
	}
	if c != nil {
		l.drop(c)
	}
	l.moveOn(addr, "")
	return ""
}
