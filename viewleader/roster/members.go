package roster

import (
	"fmt"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// expire declares servers down that were silent too long, and takes them out
// of acting wherever another acting replica is up. All acting replicas silent
// at once stay as they are: then it is rather the view leader that is cut off,
// and the last acting replica is never removed. One that is down already may be
// named again, to leave the sets that it stayed in for that reason.
func (s *State) expire(c *Command) Result {
	victims := make(map[ring.ServerID]bool, len(c.Who))
	for _, in := range c.Who {
		m := s.member(in.ID)
		if m == nil || m.Incarnation != in.Incarnation {
			continue
		}
		victims[in.ID] = true
		if m.Up {
			m.Up, m.DownAt = false, c.At
			s.note(vocab.EventDown, m.ID, "%s", m.Addr)
			s.membersChanged(false)
		}
	}
	if len(victims) > 0 {
		s.stopActing(func(id ring.ServerID) bool { return victims[id] })
	}
	return Result{Code: Done}
}

// stopActing takes servers out of every acting set in which somebody who is up
// remains.
func (s *State) stopActing(victim func(ring.ServerID) bool) {
	for i := range s.parts {
		p := &s.parts[i]
		rest := without(p.Acting, victim)
		if len(rest) < len(p.Acting) && s.anyUp(rest) {
			s.setActing(p, rest)
		}
	}
}

// out ends the wait for a server that is down: others take over its copies.
func (s *State) out(c *Command) Result {
	m := s.member(c.ID)
	switch {
	case m == nil:
		return refused(fmt.Errorf("%v is not a member", c.ID))
	case m.Up:
		return refused(fmt.Errorf("%v is up", c.ID))
	case !m.Target():
		return refused(fmt.Errorf("%v is %v already", c.ID, m.Status))
	case !s.otherTarget(c.ID, true):
		return refused(fmt.Errorf("no other server is up to take over from %v", c.ID))
	}
	m.Status = ring.Out
	s.membersChanged(true)
	s.note(vocab.EventOut, m.ID, "%s", m.Addr)
	return Result{Code: Done, ID: m.ID}
}

// otherTarget reports whether the ring can place partitions without id.
func (s *State) otherTarget(id ring.ServerID, up bool) bool {
	for i := range s.members {
		if m := &s.members[i]; m.ID != id && m.Target() && (m.Up || !up) {
			return true
		}
	}
	return false
}

// leave ends a server's part in placement, up or not. It acts on until others
// hold what it holds.
func (s *State) leave(c *Command) Result {
	m := s.member(c.ID)
	switch {
	case m == nil:
		return refused(fmt.Errorf("%v is not a member", c.ID))
	case m.Status == ring.Leaving:
		return Result{Code: Done, ID: m.ID}
	case !s.otherTarget(c.ID, false):
		return refused(fmt.Errorf("%v is the last server: nobody could take over from it", c.ID))
	}
	m.Status = ring.Leaving
	s.membersChanged(true)
	s.note(vocab.EventLeaving, m.ID, "%s", m.Addr)
	return Result{Code: Done, ID: c.ID}
}

// remove is leave for a server that is lost for good.
func (s *State) remove(c *Command) Result {
	m := s.member(c.ID)
	switch {
	case m == nil:
		return refused(fmt.Errorf("%v is not a member", c.ID))
	case m.Up:
		return refused(fmt.Errorf("%v is up: stop it first, or let it leave", c.ID))
	}
	if r := s.leave(c); r.Code != Done {
		return r
	}
	if !m.Removed {
		m.Removed = true
		s.membersChanged(false)
		s.note(vocab.EventRemoved, m.ID, "%s", m.Addr)
	}
	s.stopActing(func(id ring.ServerID) bool { return id == c.ID })
	return Result{Code: Done, ID: c.ID}
}

// drain begins a planned restart: the server leaves its acting sets by itself,
// each as soon as enough others act (hole 28: a set at min-copies is handed off
// first). It is refused where that can never be.
func (s *State) drain(c *Command) Result {
	m := s.member(c.ID)
	switch {
	case m == nil:
		return refused(fmt.Errorf("%v is not a member", c.ID))
	case !m.Up:
		return refused(fmt.Errorf("%v is down already", c.ID))
	case m.Status == ring.Draining:
		return Result{Code: Done, ID: m.ID}
	case m.Status == ring.Leaving:
		return refused(fmt.Errorf("%v is leaving", c.ID))
	}
	table, err := s.ringTable()
	if err != nil {
		return refused(err)
	}
	short := 0
	for i := range s.parts {
		if p := &s.parts[i]; p.IsActing(c.ID) && s.countOthers(p, table.Targets(ring.PartitionID(i)), c.ID) < int(p.MinCopies) {
			short++
		}
	}
	if short > 0 {
		return refused(fmt.Errorf("%d partitions would have fewer copies than min-copies without %v: "+
			"wait until other servers are up, or add one", short, c.ID))
	}
	m.Status = ring.Draining
	s.membersChanged(false)
	s.note(vocab.EventDraining, m.ID, "%s", m.Addr)
	return Result{Code: Done, ID: m.ID}
}

// undrain takes drain back: the server, which is a target all the while, copies what changed
// since it left its acting sets, and is let in again. A server that drains of its own accord,
// before its end, ends all the same.
func (s *State) undrain(c *Command) Result {
	m := s.member(c.ID)
	switch {
	case m == nil:
		return refused(fmt.Errorf("%v is not a member", c.ID))
	case m.Status == ring.Leaving:
		return refused(fmt.Errorf("%v is leaving, which can't be undone: started again with its data after it has left, it joins as what it was", c.ID))
	case m.Status == ring.Draining && !m.Up:
		return refused(fmt.Errorf("%v is drained and down: start it, which ends its drain", c.ID))
	case m.Status != ring.Draining:
		return Result{Code: Done, ID: m.ID}
	}
	m.Status = ring.In
	s.membersChanged(false)
	s.note(vocab.EventUndrained, m.ID, "%s", m.Addr)
	return Result{Code: Done, ID: m.ID}
}

// countOthers counts who can act for p without id: who acts, is up and does not
// drain, and who is a target that will.
func (s *State) countOthers(p *partition, targets []ring.ServerID, id ring.ServerID) (n int) {
	for _, other := range p.Acting {
		if m := s.member(other); other != id && m.Up && m.Status != ring.Draining {
			n++
		}
	}
	for _, other := range targets {
		if m := s.member(other); other != id && !p.IsActing(other) && m.Up && m.Status == ring.In {
			n++
		}
	}
	return n
}
