package roster

import (
	"fmt"
	"slices"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// isNewer reports whether builds of before know nothing of something in s.
func (s *State) isNewer() bool {
	return slices.ContainsFunc(s.members, func(m member) bool { return m.Weight > 1 || m.SaidWeight > 0 || m.SaidZone != m.Zone }) ||
		slices.ContainsFunc(s.events, func(e vocab.Event) bool { return e.Kind == vocab.EventPlaced || e.Kind == vocab.EventUndrained })
}

// setWeight gives a server its part of copies and primaries. What has to move for it moves
// as after any change of members.
func (s *State) setWeight(c *Command) Result {
	m := s.member(c.ID)
	switch {
	case m == nil:
		return refused(fmt.Errorf("%v is not a member", c.ID))
	case m.Weight == c.Weight:
		return Result{Code: Done, ID: m.ID}
	}
	if err := s.mayWeigh(m.ID, c.Weight); err != nil {
		return refused(err)
	}
	s.weigh(m, c.Weight)
	return Result{Code: Done, ID: m.ID}
}

// setZone says where a server stands.
func (s *State) setZone(c *Command) Result {
	m := s.member(c.ID)
	switch {
	case m == nil:
		return refused(fmt.Errorf("%v is not a member", c.ID))
	case len(c.Zone) > ZoneBytesMax:
		return refused(fmt.Errorf("a zone of %d bytes: want at most %d", len(c.Zone), ZoneBytesMax))
	case m.Zone != c.Zone:
		s.note(vocab.EventPlaced, m.ID, "zone %q, was %q", c.Zone, m.Zone)
		m.Zone = c.Zone
		s.membersChanged(true)
	}
	return Result{Code: Done, ID: m.ID}
}

// mayWeigh says what is wrong with a weight for a server, which need not be a member.
func (s *State) mayWeigh(id ring.ServerID, weight uint32) error {
	if weight == 0 {
		return fmt.Errorf("weight 0: want 1 to %d (a server that is to hold nothing can leave)", ring.WeightMax)
	}
	if weight > ring.WeightMax {
		return fmt.Errorf("weight %d: want 1 to %d", weight, ring.WeightMax)
	}
	total := weight
	for i := range s.members {
		if m := &s.members[i]; m.ID != id {
			total += m.Weight
		}
	}
	if total > ring.SharesMax {
		return fmt.Errorf("weight %d: all weights would add up to %d, want at most %d (only their proportions count)", weight, total, ring.SharesMax)
	}
	return nil
}

func (s *State) weigh(m *member, weight uint32) {
	s.note(vocab.EventPlaced, m.ID, "weight %d, was %d", weight, m.Weight)
	m.Weight = weight
	s.membersChanged(true)
}

// said takes over the zone and the weight that a registration names, where they are not
// those that it named before: what an operator set since stays until the server is started
// with another flag.
func (s *State) said(m *member, r *vocab.Register) {
	if r.Zone != m.SaidZone {
		if m.SaidZone = r.Zone; r.Zone != m.Zone {
			m.Zone = r.Zone
			s.membersChanged(true)
		}
	}
	if w := r.SaidWeight(); w != 0 && w != m.SaidWeight {
		m.SaidWeight = w
		if w != m.Weight {
			s.weigh(m, w)
		}
	}
}

// validPlace says what is wrong with what a registration says of weights; id is a member or
// is to be one.
func (s *State) validPlace(id ring.ServerID, r *vocab.Register) error {
	if w := r.SaidWeight(); w != 0 {
		if m := s.member(id); m != nil && m.SaidWeight == w {
			return nil // it changes nothing
		}
		return s.mayWeigh(id, w)
	}
	if r.KnowsWeights() {
		return nil
	}
	for i := range s.members {
		if s.members[i].Weight > 1 {
			return fmt.Errorf("this cluster has weights, which the server's build does not know: start it with a newer one")
		}
	}
	return nil
}
