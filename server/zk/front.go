package zk

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/files"
	"viewring/internal/secure"
	"viewring/internal/tally"
	"viewring/internal/tree"
	"viewring/internal/wait"
	"viewring/internal/wire"
)

// Front is a running front. It stops when its context ends or with Close.
type Front struct {
	opts    Options
	started time.Time
	key     []byte // of the passwords of sessions
	hub     *hub
	crew    *crew // carries requests out

	ctx     context.Context // ends with the front
	cancel  context.CancelFunc
	stopped chan struct{} // closed when everything has ended
	running sync.WaitGroup

	opening opening
	refused secure.Refusals
	gate    files.Gate
	guests  *secure.Guests
	stats   stats
	ops     *tally.Ops       // requests, by opNumbers and codeNumbers
	pause   func(what pause) // for tests: lets time pass where others may be faster; nil: no time

	mu struct {
		sync.Mutex
		finishing bool // takes nobody new
		conns     map[*conn]struct{}
		sessions  map[uint64]*conn // each session's last connection
		left      map[uint64]left  // of sessions without a connection here that has nodes
		accepted  uint64           // connections
		closed    bool
	}
}

// left is what a connection leaves to the session's next one here: its nodes.
type left struct {
	owned map[string]struct{}
	until time.Time // then the session has ended, or is elsewhere
}

// pause says where time passes.
type pause uint8

// The pauses.
const (
	beforeTelling pause = iota // what a stream was told
	beforeArming               // a watch whose answer is in line
)

func (f *Front) letPass(what pause) {
	if f.pause != nil {
		f.pause(what)
	}
}

// stats are those of now, and counted since the start.
type stats struct {
	connected, sessions, watches, held          atomic.Int64
	received, sent, failed, expired, turnedAway atomic.Int64
	outstanding, cut, garbage, logins           atomic.Int64
	latencyCount, latencySum, latencyMax, zxid  atomic.Int64 // microseconds; zxid is the highest told
}

// Start serves.
func Start(ctx context.Context, opts Options) *Front {
	f := newFront(ctx, opts)
	f.start()
	return f
}

func newFront(ctx context.Context, opts Options) *Front {
	opts.fill()
	f := &Front{opts: opts, started: time.Now(), stopped: make(chan struct{})}
	f.gate = files.NewGate()
	f.guests = secure.NewGuests(min(guestsMax, (opts.Bounds.Connections+1)/2))
	f.crew = newCrew(&f.running)
	f.ops = tally.NewOps(len(opNames))
	f.key = passwordKey(opts.Client.View().Cluster)
	f.mu.left = make(map[uint64]left)
	f.mu.conns, f.mu.sessions = make(map[*conn]struct{}), make(map[uint64]*conn)
	f.ctx, f.cancel = context.WithCancel(ctx)
	f.hub = newHub(f)
	return f
}

func (f *Front) start() {
	go func() {
		defer close(f.stopped)
		f.serve()
	}()
	f.opts.Logger.Info("zookeeper front is up", "addr", f.Addr())
}

// Addr returns the address that the front listens at.
func (f *Front) Addr() string { return f.opts.Listener.Addr().String() }

// Close stops the front and returns when everything in it has ended. Sessions go on at other
// fronts.
func (f *Front) Close() error {
	f.cancel()
	f.Wait()
	return nil
}

// Finish lets the front's clients go before its end, and returns when all have left, or with ctx: nobody new
// is let in, and what clients have asked is carried out and answered. Their sessions go on at other fronts. Close ends it.
func (f *Front) Finish(ctx context.Context) {
	f.mu.Lock()
	f.mu.finishing = true
	_ = f.opts.Listener.Close() // nobody waits for more
	for c := range f.mu.conns {
		c.leave()
	}
	f.mu.Unlock()
	for f.serves() && wait.For(ctx, finishLook) {
	}
}

// finishes reports whether Finish was called.
func (f *Front) finishes() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.finishing
}

// serves reports whether clients are connected.
func (f *Front) serves() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.mu.conns) > 0
}

// Wait returns when the front has stopped.
func (f *Front) Wait() { <-f.stopped }

// serve takes connections until the front's context ends.
func (f *Front) serve() {
	defer f.running.Wait()
	defer f.cancel() // where the listener was closed by somebody else
	hangUp := context.AfterFunc(f.ctx, f.hangUp)
	defer func() {
		if hangUp() {
			f.hangUp()
		}
	}()
	f.running.Go(f.hub.tidy)
	f.gate.Compare(f.opts.Logger, "zookeeper front", f.opts.Bounds.Connections)
	for {
		nc, err := f.opts.Listener.Accept()
		switch {
		case err == nil:
			f.accept(nc)
		case f.finishes():
			<-f.ctx.Done() // those who are here are served until then
			return
		case f.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			f.opts.Logger.Warn("a connection could not be accepted", "err", err)
			wait.For(f.ctx, acceptPause)
		}
	}
}

// hangUp closes everything; the goroutines end by it.
func (f *Front) hangUp() {
	_ = f.opts.Listener.Close() // nobody waits for more
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.closed = true
	for c := range f.mu.conns {
		c.drop("the front stops")
	}
}

// accept serves a connection, unless there are too many.
func (f *Front) accept(nc net.Conn) {
	c := newConn(f, nc)
	f.mu.Lock()
	full := len(f.mu.conns) >= f.opts.Bounds.Connections || f.gate.Judge(nc) != files.Everybody
	ok := !f.mu.closed && !f.mu.finishing && !full
	if ok {
		f.mu.accepted++
		c.number = f.mu.accepted
		f.mu.conns[c] = struct{}{}
		f.running.Add(1)
	}
	f.mu.Unlock()
	if !ok {
		if full {
			f.stats.turnedAway.Add(1)
		}
		_ = nc.Close() // ZooKeeper has no word for it
		return
	}
	f.stats.connected.Add(1)
	c.known = f.guests.Enter(f.ctx, func() { c.drop("too many connections have not said the password") })
	go func() {
		defer f.running.Done()
		defer c.known()
		c.run()
		f.mu.Lock()
		delete(f.mu.conns, c)
		f.mu.Unlock()
		f.stats.connected.Add(-1)
	}()
}

// take makes a connection that of a session, and drops the one that it had here. It is false where that was
// accepted later: then its client has left this one.
func (f *Front) take(c *conn) bool {
	f.mu.Lock()
	was := f.mu.sessions[c.session]
	if was != nil && was.number > c.number {
		f.mu.Unlock()
		return false
	}
	f.mu.sessions[c.session] = c
	f.mu.Unlock()
	f.stats.sessions.Add(1)
	if was != nil {
		c.before = was
		was.drop("its session has moved to another connection")
	}
	return true
}

// hasLast reports whether a connection is the last of its session here.
func (f *Front) hasLast(c *conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.sessions[c.session] == c
}

// leave takes back what take did, once all that the client asked for is carried out.
func (f *Front) leave(c *conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.sessions[c.session] == c {
		delete(f.mu.sessions, c.session)
	}
	if len(c.owned) > 0 {
		f.mu.left[c.session] = left{c.owned, time.Now().Add(c.ttl)}
	}
	f.stats.sessions.Add(-1)
	close(c.ended)
}

// takeOwned returns the nodes of a session that were created on its connections before.
func (f *Front) takeOwned(session uint64) map[string]struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	owned := f.mu.left[session].owned
	delete(f.mu.left, session)
	if owned == nil {
		owned = make(map[string]struct{})
	}
	return owned
}

// forget forgets what was left to sessions that did not come back.
func (f *Front) forget(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for session, l := range f.mu.left {
		if now.After(l.until) {
			delete(f.mu.left, session)
		}
	}
}

// ask carries out the steps of an operation that is named so in errors.
func (f *Front) ask(ctx context.Context, name string) tree.Ask {
	return func(q *wire.TreeRequest) (wire.TreeReply, error) { return f.opts.Client.Tree(ctx, name, q) }
}
