package sim

import (
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/roster"
)

// Worlds in which nothing goes wrong: servers join, leave, and are drained and restarted,
// while disks, links and the view leader are slow, but never so slow that somebody is taken
// for dead. Nobody may be told an unknown outcome there: plain Redis clients, which have no
// request ids, could not ask again.

// plannedWeights are how often what happens in such a world.
var plannedWeights = map[string]int{"join": 4, "leave": 4, "drain": 10, "slow link": 5, "slow disk": 5}

// plannedSlowest is what is slow there at most: less than silence is taken for death.
const plannedSlowest = 350 * time.Millisecond

// slowest is how slow something gets at most.
func (w *world) slowest(most time.Duration) time.Duration {
	if w.opt.Planned {
		return min(most, plannedSlowest)
	}
	return most
}

// rollDrained restarts a server as an operator does: it ends when it acts nowhere any
// more, and has answered all that it was asked.
func (w *world) rollDrained(s *server) bool {
	if !s.alive || s.node == nil {
		return false
	}
	life := s.life
	var end func()
	end = func() {
		switch {
		case w.calm || s.life != life:
			return
		case s.view.Member(s.id()) == nil || s.actsSomewhere() || len(s.asks) > 0:
			w.after(20*time.Millisecond, end)
			return
		}
		w.count("drained servers ended")
		w.crashFor(s, w.between(100*time.Millisecond, 2*time.Second))
	}
	w.leader.propose(roster.Command{Kind: roster.KindDrain, ID: s.id()}, func(r roster.Result, _ *ring.View) {
		if r.Code == roster.Done {
			end()
		}
	})
	return true
}

// actsSomewhere reports whether a server acts in the view that all its lanes have.
func (s *server) actsSomewhere() bool {
	if s.done != s.view.Epoch {
		return true
	}
	for i := range s.view.Partitions {
		if s.view.Partitions[i].IsActing(s.id()) {
			return true
		}
	}
	return false
}

// checkPlanned wants a definite outcome where nothing goes wrong. Everywhere it wants of an
// answer from who is not the primary any more that the write is committed.
func (w *world) checkPlanned(s *server, p ring.PartitionID, try *attempt, a *replica.Answer) {
	invariant.Check(!w.opt.Planned || a.Status != replica.StatusUnknown, "planned",
		"partition %d: %v tells client %d number %d an unknown outcome", p, s, try.id.Client[0], try.id.Number)
	l := s.lanes[int(p)%lanes]
	c := l.core.Inspect(p)
	v := w.leader.views[l.epoch]
	if try.rec.in.op == 0 || a.Status != replica.StatusOK || !c.Acting || v == nil || v.Partitions[p].Primary() == s.id() {
		return
	}
	if l.adoptedAt == w.now {
		return // perhaps committed, and answered, just before
	}
	w.count("answered as a backup")
	invariant.Check(a.Version.Seq <= c.Commit && a.Version.Seq <= max(w.agreed[p], w.acked[p].Seq), "I3",
		"partition %d: %v, which is not the primary, answers %v, committed are %d", p, s, a.Version, w.agreed[p])
}
