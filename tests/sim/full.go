package sim

import (
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
)

// fillDisk leaves a server no room for a while.
func (w *world) fillDisk(s *server) bool {
	if !s.alive || s.node == nil || s.full || w.calm {
		return false
	}
	s.setRoom(false)
	w.after(w.between(300*time.Millisecond, 9*time.Second), func() { s.setRoom(true) })
	return true
}

// fillAll leaves nobody room: then nobody can be done without.
func (w *world) fillAll() bool {
	hit := false
	for _, s := range w.servers {
		hit = w.fillDisk(s) || hit
	}
	return hit
}

// setRoom fills a server's disk or empties it. The lanes learn of it one by one,
// as they do after a start.
func (s *server) setRoom(room bool) {
	if s.full == !room {
		return
	}
	s.full, s.roomAt = !room, s.w.now
	s.tellRoom()
}

func (s *server) tellRoom() {
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

// checkFull is what a refusal for want of room says: it is of something that takes
// room, and the server that it names has none, or had none until just now.
func (w *world) checkFull(in *input, p ring.PartitionID, a *replica.Answer) {
	if a.Status != replica.StatusFull {
		return
	}
	w.count("refused for want of room")
	invariant.Check(in.takesRoom(), "full", "partition %d: %+v takes no room and is refused", p, *in)
	who := w.byID(ring.ServerID(a.Number))
	invariant.Check(who != nil && (who.full || who.roomAt > 0 && w.now-who.roomAt < roomHeardMax), "full",
		"partition %d: a write is refused for %v, which has room", p, ring.ServerID(a.Number))
}

// roomHeardMax is how long others may take to hear that a server has room again.
const roomHeardMax = 10 * time.Second
