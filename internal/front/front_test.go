package front

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/wire"
)

// answer is a reply that says a word once it is done.
type answer struct {
	word     string
	size     int
	done     atomic.Bool
	released atomic.Bool
	after    *answer // it must not come in line before that one is done
}

func (a *answer) Done() bool              { return a.done.Load() }
func (a *answer) Write(w *wire.Writer)    { w.WriteSimple(a.word) }
func (a *answer) Release()                { a.released.Store(true) }
func (a *answer) Size() int               { return a.size }
func (a *answer) MustWait(_ []Reply) bool { return a.after != nil && !a.after.done.Load() }

// echo answers each command by its name.
type echo struct {
	*Conn
	ended, left atomic.Bool
}

func (e *echo) Run(args [][]byte) error {
	a := &answer{word: string(args[0])}
	a.done.Store(true)
	e.Push(a)
	e.Notify()
	if a.word == "QUIT" {
		return ErrQuit
	}
	return nil
}
func (e *echo) Submit()      {}
func (e *echo) Flushed(bool) {}
func (e *echo) Ended()       { e.ended.Store(true) }
func (e *echo) Left()        { e.left.Store(true) }

func newServer(t *testing.T, adjust func(*Options)) *Server {
	o := Options{Logger: slog.New(slog.DiscardHandler), Open: func(c *Conn) Session { return &echo{Conn: c} }}
	o.Limits.Bounds.Fill()
	if adjust != nil {
		adjust(&o)
	}
	return New(t.Context(), o)
}

// pipe returns a connection that nobody serves yet, and the client's end of it.
func pipe(t *testing.T, s *Server) (*Conn, net.Conn) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return s.Open(ours), theirs
}

// TestRepliesInOrder: replies are written in the order of their commands, in whichever they
// are done, and each is released.
func TestRepliesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pipe(t, newServer(t, nil))
		var all []*answer
		for i := range 5 {
			all = append(all, &answer{word: fmt.Sprint(i)})
			c.Push(all[i])
		}
		go c.Serve()
		got := make(chan string, len(all))
		go func() {
			r := wire.NewReader(client, wire.DefaultLimits)
			for range all {
				v, err := r.ReadValue()
				if err != nil {
					t.Error(err)
				}
				got <- v.Text()
			}
		}()
		for _, i := range []int{3, 1, 0, 4, 2} {
			all[i].done.Store(true)
			c.Notify()
			synctest.Wait()
			if i == 4 && (all[2].released.Load() || !all[1].released.Load()) {
				t.Error("0 and 1 are written by now, 2 is not")
			}
		}
		for i := range all {
			if word := <-got; word != fmt.Sprint(i) || !all[i].released.Load() {
				t.Errorf("reply %d is %s, released: %v", i, word, all[i].released.Load())
			}
		}
	})
}

// TestOneWriter: while the writing goroutine has the writer, the reading one does not get it,
// though no reply is in line any more.
func TestOneWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pipe(t, newServer(t, nil))
		a := &answer{word: "long"}
		a.done.Store(true)
		c.Push(a)
		if c.TakeWriter() {
			t.Error("the writer was given while a reply is in line")
		}
		go c.Serve()
		c.Notify()
		synctest.Wait() // it is being written: the client reads nothing
		if c.TakeWriter() || !a.released.Load() {
			t.Error("two goroutines write")
		}
		if _, err := io.ReadFull(client, make([]byte, len("+long\r\n"))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !c.TakeWriter() {
			t.Error("the writer was not given back")
		}
		c.LeaveWriter()
	})
}

// TestLongRepliesAreNotTheReaders: a client that goes on writing while it takes no long reply
// is read on.
func TestLongRepliesAreNotTheReaders(t *testing.T) {
	for size, want := range map[int]bool{directBytesMax: true, directBytesMax + 1: false} {
		c, _ := pipe(t, newServer(t, nil))
		a := &answer{size: size}
		a.done.Store(true)
		c.Push(a)
		if got := c.takeAll(); got != want {
			t.Errorf("a reply of %d bytes is the reader's: %t", size, got)
		}
	}
	c, _ := pipe(t, newServer(t, nil))
	c.Push(&answer{})
	if c.takeAll() {
		t.Error("a reply that is not done is the reader's")
	}
}

// TestPush: a reply waits for its place, and when the server stops it is not put in line.
func TestPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := pipe(t, newServer(t, func(o *Options) { o.Limits.Pipeline = 2 }))
		go func() { _, _ = io.Copy(io.Discard, client) }()
		first, second := &answer{word: "1"}, &answer{word: "2"}
		var pushed atomic.Int32
		go func() {
			for _, a := range []*answer{first, {word: "x", after: first}, second, {word: "y"}} {
				c.Push(a)
				pushed.Add(1)
			}
		}()
		go c.Serve()
		synctest.Wait()
		if n := pushed.Load(); n != 1 {
			t.Errorf("%d are in line: the second must wait for the first", n)
		}
		first.done.Store(true)
		c.Notify()
		synctest.Wait()
		if n := pushed.Load(); n != 3 {
			t.Errorf("%d are in line, of which one was written: there is room for two", n)
		}
		c.server.stop()
		synctest.Wait()
		if n := pushed.Load(); n != 4 || len(c.mu.line) > 0 || c.AwaitReplies() {
			t.Errorf("%d of 4 were let go, %d in line", n, len(c.mu.line))
		}
	})
}

// TestAwait: bytes are waited for until replies give them back; who has none gets what it
// asks for, and of all together there are no more than may be.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(o *Options) { o.Limits.Buffered, o.Limits.Total, o.Limits.Spare = 10, 25, 3 })
		c, client := pipe(t, s)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		go c.Serve()
		held := &holder{c: c, bytes: 12, may: make(chan struct{})}
		c.Push(held)
		if !c.Await(12) {
			t.Fatal("12 of none were refused")
		}
		var got atomic.Bool
		go func() { got.Store(c.Await(9)) }()
		synctest.Wait()
		if got.Load() {
			t.Error("12 and 9 were let in")
		}
		held.done.Store(true)
		c.Notify()
		synctest.Wait() // it has left the line, and holds its bytes
		if got.Load() {
			t.Error("12 and 9 were let in while 12 are being written")
		}
		close(held.may)
		synctest.Wait()
		if !got.Load() || s.Held() != 9 {
			t.Errorf("9 are not let in when there is room; %d are held", s.Held())
		}
		other, _ := pipe(t, s)
		if !other.Take(10) || other.Take(1) || s.Held() != 19 {
			t.Errorf("a connection has more than its 10: %d are held", s.Held())
		}
		third, _ := pipe(t, s)
		if third.Await(7) || !third.Await(6) || third.Take(1) || s.Held() != 25 {
			t.Errorf("of all there are more than 25: %d are held", s.Held())
		}
		fourth, _ := pipe(t, s)
		if !fourth.Take(3) || fourth.Take(1) {
			t.Error("3 are each one's own, and no more")
		}
	})
}

// holder is a reply that holds bytes.
type holder struct {
	answer
	c     *Conn
	bytes int64
	may   chan struct{} // closed when Write may return
}

func (h *holder) Write(*wire.Writer) { <-h.may }
func (h *holder) Release()           { h.c.Give(h.bytes) }

// brokenListener fails to accept.
type brokenListener struct {
	tries  atomic.Int32
	closed chan struct{}
	once   sync.Once
}

func (l *brokenListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	default:
		l.tries.Add(1)
		return nil, errors.New("too many open files")
	}
}
func (l *brokenListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *brokenListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestAcceptPause: an accept that fails is not repeated at once.
func TestAcceptPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := newServer(t, nil), &brokenListener{closed: make(chan struct{})}
		served := make(chan struct{})
		go func() { s.Serve(l); close(served) }()
		<-time.After(10*acceptPause + acceptPause/2)
		if n := l.tries.Load(); n != 11 {
			t.Errorf("%d tries in ten pauses", n)
		}
		s.stop()
		<-served
	})
}

// TestServeEnds: when Serve returns, all that came is over, whatever it was about.
func TestServeEnds(t *testing.T) {
	for _, inTurn := range []bool{false, true} {
		t.Run(fmt.Sprint("in turn ", inTurn), func(t *testing.T) { testServeEnds(t, inTurn) })
	}
}

func testServeEnds(t *testing.T, inTurn bool) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions []*echo
	s := newServer(t, func(o *Options) {
		o.InTurn = inTurn
		o.Open = func(c *Conn) Session {
			e := &echo{Conn: c}
			sessions = append(sessions, e)
			return e
		}
	})
	served := make(chan struct{})
	go func() { s.Serve(l); close(served) }()
	for _, opening := range []string{"", "PI", "PING\r\n", "PING\r\n*1\r\n$4\r\nPI", "QUIT\r\n"} {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, opening); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(opening, "\n") {
			if _, err := nc.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.stop()
	<-served
	for i, e := range sessions {
		if !e.ended.Load() || !e.left.Load() {
			t.Errorf("session %d goes on", i)
		}
	}
	if n := s.Connected(); n != 0 {
		t.Errorf("%d are connected", n)
	}
}

// TestLastReplies: whoever is told to go gets all replies, whatever it has sent that nobody reads.
func TestLastReplies(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, nil)
	served := make(chan struct{})
	go func() { s.Serve(l); close(served) }()
	for opening, want := range map[string]string{"PING\r\nQUIT\r\n": "+PING\r\n+QUIT\r\n", "*1\r\n:1\r\n": "-ERR Protocol error: expected '$', got ':'\r\n"} {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, opening+strings.Repeat("x", 1<<20)); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(nc); string(got) != want || err != nil {
			t.Errorf("%q: %q, %v", opening, got, err)
		}
	}
	s.stop()
	<-served
}

// pipes is a listener at which the other ends of pipes are accepted, as wrap makes them.
type pipes struct {
	wrap   func(net.Conn) net.Conn
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes(wrap func(net.Conn) net.Conn) *pipes {
	return &pipes{wrap: wrap, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// dial returns a client's end. It waits until the listener accepts.
func (l *pipes) dial(t *testing.T) net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- l.wrap(ours)
	t.Cleanup(func() { theirs.Close() })
	return theirs
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case nc := <-l.conns:
		return nc, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// encrypt is the server's side of TLS to clients that never shake hands.
func encrypt(nc net.Conn) net.Conn { return tls.Server(nc, &tls.Config{}) }

// TestTurnedAwaySilent: a client that says nothing and is one too many keeps neither the next
// from being turned away nor the Server from its end.
func TestTurnedAwaySilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(o *Options) { o.Limits.Connections, o.Limits.PasswordTimeout = 1, time.Hour })
		l := newPipes(encrypt)
		served := make(chan struct{})
		go func() { s.Serve(l); close(served) }()
		l.dial(t) // has the only place
		for i := range 3 {
			nc := l.dial(t)
			synctest.Wait()
			_ = nc.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := io.ReadAll(nc); err != nil {
				t.Fatalf("%d too many: %v", i+1, err)
			}
		}
		s.stop()
		<-served
	})
}

// farewell is a connection whose end takes a second, as where TLS waits for a client that
// does not read.
type farewell struct {
	net.Conn
	once sync.Once
}

func (f *farewell) Close() error {
	f.once.Do(func() { <-time.After(time.Second) })
	return f.Conn.Close()
}

// TestFarewells: at the end of a Server no client waits for another.
func TestFarewells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(o *Options) { o.InTurn = true })
		l := newPipes(func(nc net.Conn) net.Conn { return &farewell{Conn: nc} })
		served := make(chan struct{})
		go func() { s.Serve(l); close(served) }()
		for range 5 {
			l.dial(t)
		}
		synctest.Wait()
		began := time.Now()
		s.stop()
		<-served
		if took := time.Since(began); took != time.Second {
			t.Errorf("five farewells of a second took %v", took)
		}
	})
}

// TestRequestLimit: Request bounds a command, whether it is more than the default or less; what
// a service says of the parts bounds them, too.
func TestRequestLimit(t *testing.T) {
	most := wire.DefaultLimits
	for _, one := range []struct {
		request     int
		reader      wire.Limits
		total, bulk int
	}{
		{request: 4 * most.TotalBytesMax, total: 4 * most.TotalBytesMax, bulk: most.BulkBytesMax},
		{request: 1000, total: 1000, bulk: 1000},
		{request: 1000, reader: wire.Limits{TotalBytesMax: 100, BulkBytesMax: 10}, total: 100, bulk: 10},
		{request: 50, reader: wire.Limits{TotalBytesMax: 100, BulkBytesMax: 10}, total: 50, bulk: 10},
	} {
		l := Limits{Bounds: Bounds{Request: one.request}, Reader: one.reader}
		l.fill()
		if l.Reader.TotalBytesMax != one.total || l.Reader.BulkBytesMax != one.bulk {
			t.Errorf("%+v: %+v", one, l.Reader)
		}
	}
}
