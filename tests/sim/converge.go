package sim

import (
	"slices"
	"time"

	"viewring/ring"
)

// calmDown ends the faults, and the clients once there were enough operations.
func (w *world) calmDown() {
	if !w.calm {
		w.heal()
	}
	w.restartDrained()
	if w.done < opsMin {
		w.after(100*time.Millisecond, w.calmDown)
		return
	}
	w.quiet = true
	w.calmAt = w.now
	w.after(time.Second, w.converge)
}

// restartDrained does what an operator does with a drained server.
func (w *world) restartDrained() {
	v := w.leader.state.View()
	for _, s := range w.servers {
		if m := v.Member(s.id()); m != nil && m.Status == ring.Draining && s.done == v.Epoch {
			s.crash()
			s.start()
		}
	}
}

// converge waits until the cluster has converged, then reads every key once more, and
// writes it: where there is space, writes go on.
func (w *world) converge() {
	w.restartDrained()
	if why := w.unconverged(); why != "" {
		w.note(global, "not settled: %s", why)
		w.checkRebalanced()
		w.after(500*time.Millisecond, w.converge)
		return
	}
	w.converged, w.convergedAt = true, w.now
	w.Counts["settled after ms"] = int((w.now - w.calmAt).Milliseconds())
	c := newClient(w, 99)
	c.final, c.finals = true, slices.Concat(hotKeys, hotKeys)
	w.clients = append(w.clients, c)
	c.next()
	w.awaitFinal(c)
}

func (w *world) awaitFinal(c *client) {
	if len(c.finals) == 0 && c.op.done != never && w.watching.behind() == nil {
		w.queue.clear()
		return
	}
	w.after(100*time.Millisecond, func() { w.awaitFinal(c) })
}

// stranded reports whether a member has left the view: its process may have
// gone on without noticing.
func (w *world) stranded(id ring.ServerID) bool { return w.leader.state.View().Member(id) == nil }
