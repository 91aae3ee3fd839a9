package roster

import (
	"fmt"
	"slices"

	"viewring/ring"
)

// current returns the partition that c changes, when its term is still c's and
// its sender is up at the incarnation that it names.
func (s *State) current(c *Command) (*partition, error) {
	if int64(c.Partition) >= int64(len(s.parts)) {
		return nil, fmt.Errorf("there is no partition %d", c.Partition)
	}
	p := &s.parts[c.Partition]
	if p.Term != c.Term {
		return nil, fmt.Errorf("partition %d is in term %d, not %d", c.Partition, p.Term, c.Term)
	}
	if _, err := s.registered(c.From); err != nil {
		return nil, err
	}
	return p, nil
}

// handoff makes the replicas that the primary names the acting ones. All of
// them hold everything: the primary has committed with old and new since it
// proposed.
func (s *State) handoff(c *Command) Result {
	p, err := s.current(c)
	if err != nil {
		return refused(err)
	}
	if p.Primary() != c.From.ID {
		return refused(fmt.Errorf("%v is not the primary of partition %d", c.From.ID, c.Partition))
	}
	acting, err := s.handoffTo(c, p)
	if err != nil {
		return refused(err)
	}
	p.MinCopies = max(p.MinCopies, s.minCopiesFor(acting))
	s.setActing(p, acting)
	return Result{Code: Done}
}

// handoffTo checks the replicas that a handoff names.
func (s *State) handoffTo(c *Command, p *partition) ([]ring.ServerID, error) {
	if len(c.Who) == 0 || len(c.Who) > actingMax {
		return nil, fmt.Errorf("%d acting replicas: want 1 to %d", len(c.Who), actingMax)
	}
	table, err := s.ringTable()
	if err != nil {
		return nil, err
	}
	targets := table.Targets(c.Partition)
	acting := make([]ring.ServerID, 0, len(c.Who))
	for _, in := range c.Who {
		m, err := s.registered(in)
		switch {
		case err != nil:
			return nil, err
		case slices.Contains(acting, in.ID):
			return nil, fmt.Errorf("%v is named twice", in.ID)
		case (m.Status == ring.Draining && !p.IsActing(in.ID)) || m.Status == ring.Out:
			return nil, fmt.Errorf("%v is %v", in.ID, m.Status)
		case !p.IsActing(in.ID) && !slices.Contains(targets, in.ID) && !slices.Contains(p.Returners(s.ringMember), in.ID):
			return nil, fmt.Errorf("%v is no target of partition %d", in.ID, c.Partition)
		}
		acting = append(acting, in.ID)
	}
	if slices.Equal(acting, p.Acting) {
		return nil, fmt.Errorf("these are the acting replicas already")
	}
	return acting, s.mayShrink(p, acting, targets)
}

// mayShrink checks that a handoff drops replicas only when all targets are in,
// and never below min-copies.
func (s *State) mayShrink(p *partition, acting, targets []ring.ServerID) error {
	dropped := without(p.Acting, func(id ring.ServerID) bool { return slices.Contains(acting, id) })
	if len(dropped) == 0 {
		return nil
	}
	for _, id := range targets {
		if !slices.Contains(acting, id) {
			return fmt.Errorf("%v can't be dropped before the target %v is in", dropped[0], id)
		}
	}
	if len(acting) < int(p.MinCopies) {
		return fmt.Errorf("%d replicas are fewer than min-copies %d", len(acting), p.MinCopies)
	}
	return nil
}

// eject drops a replica that its primary can't work with; a backup may so
// depose its primary, and a replica drop itself. Ejecting one that does not act
// raises the term all the same: it ends the proposal that named it.
func (s *State) eject(c *Command) Result {
	p, err := s.current(c)
	if err != nil {
		return refused(err)
	}
	if len(c.Who) != 1 || c.Who[0].ID == 0 {
		return refused(fmt.Errorf("an eject names one server"))
	}
	who, from := c.Who[0].ID, c.From.ID
	if !p.IsActing(from) || (p.Primary() != from && who != p.Primary() && who != from) {
		return refused(fmt.Errorf("%v may not eject %v from partition %d", from, who, c.Partition))
	}
	if !p.IsActing(who) {
		p.distrust(who)
		s.touch(p)
		return Result{Code: Done}
	}
	rest := withoutOne(p.Acting, who)
	if len(rest) == 0 || (who == from && !s.anyUp(rest)) {
		return refused(fmt.Errorf("%v is the last acting replica of partition %d", who, c.Partition))
	}
	if who != from && s.isUp(who) && len(rest) < int(p.MinCopies) && !s.askedEnough(c, who) {
		return refused(fmt.Errorf("%d replicas would be fewer than min-copies %d: asked again for %v it is done",
			len(rest), p.MinCopies, s.patience))
	}
	p.distrust(who)
	s.setActing(p, rest)
	return Result{Code: Done}
}

// restore lets a member of W act that says, at this term, that its copy is whole:
// nobody who acts is up, and they are too few to have acknowledged anything since
// W did. DESIGN.md argues why such a copy lacks nothing.
func (s *State) restore(c *Command) Result {
	p, err := s.current(c)
	if err != nil {
		return refused(err)
	}
	id := c.From.ID
	switch {
	case p.IsActing(id) || !slices.Contains(p.Writable, id):
		return refused(fmt.Errorf("%v is not one of those that acted in partition %d and do no more", id, c.Partition))
	case p.marked(p.ejected, id):
		return refused(fmt.Errorf("%v was ejected from partition %d", id, c.Partition))
	case len(p.Acting) >= int(p.MinCopies):
		return refused(fmt.Errorf("partition %d may have acknowledged writes that %v does not have", c.Partition, id))
	case s.anyUp(p.Acting):
		return refused(fmt.Errorf("partition %d has an acting replica that is up", c.Partition))
	}
	s.bringBack(c.Partition, id)
	return Result{Code: Done}
}

// askedEnough reports whether this eject has been asked for long enough.
// Leaving too few copies at the first hiccup of a link would stop writes; never
// doing so would stop them for as long as the link is broken.
func (s *State) askedEnough(c *Command, who ring.ServerID) bool {
	i := slices.IndexFunc(s.asked, func(a ask) bool {
		return a.Partition == c.Partition && a.Term == c.Term && a.From == c.From.ID && a.Who == who
	})
	if i < 0 {
		s.asked = append(s.asked, ask{c.Partition, c.Term, c.From.ID, who, c.At, c.At})
		return false
	}
	a := &s.asked[i]
	if c.At < a.First || c.At-a.Last > s.patience.Milliseconds() {
		a.First = c.At // a new trouble, or a clock that was set back
	}
	a.Last = c.At
	return c.At-a.First >= s.patience.Milliseconds()
}
