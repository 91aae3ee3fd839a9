package viewleader

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"viewring/internal/secure"
	"viewring/internal/wire"
)

const (
	pipelineMax  = 128 // commands of one connection under way
	writeTimeout = 10 * time.Second
	acceptPause  = 50 * time.Millisecond // after an accept that failed
)

// limits bound what one command may be.
var limits = wire.Limits{
	BulkBytesMax:  2 << 20,
	LineBytesMax:  16 << 10,
	ArgsMax:       64,
	TotalBytesMax: 2<<20 + 1<<10,
	DepthMax:      1,
}

// conn is one client's connection. One goroutine reads commands and sets them
// to work, another writes the answers in the commands' order.
type conn struct {
	s       *Service
	nc      net.Conn
	replies chan *reply
	trusted bool          // has said the password, or need not; of the reading goroutine
	broken  chan struct{} // closed when nothing more can be read
	from    uint64        // the reader's: the view leader whose Raft messages come here; 0: a client's connection
}

// accept takes connections until the listener is closed.
func (s *Service) accept() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			if s.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			s.opts.Logger.Warn("a connection could not be accepted", "err", err)
			select { // out of file descriptors, most likely: do not spin
			case <-time.After(acceptPause):
			case <-s.ctx.Done():
			}
			continue
		}
		s.take(nc)
	}
}

// take starts serving a connection, unless there are too many.
func (s *Service) take(nc net.Conn) {
	c := &conn{s: s, nc: nc, replies: make(chan *reply, pipelineMax), broken: make(chan struct{}), trusted: !s.opts.Secure.WantsPassword()}
	s.mu.Lock()
	refused := s.mu.closed || len(s.mu.conns) >= s.opts.ConnectionsMax
	if !refused {
		s.mu.conns[c] = true
		s.running.Add(2)
	}
	s.mu.Unlock()
	if refused {
		_ = nc.SetWriteDeadline(time.Now().Add(time.Second))                       // best effort
		_, _ = nc.Write([]byte("-" + wire.CodeBusy + " too many connections\r\n")) // best effort
		_ = nc.Close()
		return
	}
	go c.read()
	go c.write()
}

// hangUp breaks the connection; its goroutines end by it.
func (c *conn) hangUp() { _ = c.nc.Close() }

func (c *conn) read() {
	defer c.s.running.Done()
	quit := false
	defer func() {
		close(c.broken)
		if !quit {
			close(c.replies)
		}
	}()
	r := wire.NewReader(c.nc, limits)
	for {
		args, err := r.ReadCommand()
		if err != nil {
			c.readFailed(err)
			return
		}
		rep := newReply()
		last := c.dispatch(rep, args)
		select {
		case c.replies <- rep:
		case <-c.s.ctx.Done():
			return
		}
		if quit = last; quit {
			close(c.replies)
			_, _ = io.Copy(io.Discard, c.nc) // until the answers are written; who hangs up before does not take them
			return
		}
		if c.from != 0 {
			c.readPeer(r)
			return
		}
	}
}

// readFailed tells a client that does not speak the protocol so.
func (c *conn) readFailed(err error) {
	c.s.beats.broke(c)
	c.s.strangers.Note(c.s.opts.Logger, c.nc.RemoteAddr(), err)
	if !errors.Is(err, wire.ErrProtocol) && !errors.Is(err, wire.ErrTooLarge) {
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			c.s.opts.Logger.Debug("connection broke", "peer", c.nc.RemoteAddr(), "err", err)
		}
		return
	}
	rep := newReply()
	rep.fail(wire.CodeErr, err.Error())
	select {
	case c.replies <- rep:
	case <-c.s.ctx.Done():
	}
}

func (c *conn) write() {
	defer c.s.running.Done()
	defer c.forget()
	w := wire.NewWriter(&wire.DeadlineWriter{Conn: c.nc, Timeout: writeTimeout})
	var written []*reply
	flush := func() {
		err := w.Flush()
		delivered := err == nil && !c.hungUp() // the kernel takes what nobody will read
		for _, r := range written {
			r.finalize(delivered)
		}
		written = written[:0]
		if err != nil {
			c.hangUp() // the reader ends, and the answers to come are lost
		}
	}
	for r := range c.replies {
		if !r.isDone() {
			flush()
			if !c.await(r) {
				r.finalize(false)
				continue
			}
		}
		r.writeTo(w)
		written = append(written, r)
		if len(c.replies) == 0 {
			flush()
		}
	}
	flush()
}

// await waits for an answer; false when the client is gone before it came.
func (c *conn) await(r *reply) bool {
	select {
	case <-r.done:
		return true
	case <-c.broken:
	case <-c.s.ctx.Done():
	}
	return r.isDone()
}

// hungUp reports that the client has closed the connection, or its half of it, which
// looks the same.
func (c *conn) hungUp() bool {
	select {
	case <-c.broken:
		return true
	default:
		return false
	}
}

func (r *reply) isDone() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (c *conn) forget() {
	_ = c.nc.Close() // all is written
	c.s.mu.Lock()
	delete(c.s.mu.conns, c)
	c.s.mu.Unlock()
}

// dispatch sets a command to work. args are the reader's: what is kept is
// copied. It is true when the connection ends with this command.
func (c *conn) dispatch(r *reply, args [][]byte) (last bool) {
	name := string(bytes.ToUpper(args[0]))
	h, ok := handlers[name]
	lost := c.s.recovery.Load()
	if last := len(args) - 1; last == h.argsMax+1 && identified[name] && len(args[last]) == len(r.id) {
		copy(r.id[:], args[last])
		args = args[:last]
	}
	switch {
	case name == "AUTH":
		c.auth(r, args[1:])
	case !c.trusted && name != "QUIT":
		r.error(secure.NoAuth)
	case !ok:
		r.fail(wire.CodeErr, "unknown command '"+printable(args[0])+"'")
	case len(args)-1 < h.argsMin || len(args)-1 > h.argsMax:
		r.fail(wire.CodeErr, "wrong number of arguments for '"+name+"'")
	case lost != nil && !meanwhile[name]:
		r.fail(wire.CodeRecovering, lost.answer())
	case !anyones[name] && !c.s.serves():
		r.fail(wire.CodeNotHead, c.s.groupStatus.Load().headAddr())
	default:
		h.serve(c, r, args[1:])
	}
	return name == "QUIT"
}

// auth is AUTH.
func (c *conn) auth(r *reply, args [][]byte) {
	if text := c.s.opts.Secure.Auth(args); text != "" {
		r.error(text)
		return
	}
	c.trusted = true
	r.finish(func(w *wire.Writer) { w.WriteSimple("OK") })
}

// printable keeps an error reply short and readable, whatever was sent.
func printable(b []byte) string {
	out := make([]rune, 0, 32)
	for _, r := range string(b[:min(len(b), 32)]) {
		if r < ' ' || r == 0x7f || r == '\'' {
			r = '?'
		}
		out = append(out, r)
	}
	return string(out)
}
