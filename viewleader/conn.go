package viewleader

import (
	"bytes"

	"viewring/internal/front"
	"viewring/internal/wire"
)

// What clients may take, besides Options.ConnectionsMax.
const (
	pipelineMax   = 128       // commands of one connection under way
	bufferedMax   = 8 << 20   // bytes of them
	requestsMax   = 256 << 20 // bytes of those of all connections
	requestsSpare = 4 << 10   // that each connection may have all the same: heartbeats pass

	// peerConnections are kept free beyond Options.ConnectionsMax for servers and other view
	// leaders: clients, however many, must not keep them from being heard.
	peerConnections = 256
)

// limits bound what one command may be.
var limits = wire.Limits{
	BulkBytesMax:  2 << 20,
	LineBytesMax:  16 << 10,
	ArgsMax:       64,
	TotalBytesMax: 2<<20 + 1<<10,
	DepthMax:      1,
}

// newFrontend is what accepts and bounds the connections of clients, servers and other
// view leaders.
func (s *Service) newFrontend() *front.Server {
	o := front.Options{
		Name: "view leader",
		Limits: front.Limits{
			Bounds:   front.Bounds{Connections: s.opts.ConnectionsMax, Pipeline: pipelineMax, Buffered: bufferedMax, Request: limits.TotalBytesMax},
			Reserved: peerConnections, Total: requestsMax, Spare: requestsSpare, Reader: limits,
		},
		Secure: s.opts.Secure, TooMany: wire.CodeBusy + " too many connections", Logger: s.opts.Logger, Open: s.newConn,
	}
	o.Limits.Fill()
	if s.opts.Limits != nil {
		s.opts.Limits(&o.Limits)
	}
	return front.New(s.ctx, o)
}

// conn is one client's session. Its connection's reading goroutine sets commands to work;
// whoever works on one finishes its reply, which the other goroutine writes.
type conn struct {
	*front.Conn
	s       *Service
	broken  chan struct{} // closed when nothing more can be read
	from    uint64        // the reading goroutine's: the view leader whose Raft messages come here; 0: a client's connection
	written []*reply      // not known to be delivered; of who has the writer
	number  uint64        // of those that came
}

func (s *Service) newConn(c *front.Conn) front.Session {
	return &conn{Conn: c, s: s, broken: make(chan struct{}), number: s.frontend.Reached().Accepted.Load()}
}

// Run sets a command to work. When it has made the connection another view leader's, it
// takes that one's messages.
func (c *conn) Run(args [][]byte) error {
	r := c.newReply()
	last := false
	for _, a := range args {
		r.bytes += int64(len(a))
	}
	if c.Await(r.bytes) {
		last = c.dispatch(r, args)
	} else {
		r.bytes = 0
		r.fail(wire.CodeBusy, "too many bytes are under way")
	}
	c.queue(r)
	switch {
	case last:
		return front.ErrQuit
	case c.from != 0:
		return c.readPeer()
	}
	return nil
}

// queue puts a reply in line to be written.
func (c *conn) queue(r *reply) {
	c.Push(r)
	c.Notify()
}

// Submit does nothing: a command is under way when Run returns.
func (c *conn) Submit() {}

// Flushed tells those who want to know that their answers were delivered, or not: the
// kernel takes what nobody will read.
func (c *conn) Flushed(sent bool) {
	for _, r := range c.written {
		r.finalize(sent && !c.hungUp())
	}
	clear(c.written)
	c.written = c.written[:0]
}

// Ended notes that nobody waits for what is under way.
func (c *conn) Ended() {
	c.s.beats.broke(c)
	close(c.broken)
}

// Left does nothing: all is over.
func (c *conn) Left() {}

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

// access is what commands are to connections that may not ask for everything: those
// without the password, and those that are kept for servers and view leaders. What tells no
// peer is let in there where it takes a moment: a server that drains may connect anew with
// CmdMember, and with CmdView that does not wait (accessOf).
var access = map[string]front.Access{
	"AUTH": front.Open | front.ForPeers, "QUIT": front.Open, wire.CmdView: front.ForPeers, wire.CmdMember: front.ForPeers,
	wire.CmdStatus: front.ForPeers, wire.CmdGroup: front.ForPeers, // an operator who looks for what is wrong
	wire.CmdRegister: front.OfPeers, wire.CmdHeartbeat: front.OfPeers, wire.CmdChange: front.OfPeers, wire.CmdConfirm: front.OfPeers,
	wire.CmdReport: front.OfPeers, wire.CmdJoin: front.OfPeers, wire.CmdPeer: front.OfPeers,
}

// accessOf is access, but that nobody waits for a view on a place that is kept for peers: all
// clients do that. Servers, who wait on a connection of their own, are turned away too, and ask
// without waiting on the one that their heartbeats come by.
func accessOf(name string, args [][]byte) front.Access {
	if name == wire.CmdView && len(args) == 3 && string(args[2]) != "0" {
		return 0
	}
	return access[name]
}

// dispatch sets a command to work. args are the reader's: what is kept is
// copied. It is true when the connection ends with this command.
func (c *conn) dispatch(r *reply, args [][]byte) (last bool) {
	name := string(bytes.ToUpper(args[0]))
	h, ok := handlers[name]
	r.command = commandNumbers[name]
	lost := c.s.recovery.Load()
	if last := len(args) - 1; last == h.argsMax+1 && identified[name] && len(args[last]) == len(r.id) {
		copy(r.id[:], args[last])
		args = args[:last]
	}
	refusal, over := c.Admit(accessOf(name, args))
	switch {
	case refusal != "":
		r.error(refusal)
	case name == "AUTH":
		c.auth(r, args[1:])
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
	return over || name == "QUIT"
}

// auth is AUTH.
func (c *conn) auth(r *reply, args [][]byte) {
	if text := c.Auth(args); text != "" {
		r.error(text)
		return
	}
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
