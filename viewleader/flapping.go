package viewleader

import (
	"fmt"
	"time"

	"viewring/ring"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// holdMax bounds how long a flapping server stays out for one more failure.
const holdMax = 5 * time.Minute

// returns lists, for each server, when it was let in again after a failure, as far
// as the events that are kept tell. A planned restart is none: the server was
// drained before. All view leaders know the events, so a new head damps on.
func returns(events []vocab.Event) map[ring.ServerID][]int64 {
	var of map[ring.ServerID][]int64
	planned := make(map[ring.ServerID]bool)
	for i := range events {
		switch e := &events[i]; e.Kind {
		case vocab.EventDraining:
			planned[e.Server] = true
		case vocab.EventUndrained:
			delete(planned, e.Server)
		case vocab.EventUp:
			if !planned[e.Server] {
				if of == nil {
					of = make(map[ring.ServerID][]int64)
				}
				of[e.Server] = append(of[e.Server], e.At.UnixMilli())
			}
			delete(planned, e.Server)
		}
	}
	return of
}

// damped tells how often a server failed within the window, and until when it stays
// out for that; the zero time when it need not. A server that is needed is let in at
// once: damping is for those that the others can do without.
func (s *Service) damped(p *published, m *roster.MemberState) (failures int, until time.Time) {
	since := s.opts.Now().Add(-s.opts.FlapWindow).UnixMilli()
	for _, at := range p.returns[m.ID] {
		if at > since {
			failures++
		}
	}
	if failures < s.opts.FlapsMax || m.Up || m.DownAt == 0 || needed(p.view, m.ID) {
		return failures, time.Time{}
	}
	hold := min(s.opts.FlapHold<<min(failures-s.opts.FlapsMax, 10), holdMax)
	return failures, time.UnixMilli(m.DownAt).Add(hold)
}

// needed reports that a partition waits for a server: it acts there, though down, or
// too few others are up to acknowledge a write.
func needed(v *ring.View, id ring.ServerID) bool {
	up := make(map[ring.ServerID]bool, len(v.Members))
	for i := range v.Members {
		up[v.Members[i].ID] = v.Members[i].Up
	}
	for i := range v.Partitions {
		p := &v.Partitions[i]
		acting := 0
		for _, other := range p.Acting {
			if up[other] {
				acting++
			}
		}
		if p.IsActing(id) || p.Term > 0 && acting < int(p.MinCopies) {
			return true
		}
	}
	return false
}

// holdBack says why a registration must wait; "" when it need not.
func (s *Service) holdBack(q *vocab.Register) string {
	p := s.published.Load()
	for i := range p.members {
		m := &p.members[i]
		if m.ID != q.ID && m.Store != q.Store {
			continue
		}
		failures, until := s.damped(p, m)
		if left := until.Sub(s.opts.Now()); !until.IsZero() && left > 0 {
			return fmt.Sprintf("%v failed %d times within %v: it stays out for %v more, unless it is needed before",
				m.ID, failures+1, s.opts.FlapWindow, left.Round(100*time.Millisecond))
		}
	}
	return ""
}
