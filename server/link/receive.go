package link

import (
	"context"
	"errors"
	"fmt"
	"net"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/lane"
	"viewring/server/replica"
)

// Views are the views that this server has.
type Views interface {
	View() *ring.View
	// Need returns once the lanes have a view of that epoch or higher, or find it before
	// whatever they are given next. When the view leader does not bring it, the server at
	// addr, which has it, is asked. The error says why it can't be had now.
	Need(ctx context.Context, epoch uint64, addr string) error
}

// Lanes take what peers send. lane.Lanes are some.
type Lanes interface {
	Count() int
	Index(p ring.PartitionID) int
	Put(lane int, events ...lane.Event) // may wait
}

// Receiver serves the links that peers open. Any goroutine may call its methods.
type Receiver struct {
	links *Links
	views Views
	lanes Lanes
	paged func(from ring.ServerID, m *replica.Message)
}

// NewReceiver returns one that hands what it is sent to the lanes, and shows pages to paged
// before, which must not wait.
func NewReceiver(links *Links, views Views, lanes Lanes, paged func(from ring.ServerID, m *replica.Message)) *Receiver {
	return &Receiver{links: links, views: views, lanes: lanes, paged: paged}
}

// Check says why this server takes no link by a greeting, if it takes none.
func (r *Receiver) Check(h *wire.Hello) error {
	c := &r.links.c
	switch {
	case h.Cluster != c.Cluster:
		return fmt.Errorf("%v belongs to cluster %x, this server to %x", h.From, h.Cluster, c.Cluster)
	case h.To != c.Self:
		return fmt.Errorf("this is %v, not %v", c.Self, h.To)
	case h.From == c.Self || h.From == 0:
		return fmt.Errorf("a link from %v", h.From)
	}
	return nil
}

// hello is this server's greeting to another.
func (ls *Links) hello(to ring.ServerID) wire.Hello {
	return wire.Hello{Cluster: ls.c.Cluster, From: ls.c.Self, Incarnation: ls.c.Incarnation, Addr: ls.c.Addr, To: to}
}

// inward is the receiving end of a link. Its fields belong to Serve's goroutine.
type inward struct {
	*Receiver
	hello    wire.Hello
	done     uint64         // highest heard of
	gathered [][]lane.Event // by lane, from one frame
}

// Serve reads frames, of a peer whose greeting was accepted, until the link breaks or the
// server stops. It may wait for lanes and for views; the sender then waits too, and drops
// what it can't send. Closing nc is left to the caller.
func (r *Receiver) Serve(nc net.Conn, hello wire.Hello) {
	ctx := r.links.c.Context
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() }) // lets the reader go
	defer stop()
	l := &inward{Receiver: r, hello: hello, gathered: make([][]lane.Event, r.lanes.Count())}
	in := wire.NewReader(nc, limits)
	for {
		args, err := in.ReadCommand()
		if err == nil && (len(args) != 2 || string(args[0]) != wire.CmdFrame) {
			err = errors.New("something else than a frame on a link")
		}
		if err == nil {
			err = l.receive(in.Own(args[1])) // messages keep what they point to
		}
		if err != nil {
			if ctx.Err() == nil {
				r.links.c.Logger.Debug("a link ended", "from", l.hello.From, "incarnation", l.hello.Incarnation, "err", err)
			}
			return
		}
	}
}

// receive hands a frame's messages to the lanes, in order, after the view that
// their sender knew.
func (l *inward) receive(b []byte) error {
	h, messages, err := frame.Decode(b)
	if err != nil {
		return err
	}
	from := l.hello.From
	if err := l.views.Need(l.links.c.Context, h.Epoch, l.hello.Addr); err != nil {
		return err
	}
	m := l.views.View().Member(from)
	if m == nil || m.Incarnation != l.hello.Incarnation {
		return fmt.Errorf("%v at incarnation %d is not a member", from, l.hello.Incarnation)
	}
	if h.Done > l.done {
		l.done = h.Done
		l.links.epochs.note(from, h.Done)
		for i := range l.gathered {
			l.gathered[i] = append(l.gathered[i], lane.PeerDone(from, h.Done))
		}
	}
	for _, m := range messages {
		l.sort(from, m)
	}
	for i, events := range l.gathered {
		if len(events) > 0 {
			l.lanes.Put(i, events...)
			clear(events)
			l.gathered[i] = events[:0]
		}
	}
	return nil
}

// sort finds out whose a message is.
func (l *inward) sort(from ring.ServerID, m *replica.Message) {
	switch {
	case m.Type == replica.MsgPing:
		l.links.sendMessage(from, l.links.node.onPing(l.links.c.Now, from, m))
	case m.Type == replica.MsgPromise:
		if p, ok := l.links.node.onPromise(l.links.c.Now(), from, m); ok {
			for i := range l.gathered {
				l.gathered[i] = append(l.gathered[i], lane.Promised(&p))
			}
		}
	case replica.PartitionMessage(m.Type):
		if m.Type == replica.MsgPage {
			l.paged(from, m)
		}
		i := l.lanes.Index(m.Partition)
		l.gathered[i] = append(l.gathered[i], lane.Message(from, m))
	}
}
