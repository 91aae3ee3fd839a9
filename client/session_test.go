package client

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"viewring/internal/route"
	"viewring/internal/session"
	"viewring/viewleader"
)

// network is a client's way to the view leader, which can be cut.
type network struct {
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (n *network) dial(ctx context.Context, proto, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, proto, addr)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cut {
		return nil, errors.New("cut")
	}
	n.conns = append(n.conns, c)
	return c, err
}

func (n *network) breakOff() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = true
	for _, c := range n.conns {
		_ = c.Close() // of a test
	}
}

// leaderClient is a client that knows a view leader and no servers.
func leaderClient(t *testing.T, addr string, n *network) *Client {
	c := &Client{route.New(route.Options{Leaders: []string{addr}, Dialer: n.dial, ConnectTimeout: 5 * time.Second})}
	t.Cleanup(func() { _ = c.Close() }) // never fails
	return c
}

func startLeader(t *testing.T) string {
	s, err := viewleader.Start(t.Context(), viewleader.Options{Listen: "127.0.0.1:0", Data: t.TempDir(),
		Partitions: 16, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.Addr()
}

// TestSessionKnowsFirst: a client that is cut off knows that its session is lost
// before anybody else is granted its lock; one that is not keeps it for longer than
// its time to live, and gives it back when it closes it.
func TestSessionKnowsFirst(t *testing.T) {
	t.Parallel()
	addr := startLeader(t)
	cutOff := &network{}
	first, second := leaderClient(t, addr, cutOff), leaderClient(t, addr, &network{})
	const ttl = 3 * time.Second // a busy machine must not lose it
	s, err := first.OpenSession(t.Context(), SessionOptions{TTL: ttl, LockDelay: -1})
	if err != nil {
		t.Fatal(err)
	}
	token, err := s.LockGet(t.Context(), "l", "a", LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.LockGet(t.Context(), "l", "b", LockOptions{Wait: ttl * 3 / 2}); !errors.Is(err, ErrLocked) {
		t.Fatalf("while the session is kept alive: %v", err)
	}
	cutOff.breakOff()
	next, err := second.LockGet(t.Context(), "l", "b", LockOptions{Wait: -1})
	if err != nil || next.Token <= token.Token {
		t.Fatalf("%+v, %v", next, err)
	}
	if !errors.Is(s.Err(), ErrSessionLost) {
		t.Errorf("others have the lock, and its holder knows of %v", s.Err())
	}
	if _, err := s.LockGet(t.Context(), "m", "a", LockOptions{}); !errors.Is(err, ErrSessionLost) {
		t.Errorf("a lock in a lost session: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if s, err = second.OpenSession(t.Context(), SessionOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LockGet(t.Context(), "n", "a", LockOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil || !errors.Is(s.Err(), ErrClosed) {
		t.Errorf("%v, %v", err, s.Err())
	}
	if _, err := second.LockGet(t.Context(), "n", "b", LockOptions{}); err != nil {
		t.Errorf("after its session was closed: %v", err)
	}
}

// TestGrantAfterAPause: a process that stood still may look at a grant before it looks
// at the time. The lock may be another's by then.
func TestGrantAfterAPause(t *testing.T) {
	t.Parallel()
	c := leaderClient(t, startLeader(t), &network{})
	const ttl = 2 * time.Second
	s, err := c.OpenSession(t.Context(), SessionOptions{TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) }) // of a test
	paused := &Session{c: c, id: s.ID(), kept: session.NewKeeper(ttl, time.Now().Add(-ttl))}
	paused.alive, paused.over = context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, func() { paused.end(ErrSessionLost) })
	if g, err := paused.LockGet(t.Context(), "l", "a", LockOptions{}); !errors.Is(err, ErrSessionLost) {
		t.Errorf("%+v, %v", g, err)
	}
}

// slowConn is a connection whose answers can be held up.
type slowConn struct {
	net.Conn
	w *slowWay
}

// slowWay is a client's way to the view leader on which answers take long, once hold is
// called, until they are let go.
type slowWay struct {
	mu   sync.Mutex
	hold bool
	sent chan time.Time // when the first question was on its way since
	pass chan struct{}
}

func (w *slowWay) dial(ctx context.Context, proto, addr string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, proto, addr)
	return slowConn{c, w}, err
}

func (w *slowWay) holds() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hold
}

func (w *slowWay) setHold(hold bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold = hold
}

func (c slowConn) Write(b []byte) (int, error) {
	if c.w.holds() {
		select {
		case c.w.sent <- time.Now():
		default: // not the first
		}
	}
	return c.Conn.Write(b)
}

func (c slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.w.holds() {
		<-c.w.pass
	}
	return n, err
}

// TestSessionCountsFromTheQuestion: what a session may rely on is counted from when the
// question was sent whose answer came, however long that took: the view leader may have
// heard the question at once, and counts from then.
func TestSessionCountsFromTheQuestion(t *testing.T) {
	t.Parallel()
	way := &slowWay{sent: make(chan time.Time, 1), pass: make(chan struct{})}
	c := &Client{route.New(route.Options{Leaders: []string{startLeader(t)}, Dialer: way.dial, ConnectTimeout: 5 * time.Second})}
	t.Cleanup(func() { _ = c.Close() }) // never fails
	const ttl = 4 * time.Second         // a busy machine must not lose it
	s, err := c.OpenSession(t.Context(), SessionOptions{TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	way.setHold(true)
	opened := s.Until()
	sent := <-way.sent
	<-time.After(50 * time.Millisecond) // that the answer is on its way
	way.setHold(false)
	close(way.pass)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	until := opened
	for until.Equal(opened) {
		select {
		case <-look.C:
		case <-s.Done():
			t.Fatal(s.Err())
		}
		until = s.Until()
	}
	if latest := sent.Add(ttl - ttl/10); until.After(latest) {
		t.Errorf("it counts on %v more than it may", until.Sub(latest))
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
