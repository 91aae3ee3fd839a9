package front

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/files"
	"viewring/internal/secure"
	"viewring/internal/wait"
	"viewring/internal/wire"
)

const (
	acceptPause = 50 * time.Millisecond // after an accept that failed
	turnAwayMax = 50 * time.Millisecond // to tell a connection that there is no room
	lingerMax   = time.Second           // that who is to hang up may take for it
)

// Options of a Server. Open, Logger and the Bounds of Limits are required.
type Options struct {
	Limits  Limits
	Secure  secure.Config // whether a password is wanted, and which; the listener encrypts
	Name    string        // of the service, for the log
	TooMany string        // the error reply to whom there is no room for; default wire.TooManyClients
	Logger  *slog.Logger

	// InTurn says that a Reply's Write makes the answer, and may wait for it: it is called
	// in the reply's turn, of every reply, whether anybody takes it or not.
	InTurn bool

	// Open begins a session. The connection is not served yet.
	Open func(c *Conn) Session
}

// Session is what a service makes of one connection. But for Flushed, its methods are
// called by the goroutine that reads the connection.
type Session interface {
	// Run carries a command out or sets it to work, and pushes one Reply for it, in either
	// order. args alias the reader's buffer. An error ends the connection once all
	// replies are written: ErrQuit, or a *Takeover, where nothing went wrong.
	Run(args [][]byte) error

	// Submit is called before the goroutine waits, for the network or for room in the
	// line: what Run has gathered must be under way then.
	Submit()

	// Flushed says that what was written since the last call was handed to the network;
	// not sent means that it can't be.
	Flushed(sent bool)

	// Ended says that no command follows, because the client is gone or has to go. Only
	// after ErrQuit it comes when the client is gone, too.
	Ended()

	// Left is the last call: all replies have left the line.
	Left()
}

// ErrQuit is what Run returns when the client has asked for the end of its connection, or
// was told that this is the end.
var ErrQuit = errors.New("quit")

// Takeover is what Run returns to go on with the connection in its own way. Serve is called
// when all replies are written; the connection is closed when it returns.
type Takeover struct{ Serve func(nc net.Conn) }

func (*Takeover) Error() string { return "the connection is taken over" }

// Server accepts connections and serves them.
type Server struct {
	opts      Options
	reached   Reached
	strangers wire.Strangers
	held      atomic.Int64 // bytes under way, of all connections
	gate      files.Gate
	guests    *secure.Guests
	readings  readings
	quiet     atomic.Int64 // until then the log says nothing of limits; unix ns
	connected atomic.Int64

	ctx     context.Context // ends when Serve has to
	stop    context.CancelFunc
	running sync.WaitGroup

	mu struct {
		sync.Mutex
		listener net.Listener // of Serve
		retiring bool         // takes nobody new
		conns    map[*Conn]struct{}
		closed   bool
	}
}

// New returns a Server that serves nobody yet. It ends with ctx.
func New(ctx context.Context, opts Options) *Server {
	opts.Limits.fill()
	opts.TooMany = cmp.Or(opts.TooMany, wire.TooManyClients)
	s := &Server{opts: opts, gate: files.NewGate()}
	s.guests = secure.NewGuests(opts.Limits.Guests)
	s.readings.init(opts.Limits.Reading)
	s.mu.conns = make(map[*Conn]struct{})
	s.ctx, s.stop = context.WithCancel(ctx)
	return s
}

// Reached tells how often limits were met.
func (s *Server) Reached() *Reached { return &s.reached }

// Judge judges the arguments of AUTH of a client at an address, as secure.Config.Auth does,
// and has the log tell of those that are refused. Any goroutine may call it.
func (s *Server) Judge(from string, args [][]byte) (errText string) {
	if errText = s.opts.Secure.Auth(args); secure.IsRefusal(errText) {
		s.refused(from, secure.LoginText(errText))
	}
	return errText
}

func (s *Server) refused(from, why string) { s.reached.Logins.Note(s.opts.Logger, from, why) }

// Connected is how many connections there are.
func (s *Server) Connected() int { return int(s.connected.Load()) }

// Most is how many clients may have at a time.
func (s *Server) Most() int { return s.opts.Limits.Connections }

// Held is how many bytes of requests and answers are under way.
func (s *Server) Held() int64 { return s.held.Load() }

// Serve takes connections from the listener until the Server's context ends. Then it closes
// the listener and all connections, and returns when everything in them has ended.
func (s *Server) Serve(l net.Listener) {
	defer s.running.Wait()
	defer s.stop() // where the listener was closed by somebody else
	hangUp := context.AfterFunc(s.ctx, func() { s.hangUp(l) })
	defer func() {
		if hangUp() {
			s.hangUp(l)
		}
	}()
	s.gate.Compare(s.opts.Logger, s.opts.Name, s.opts.Limits.Connections)
	s.mu.Lock()
	s.mu.listener = l
	if s.mu.retiring {
		_ = l.Close() // nobody waits for more
	}
	s.mu.Unlock()
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.serve(nc)
		case s.retires():
			<-s.ctx.Done() // those who are here are served until then
			return
		case s.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		default:
			s.opts.Logger.Warn("a connection could not be accepted", "err", err)
			wait.For(s.ctx, acceptPause) // out of file descriptors, most likely: do not spin
		}
	}
}

// hangUp closes everything; the goroutines end by it. With TLS each Close says farewell, and
// may wait for a client that does not read: none waits for another, or keeps mu.
func (s *Server) hangUp(l net.Listener) {
	_ = l.Close() // nobody waits for more
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.closed = true
	for c := range s.mu.conns {
		s.running.Go(func() { _ = c.nc.Close() }) // as above
	}
}

// serve serves a connection, unless there are too many.
func (s *Server) serve(nc net.Conn) {
	n, limits, room := s.connected.Add(1), &s.opts.Limits, s.gate.Judge(nc)
	if n > int64(limits.Connections+limits.Reserved) || room == files.Nobody || room == files.Peers && limits.Reserved == 0 {
		s.connected.Add(-1)
		s.turnAway(nc, scarce(room))
		return
	}
	c := s.open(nc, n > int64(limits.Connections) || room == files.Peers)
	c.scarce = scarce(room)
	if _, encrypted := nc.(*tls.Conn); encrypted || c.Guarded() {
		c.leave = s.guests.Enter(s.ctx, c.cutGuest)
	}
	s.mu.Lock()
	closed := s.mu.closed
	if !closed {
		s.mu.conns[c] = struct{}{}
		s.running.Add(1)
	}
	s.mu.Unlock()
	if closed {
		s.connected.Add(-1)
		_ = nc.Close() // it came too late
		c.session.Left()
		return
	}
	s.reached.Accepted.Add(1)
	go func() {
		defer s.running.Done()
		c.Serve()
		s.mu.Lock()
		delete(s.mu.conns, c)
		s.mu.Unlock()
		s.connected.Add(-1)
	}()
}

// scarce is what there are too many clients for.
func scarce(room files.Verdict) string {
	if room == files.Everybody {
		return "connections"
	}
	return "file descriptors of the process (ulimit -n)"
}

// turnAway says why there is no service; whoever does not listen misses it. To whom TLS is
// spoken nothing is said: that would wait for the client, which has not shaken hands.
func (s *Server) turnAway(nc net.Conn, limit string) {
	s.met(&s.reached.Connections, limit)
	if _, encrypted := nc.(*tls.Conn); !encrypted {
		_ = nc.SetWriteDeadline(time.Now().Add(turnAwayMax))
		_, _ = nc.Write([]byte("-" + s.opts.TooMany + "\r\n"))
	}
	_ = nc.Close()
}
