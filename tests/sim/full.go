package sim

import (
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
)

// fillDisk leaves a server no disk space for a while.
func (w *world) fillDisk(s *server) bool {
	if !s.alive || s.node == nil || s.full || w.calm {
		return false
	}
	s.setSpace(false)
	w.after(w.between(300*time.Millisecond, 9*time.Second), func() { s.setSpace(true) })
	return true
}

// fillAll leaves nobody disk space: then nobody can be done without.
func (w *world) fillAll() bool {
	hit := false
	for _, s := range w.servers {
		hit = w.fillDisk(s) || hit
	}
	return hit
}

// setSpace fills a server's disk or empties it. The lanes learn of it one by one,
// as they do after a start.
func (s *server) setSpace(free bool) {
	if s.full == !free {
		return
	}
	s.full, s.spaceAt = !free, s.w.now
	s.tellSpace()
}

func (s *server) tellSpace() {
	if !s.alive || s.node == nil {
		return
	}
	for _, l := range s.lanes {
		s.later(s.w.between(0, 50*time.Millisecond), func() {
			l.post(func(at replica.Instant, c *replica.Core) { c.SetFull(at, s.full) })
		})
	}
	if s.full {
		return
	}
	s.later(s.w.between(50*time.Millisecond, time.Second), func() { // the mover begins anew
		for _, l := range s.lanes {
			l.post(func(at replica.Instant, _ *replica.Core) { s.learnAll(l, s.view, s.w.leader.table(s.view), at) })
		}
	})
}

// checkFull is what a refusal for want of space says: it is of something that takes
// space, and the server that it names has none, or had none until just now.
func (w *world) checkFull(in *input, p ring.PartitionID, a *replica.Answer) {
	if a.Status != replica.StatusFull {
		return
	}
	w.count("refused for want of room")
	invariant.Check(in.takesSpace(), "full", "partition %d: %+v takes no space and is refused", p, *in)
	who := w.byID(ring.ServerID(a.Number))
	invariant.Check(who != nil && (who.full || who.spaceAt > 0 && w.now-who.spaceAt < spaceHeardMax), "full",
		"partition %d: a write is refused for %v, which has space", p, ring.ServerID(a.Number))
}

// spaceHeardMax is how long others may take to hear that a server has space again.
const spaceHeardMax = 10 * time.Second
