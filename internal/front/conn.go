package front

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"viewring/internal/secure"
	"viewring/internal/wire"
)

// Conn is a client's connection. Methods are for the goroutine that reads it, unless they
// say otherwise.
type Conn struct {
	server  *Server
	nc      net.Conn
	session Session
	reader  *wire.Reader
	writer  *wire.Writer
	wake    chan struct{} // capacity 1: the first reply may be done, or reading has ended

	came   atomic.Uint64 // commands that were read whole
	leaves atomic.Bool   // no command is read that has not begun to come
	broken bool          // a reply could not be written; of the goroutine that has the writer
	held   atomic.Int64  // bytes of its requests and answers under way

	// Of the reading goroutine.
	scarce    string // what there were too few of, where it is reserved
	reserved  bool   // of those kept for peers, and no peer yet
	unwelcome bool   // was told that there is no room: peers wait for its place
	trusted   bool   // has said the password, or need not
	patience  patience
	leave     func()  // the guests; any goroutine may call it
	taken     []Reply // that WriteAll writes; empty but then

	mu struct {
		sync.Mutex
		line      []Reply // in the order of their commands
		came      uint64  // replies that were put in line
		left      uint64  // and that have left it
		writing   bool    // one of the two goroutines has the writer
		direct    bool    // and it is the one that reads
		ended     bool    // no more will come
		lingers   bool    // the client is read until it hangs up
		gone      bool    // nobody writes any more
		dismissed bool    // Finish has hung up on the client

		hungry bool // the reading goroutine waits until fewer bytes are held
	}
	room sync.Cond // replies left the line, or gave bytes back; its locker is mu
}

// Open makes a connection that nobody serves yet: for tests. Accepted ones are opened by Serve.
func (s *Server) Open(nc net.Conn) *Conn { return s.open(nc, false) }

func (s *Server) open(nc net.Conn, reserved bool) *Conn {
	c := &Conn{server: s, nc: nc, wake: make(chan struct{}, 1), reserved: reserved, trusted: !s.opts.Secure.WantsPassword()}
	c.room.L = &c.mu
	c.reader = wire.NewReader(c, s.opts.Limits.Reader)
	c.reader.SetRoom(func(n int) bool { return s.readings.change(c, int64(n)) })
	c.limit()
	c.leave = func() {}
	c.writer = wire.NewWriter(&wire.DeadlineWriter{Conn: nc, Timeout: s.opts.Limits.WriteTimeout})
	c.session = s.opts.Open(c)
	return c
}

// Session returns what Options.Open made.
func (c *Conn) Session() Session { return c.session }

// RemoteAddr and LocalAddr are the connection's. Any goroutine may ask.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// LocalAddr is the address that the client connected to. Any goroutine may ask.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// Writer is for whoever has the writer.
func (c *Conn) Writer() *wire.Writer { return c.writer }

// Buffered returns how many bytes have come that are no part of a command read yet.
func (c *Conn) Buffered() int { return c.reader.Buffered() }

// Own returns an argument of the last command, for keeps (wire.Reader.Own).
func (c *Conn) Own(arg []byte) []byte { return c.reader.Own(arg) }

// Serve runs the session until the connection ends.
func (c *Conn) Serve() {
	defer c.session.Left()
	defer c.nc.Close() // over in any case
	defer func() { c.leave() }()
	defer c.reader.GiveBack()
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.writeReplies()
	}()
	over := c.finish(c.readAll())
	<-written
	if over != nil {
		over.Serve(c.nc)
	}
}

// finish ends reading, for a reason. It returns who goes on with the connection, or nil.
func (c *Conn) finish(why error) (over *Takeover) {
	c.session.Submit()
	quit := errors.Is(why, ErrQuit)
	lingers := quit && !c.unwelcome
	if !quit && !errors.As(why, &over) {
		lingers = c.sayWhy(why)
	}
	if !quit {
		c.session.Ended()
	}
	c.end(lingers)
	if lingers {
		_, _ = io.Copy(io.Discard, c.nc) // who hangs up first may lose the replies on their way
	}
	if quit {
		c.session.Ended()
		c.Notify()
	}
	return over
}

// readAll runs commands until there are no more, or one ends the connection.
func (c *Conn) readAll() error {
	c.greet()
	for {
		args, err := c.ReadCommand()
		if err != nil {
			return err
		}
		if err := c.session.Run(args); err != nil {
			return err
		}
	}
}

// greet shakes hands, where the connection is encrypted. Its error comes again with the
// first read.
func (c *Conn) greet() {
	encrypted, ok := c.nc.(*tls.Conn)
	if ok {
		err := c.shake(encrypted)
		if c.patience.over = err != nil; secure.HandshakeRefused(err) {
			c.server.refused(c.nc.RemoteAddr().String(), err.Error())
		}
	}
	c.awaitGreeting()
}

// ReadCommand reads the next command, in time. A Session that reads by itself, within Run,
// reads by this. See wire.Reader.ReadCommand.
func (c *Conn) ReadCommand() ([][]byte, error) {
	args, err := c.reader.ReadCommand()
	if err == nil {
		c.patience.came()
		c.came.Add(1)
	}
	return args, err
}

// Read is the Reader's source. Whoever is about to wait for the network first
// hands over what it has gathered: a whole pipeline is set to work at once.
func (c *Conn) Read(p []byte) (int, error) {
	c.session.Submit()
	switch {
	case c.reader.Buffered() == 0:
		c.patience.came() // what had begun was empty: the Reader has skipped it
	case c.patience.begun.IsZero():
		c.begin()
	}
	for {
		if c.leaves.Load() && c.reader.Buffered() == 0 {
			return 0, ErrQuit
		}
		n, err := c.nc.Read(p)
		if n > 0 || err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !c.again() {
			return n, err
		}
	}
}

// sayWhy answers what can't be understood, or did not come in time, before hanging up. It is
// false when there is nobody to be told.
func (c *Conn) sayWhy(err error) bool {
	s := c.server
	s.strangers.Note(s.opts.Logger, c.nc.RemoteAddr(), err)
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		s.met(&s.reached.Requests, "bytes of a command")
	case errors.Is(err, wire.ErrNoRoom):
		s.met(&s.reached.Buffers, "bytes of commands that are not complete")
		c.PushError(wire.CodeBusy + " too many bytes of unfinished commands of all clients: send it again")
		return true
	case errors.Is(err, wire.ErrProtocol):
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.met(&s.reached.Late, "time of a password or command")
		if c.patience.over {
			return false // the handshake: nothing can be written
		}
		c.PushError(c.lateText())
		return true
	default:
		if err != io.EOF && !errors.Is(err, net.ErrClosed) {
			s.opts.Logger.Debug("a connection broke", "peer", c.nc.RemoteAddr(), "err", err)
		}
		return false
	}
	c.PushError(protocolError + strings.TrimPrefix(err.Error(), wire.ErrProtocol.Error()+": "))
	return true
}

// protocolError begins the reply to what is no command, as in Redis.
const protocolError = wire.CodeErr + " Protocol error: "

// Auth judges the arguments of AUTH, and returns the error reply, "" when they are right.
func (c *Conn) Auth(args [][]byte) (errText string) {
	if errText = c.server.Judge(c.nc.RemoteAddr().String(), args); errText == "" {
		c.Trust(true)
	}
	return errText
}

// Trust says whether the client has said the password, or need not: for services that judge
// it themselves.
func (c *Conn) Trust(trusted bool) {
	if trusted != c.trusted {
		c.trusted = trusted
		c.limit()
		c.awaitGreeting()
	}
}

// limit has commands read by the limits of those who have said the password, or have not.
func (c *Conn) limit() {
	if l := &c.server.opts.Limits; c.trusted {
		c.reader.SetLimits(l.Reader)
	} else {
		c.reader.SetLimits(l.guestLimits())
	}
}

// Guarded reports whether the connection may not ask for everything: Admit tells.
func (c *Conn) Guarded() bool { return !c.trusted || c.reserved }

// Access is what a command is to connections that may not ask for everything.
type Access uint8

// What commands may be, together.
const (
	Open     Access = 1 << iota // it may come before the password
	ForPeers                    // it may come on a connection kept for peers
	OfPeers                     // it shows that whoever asks is a peer
)

// Admit returns the error reply to a command that the connection may not ask for, "" when
// it may. over says that the connection must end with that.
func (c *Conn) Admit(s Access) (errText string, over bool) {
	switch {
	case c.reserved && s&(ForPeers|OfPeers) == 0:
		c.server.met(&c.server.reached.Connections, c.scarce)
		c.unwelcome = true
		return c.server.opts.TooMany, true
	case !c.trusted && s&Open == 0:
		return secure.NoAuth, false
	case c.reserved && s&OfPeers != 0:
		c.reserved = false
		c.awaitGreeting()
	}
	return "", false
}

// Take counts n more bytes that a request or its answer holds, until Give; false when that
// would be too much, for the connection or for all. Any goroutine may call it.
func (c *Conn) Take(n int64) bool {
	if held := c.held.Add(n); held > c.server.opts.Limits.Buffered || !c.server.take(n, held) {
		c.held.Add(-n)
		c.server.met(&c.server.reached.Buffers, "bytes under way")
		return false
	}
	return true
}

// take counts n more bytes of a connection that then has held of them.
func (s *Server) take(n, held int64) bool {
	if s.held.Add(n) > s.opts.Limits.Total && held > s.opts.Limits.Spare {
		s.held.Add(-n)
		return false
	}
	return true
}

// Give returns bytes that Take or Await counted. Any goroutine may call it.
func (c *Conn) Give(n int64) {
	c.held.Add(-n)
	c.server.held.Add(-n)
}

// Await is Take for services whose Replies give back what they take: it waits while it is
// the connection's own bytes that are too many, unless there are none. It is false when
// those of all are.
func (c *Conn) Await(n int64) bool {
	most := c.server.opts.Limits.Buffered
	full := func() bool { held := c.held.Load(); return held > 0 && held+n > most }
	if full() {
		c.server.reached.Pipelines.Add(1)
		c.session.Submit()
		c.mu.Lock()
		c.mu.hungry = true
		for full() && !c.mu.gone && (len(c.mu.line) > 0 || c.mu.writing) {
			c.room.Wait()
		}
		c.mu.hungry = false
		c.mu.Unlock()
	}
	if held := c.held.Add(n); !c.server.take(n, held) {
		c.held.Add(-n)
		c.server.met(&c.server.reached.Buffers, "bytes under way")
		return false
	}
	return true
}
