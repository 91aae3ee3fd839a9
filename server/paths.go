package server

import (
	"bytes"
	"errors"

	"viewring/internal/wire"
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
	case q.Op == wire.TreeList:
		return c.runTreeList(&q)
	}
	cl := c.newTreeCall(&q)
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
	*cl = call{conn: c, style: replyTree, slot: tree.Slot(q)}
	return cl
}

// runTreeList reads a page of a directory: at once where nothing is under way in it, else at
// the head of the log, and answers when that is committed.
func (c *conn) runTreeList(q *wire.TreeRequest) error {
	l, err := tree.NewList(q)
	if err != nil {
		c.replyError(wire.CodeErr + " " + err.Error())
		return nil
	}
	if !c.AwaitReplies() {
		return errStopped
	}
	atOnce := false
	look := c.newTreeCall(q)
	look.request.Key = l.Keys[0]
	now := c.s.opts.Now
	page := *l // the lane's: it may still look when the server stops and we do not wait for it
	look.look = func(core *replica.Core) {
		page.Found, atOnce = core.ReadRange(now(), look.partition, page.Keys, &page.Range)
		atOnce = atOnce && core.Leased(now(), look.partition)
	}
	if err := c.askLanes([]*call{look}); err != nil {
		return err
	}
	if atOnce {
		return c.replyTreeList(&page)
	}
	cl := c.newTreeCall(q)
	l.Fill(&cl.request)
	if err := c.askLanes([]*call{cl}); err != nil {
		return err
	}
	if text := c.errorText(cl); text != "" {
		c.replyError(text)
		return nil
	}
	return c.replyTreeList(l)
}

func (c *conn) replyTreeList(l *tree.List) error {
	p, err := l.Reply()
	if err != nil {
		c.replyError(failedText(err))
		return nil
	}
	b := wire.AppendTreeReply(nil, &p)
	held := call{conn: c}
	if !c.take(&held, int64(len(b))) {
		c.replyError(wire.CodeBusy + " too many requests are waiting")
		return nil
	}
	c.replyHeld(held.cost, func(w *wire.Writer) { w.WriteBulk(b) })
	return nil
}

// writeTreeReply writes the reply to a step that is not a list.
func (c *conn) writeTreeReply(w *wire.Writer, cl *call) {
	p, err := cl.tree(&cl.answer)
	if err != nil {
		w.WriteError(failedText(err))
		return
	}
	buf := wire.AppendTreeReply(frame.TakeBuffer(), &p)
	w.WriteBulk(buf)
	frame.GiveBuffer(buf)
}
