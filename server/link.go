package server

import (
	"context"
	"errors"
	"fmt"
	"net"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/replica"
)

// linkRequest ends a connection's life as a client's: it goes on as a link.
type linkRequest struct{ hello wire.Hello }

func (*linkRequest) Error() string { return "the connection becomes a link" }

// runLink checks who wants to link; the answer goes out before the first frame is
// read.
func (c *conn) runLink(args [][]byte) error {
	h, err := wire.DecodeHello(args[0])
	if err == nil {
		err = c.s.checkHello(&h)
	}
	if err != nil {
		c.replyError(wire.CodeRefused + " " + err.Error())
		return errQuit
	}
	c.replyOK()
	return &linkRequest{hello: h}
}

func (s *Server) checkHello(h *wire.Hello) error {
	id := s.store.Identity()
	switch {
	case h.Cluster != id.Cluster:
		return fmt.Errorf("%v belongs to cluster %x, this server to %x", h.From, h.Cluster, id.Cluster)
	case h.To != s.id:
		return fmt.Errorf("this is %v, not %v", s.id, h.To)
	case h.From == s.id || h.From == 0:
		return fmt.Errorf("a link from %v", h.From)
	}
	return nil
}

// hello is this server's greeting to another.
func (s *Server) hello(to ring.ServerID) wire.Hello {
	id := s.store.Identity()
	return wire.Hello{Cluster: id.Cluster, From: s.id, Incarnation: id.Incarnation, Addr: s.addr, To: to}
}

// link is the receiving end of another server's link.
type link struct {
	s     *Server
	hello wire.Hello
	done  uint64    // highest heard of
	lanes [][]event // by lane, gathered from one frame
}

// serveLink reads frames until the link breaks. Its goroutine may wait for lanes
// and for views; the sender then waits too, and drops what it can't send.
func (s *Server) serveLink(nc net.Conn, req *linkRequest) {
	stop := context.AfterFunc(s.ctx, func() { _ = nc.Close() }) // lets the reader go
	defer stop()
	l := &link{s: s, hello: req.hello, lanes: make([][]event, len(s.lanes))}
	r := wire.NewReader(nc, linkLimits)
	for {
		args, err := r.ReadCommand()
		if err == nil && (len(args) != 2 || string(args[0]) != wire.CmdFrame) {
			err = errors.New("something else than a frame on a link")
		}
		if err == nil {
			err = l.receive(r.Own(args[1])) // messages keep what they point to
		}
		if err != nil {
			if s.ctx.Err() == nil {
				s.logger.Debug("a link ended", "from", l.hello.From, "incarnation", l.hello.Incarnation, "err", err)
			}
			return
		}
	}
}

// receive hands a frame's messages to the lanes, in order, after the view that
// their sender knew.
func (l *link) receive(frame []byte) error {
	h, messages, err := decodeFrame(frame)
	if err != nil {
		return err
	}
	from := l.hello.From
	if err := l.s.views.need(l.s.ctx, h.epoch, l.hello.Addr); err != nil {
		return err
	}
	m := l.s.views.current().view.Member(from)
	if m == nil || m.Incarnation != l.hello.Incarnation {
		return fmt.Errorf("%v at incarnation %d is not a member", from, l.hello.Incarnation)
	}
	if h.done > l.done {
		l.done = h.done
		l.s.heard.note(from, h.done)
		for i := range l.lanes {
			l.lanes[i] = append(l.lanes[i], event{kind: onPeerDone, from: from, n: h.done})
		}
	}
	for _, m := range messages {
		l.sort(from, m)
	}
	for i, events := range l.lanes {
		if len(events) > 0 {
			l.s.lanes[i].inbox.put(events...)
			clear(events)
			l.lanes[i] = events[:0]
		}
	}
	return nil
}

// sort finds out whose a message is.
func (l *link) sort(from ring.ServerID, m *replica.Message) {
	switch {
	case m.Type == replica.MsgPing:
		l.s.sendMessage(from, l.s.node.onPing(l.s.opts.Now, from, m))
	case m.Type == replica.MsgPromise:
		if p, ok := l.s.node.onPromise(l.s.opts.Now(), from, m); ok {
			for i := range l.lanes {
				l.lanes[i] = append(l.lanes[i], event{kind: onPromise, promise: &p})
			}
		}
	case replica.PartitionMessage(m.Type):
		if m.Type == replica.MsgPage {
			l.s.mover.arrived(m)
		}
		i := int(m.Partition) % len(l.lanes)
		l.lanes[i] = append(l.lanes[i], event{kind: onMessage, from: from, msg: m})
	}
}
