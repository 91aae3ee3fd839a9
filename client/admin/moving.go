package admin

import (
	"time"

	"viewring/ring"
)

// Moving is how the copying in of a server that lacks copies goes, by its last heartbeat.
type Moving struct {
	ID        ring.ServerID
	Done      int    // copies of partitions made since it began to lack what is left; 0 from an earlier build
	DoneBytes uint64 // likewise
	Left      int
	LeftBytes uint64        // a guess: from those done, or before that from what the others hold
	Rate      uint64        // bytes/s, lately
	TimeLeft  time.Duration // a guess, at that rate; below 0: nothing comes now
	Allowed   uint64        // bytes/s that it may copy in now; 0: any, or it is of an earlier build
	HeldBy    uint8         // who holds that back: one of the Held constants
}

// HeldForClients reports whether a server copies more slowly than it could, for clients to
// have the processors and disks.
func (m *Moving) HeldForClients() bool { return m.HeldBy == HeldByOwn || m.HeldBy == HeldBySources }

// Moving lists the servers that are up and lack copies, by id.
func (s *Status) Moving() []Moving {
	var all []Moving
	for i := range s.View.Members {
		m := &s.View.Members[i]
		t := s.Server(m.ID).Stats
		if !m.Up || t.Left == 0 {
			continue
		}
		one := Moving{ID: m.ID, Done: int(t.MoveDone), DoneBytes: t.MoveDoneBytes, Left: int(t.Left), LeftBytes: t.LeftBytes, Rate: t.Rate, TimeLeft: -1, Allowed: t.MoveAllowed, HeldBy: uint8(t.MoveHeld)}
		if one.LeftBytes == 0 {
			one.LeftBytes = uint64(t.Left) * s.meanCopy()
		}
		if t.Rate > 0 {
			one.TimeLeft = time.Duration(float64(one.LeftBytes) / float64(t.Rate) * float64(time.Second))
		}
		all = append(all, one)
	}
	return all
}

// meanCopy is how large a copy of a partition is, on average, on the servers that are up.
func (s *Status) meanCopy() uint64 {
	var held, bytes uint64
	for i := range s.View.Partitions {
		for _, id := range s.View.Partitions[i].Acting {
			if m := s.View.Member(id); m != nil && m.Up {
				held++
			}
		}
	}
	for i := range s.View.Members {
		if m := &s.View.Members[i]; m.Up {
			h := s.Server(m.ID)
			bytes += h.Stats.Carried()
		}
	}
	return bytes / max(1, held)
}

// longest is how long it takes until none of them lacks anything; below 0: one copies nothing
// now, or there are none.
func longest(all []Moving) time.Duration {
	left := time.Duration(-1)
	for _, m := range all {
		if m.TimeLeft < 0 {
			return -1
		}
		left = max(left, m.TimeLeft)
	}
	return left
}
