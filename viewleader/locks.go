package viewleader

import (
	"viewring/internal/wire"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

func (c *conn) lockGet(r *reply, args [][]byte) {
	q, err := wire.ParseLockAsk(args)
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	c.s.lockQueues.get(r, &q)
}

func (c *conn) lockFree(r *reply, args [][]byte) {
	cmd := roster.Command{Kind: roster.KindLockFree, Lock: string(args[0]), Client: string(args[1])}
	if len(args) > 2 {
		var err error
		if cmd.Session, err = wire.ParseSession(args[2]); err != nil {
			r.fail(wire.CodeErr, err.Error())
			return
		}
	}
	c.s.command(r, cmd, func(roster.Result) {
		r.finish(func(w *wire.Writer) { w.WriteSimple("OK") })
	})
}

func (c *conn) locks(r *reply, args [][]byte) {
	whole := len(args) > 0 // asked by a build that knows of sessions not heard of
	c.s.ask(func(s *roster.State, err error) {
		if err != nil {
			failed(r, err)
			return
		}
		all := vocab.Locks{Locks: s.Locks(), Deadlocks: s.Deadlocks()}
		b := wire.AppendLocks(nil, &all)
		if whole {
			b = wire.AppendUnheard(b, c.s.sessions.unheard())
		}
		r.bulk(b)
	})
}
