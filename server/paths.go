package server

import (
	"bytes"
	"errors"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/replica"
	"viewring/server/tree"
)

// runTree is VR.TREE: one step in the tree of paths.
func (c *conn) runTree(args [][]byte) error {
	payload := args[0]
	if len(payload) > treeRequestMax {
		c.replyError(wire.CodeTooLarge + " a request about the tree")
		return nil
	}
	q, err := wire.DecodeTreeRequest(bytes.Clone(payload)) // the reader's buffer is used again
	if err == nil {
		err = tree.Check(&q)
	}
	switch {
	case errors.Is(err, tree.ErrTooLarge):
		c.replyError(wire.CodeTooLarge + " " + err.Error())
		return nil
	case err != nil:
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	case q.Op == wire.TreeList || q.Op == wire.TreeNames:
		c.runTreeList(&q)
		return nil
	}
	cl := c.newTreeCall(&q)
	if q.Op == wire.TreeHead {
		cl.request.Key, cl.cut = tree.ReadKey(&q), tree.Head
		cl.tree = func(a *replica.Answer) (wire.TreeReply, error) {
			return tree.HeadReply(&q, a.Status == replica.StatusOK, a.Value, a.Length)
		}
		c.read(cl)
		return nil
	}
	if !q.Op.Mutates() {
		cl.request.Key = tree.ReadKey(&q)
		cl.tree = func(a *replica.Answer) (wire.TreeReply, error) {
			return tree.ReadReply(&q, a.Status == replica.StatusOK, a.Value)
		}
		c.read(cl)
		return nil
	}
	if !c.take(cl, int64(len(payload))) {
		c.refuse(cl, replica.StatusBusy)
		return nil
	}
	made := tree.Fill(&q, &cl.request)
	cl.tree = func(a *replica.Answer) (wire.TreeReply, error) {
		p, ok := tree.Reply(a)
		if !ok {
			return p, errors.New("a step without an outcome")
		}
		if p.Code == wire.TreeOK {
			p.Node = made.Node
		}
		return p, nil
	}
	c.route(cl)
	return nil
}

// treeRequestMax bounds what a request holds beside its values.
const treeRequestMax = 8 << 20

func (c *conn) newTreeCall(q *wire.TreeRequest) *call {
	cl := callPool.Get().(*call)
	*cl = call{conn: c, asked: c.times.asked, style: replyTree, slot: tree.Slot(q)}
	return cl
}

// runTreeList reads a page of a directory: at once where nothing is under way in it, else at
// the head of the log, and answers when that is committed.
func (c *conn) runTreeList(q *wire.TreeRequest) {
	l, err := tree.NewList(q)
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return
	}
	cl := c.newTreeCall(q)
	l.Fill(&cl.request)
	cl.tree = func(*replica.Answer) (wire.TreeReply, error) { return l.Reply() }
	cl.look = func(core *replica.Core) (a replica.Answer, ok bool) {
		if a.Value, ok = c.listNow(core, cl.partition, *l); ok {
			a.Status = replica.StatusOK
			return a, true
		}
		if cl.cost == 0 && !c.take(cl, tree.ListBytesMax) { // until it is answered
			return replica.Answer{Status: replica.StatusBusy}, true
		}
		return a, false
	}
	if !c.lookNow(cl) {
		c.Push(cl)
		c.place(cl)
	}
}

// listNow is the encoded reply that has a page, if that can be read at once.
func (c *conn) listNow(core *replica.Core, p ring.PartitionID, l tree.List) (reply []byte, ok bool) {
	now := c.s.opts.Now
	if l.Found, ok = core.ReadRange(now(), p, l.Keys, &l.Range); !ok || !core.Leased(now(), p) {
		return nil, false
	}
	r, err := l.Reply()
	if err != nil {
		return nil, false // by the log it is told
	}
	return wire.AppendTreeReply(make([]byte, 0, 128+listedBytes*len(l.Range.Items)), &r), true
}

// listedBytes is about what a reply has of a node.
const listedBytes = 32

// writeTreeReply writes the reply to a step.
func (c *conn) writeTreeReply(w *wire.Writer, cl *call) {
	if cl.look != nil && cl.answer.Value != nil {
		w.WriteBulk(cl.answer.Value) // a page that was there at once
		return
	}
	p, err := cl.tree(&cl.answer)
	if err != nil {
		w.WriteError(failedText(err))
		return
	}
	buf := wire.AppendTreeReply(frame.TakeBuffer(), &p)
	w.WriteBulk(buf)
	frame.GiveBuffer(buf)
}
