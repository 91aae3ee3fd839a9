package viewleader

import (
	"bytes"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"viewring/internal/front"
	"viewring/internal/wire"
)

// peer lets another member open a stream of Raft messages.
func (c *conn) peer(r *reply, args [][]byte) {
	h, err := wire.DecodePeerHello(args[0])
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	st := c.s.groupStatus.Load()
	switch {
	case st.self == 0:
		r.fail(wire.CodeUnavailable, "this view leader looks for its group yet")
	case h.Cluster != st.cluster:
		r.fail(wire.CodeRefused, fmt.Sprintf("view leader %d belongs to cluster %x, this one to %x", h.From, h.Cluster[:4], st.cluster[:4]))
	case h.To != st.self || h.From == st.self:
		r.fail(wire.CodeRefused, fmt.Sprintf("this is view leader %d, not %d", st.self, h.To))
	case st.members.removed(h.From):
		r.fail(wire.CodeRemoved, fmt.Sprintf("view leader %d was removed from the group", h.From))
	default:
		c.from = h.From
		c.s.links.met(h.From, h.Addr)
		r.finish(func(w *wire.Writer) { w.WriteSimple("OK") })
	}
}

// readPeer takes another member's messages until its connection breaks. It may
// wait for the Raft loop; the sender then waits, too, and drops what it can't send.
func (c *conn) readPeer() error {
	streams := false
	var whole []byte
	why := error(front.ErrQuit)
	for {
		args, err := c.ReadCommand()
		if err != nil {
			why = err
			break
		}
		name := string(bytes.ToUpper(args[0]))
		if len(args) != 2 || len(args[1]) == 0 || name != wire.CmdRaft && name != wire.CmdSnapshot ||
			len(whole)+len(args[1]) > messageBytesMax {
			c.s.opts.Logger.Warn("a view leader sent what is no message", "id", c.from, "command", printable(args[0]))
			break
		}
		streams = streams || name == wire.CmdRaft
		whole = append(whole, args[1][1:]...)
		if args[1][0] == wire.PieceLast {
			if !c.deliver(whole) {
				break
			}
			whole = whole[:0]
			if cap(whole) > 4*wire.PieceBytesMax {
				whole = nil
			}
		}
		if name == wire.CmdSnapshot {
			c.acknowledge()
		}
	}
	if from := c.from; streams {
		c.s.report(func(g *group) { g.linkBroke(from) })
	}
	return why
}

// deliver hands a message to the loop. It is false when the connection must end.
func (c *conn) deliver(b []byte) bool {
	m := &pb.Message{}
	if err := proto.Unmarshal(b, m); err != nil || m.GetFrom() != c.from {
		c.s.opts.Logger.Warn("a view leader sent what is no message of its own", "id", c.from, "err", err)
		return false
	}
	if st := c.s.groupStatus.Load(); st.members.removed(c.from) {
		rep := c.newReply()
		rep.fail(wire.CodeRemoved, fmt.Sprintf("view leader %d was removed from the group", c.from))
		c.queue(rep)
		return false
	}
	select {
	case c.s.group.steps <- m:
		return true
	case <-c.s.ctx.Done():
		return false
	}
}

func (c *conn) acknowledge() {
	rep := c.newReply()
	rep.finish(func(w *wire.Writer) { w.WriteSimple("OK") })
	c.queue(rep)
}
