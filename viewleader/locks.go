package viewleader

import (
	"time"

	"viewring/internal/wire"
	"viewring/viewleader/roster"
)

func (c *conn) lockGet(r *reply, args [][]byte) {
	q, err := wire.ParseLockAsk(args)
	if err != nil {
		r.fail(wire.CodeErr, err.Error())
		return
	}
	c.s.lines.get(r, &q)
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

func (c *conn) locks(r *reply, _ [][]byte) {
	c.s.ask(func(s *roster.State, err error) {
		if err != nil {
			failed(r, err)
			return
		}
		var all wire.Locks
		for _, l := range s.Locks() {
			all.Locks = append(all.Locks, wireLock(&l))
		}
		for _, cycle := range s.Deadlocks() {
			waits := make([]wire.LockWait, len(cycle))
			for i, w := range cycle {
				waits[i] = wire.LockWait(w)
			}
			all.Deadlocks = append(all.Deadlocks, waits)
		}
		r.bulk(wire.AppendLocks(nil, &all))
	})
}

func wireLock(l *roster.LockState) wire.Lock {
	out := wire.Lock{Name: l.Name, Shared: l.Shared}
	for _, h := range l.Holders {
		holder := wire.LockHolder{Client: h.Client, Session: h.Session, Token: h.Token, Since: time.UnixMilli(h.Since), Lost: h.Lost}
		if h.Expires != 0 {
			holder.Expires = time.UnixMilli(h.Expires)
		}
		out.Holders = append(out.Holders, holder)
	}
	for _, w := range l.Waiters {
		out.Waiters = append(out.Waiters, wire.LockWaiter(w))
	}
	return out
}
