package roster

import (
	"fmt"
	"slices"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// Apply runs a batch. However many of its commands change the view, the epoch
// rises by one, and every changed partition has that epoch as its term. A
// command that is not possible is refused and changes nothing; the others stand.
func (s *State) Apply(cmds []Command) []Result {
	results := make([]Result, len(cmds))
	for i := range cmds {
		s.at = cmds[i].At
		results[i] = s.applyOne(&cmds[i])
	}
	if s.dirty {
		s.finish()
	}
	for i := range results {
		results[i].Epoch = s.epoch
	}
	return results
}

func (s *State) applyOne(c *Command) Result {
	switch c.Kind {
	case KindRegister:
		return s.register(c)
	case KindExpire:
		return s.expire(c)
	case KindOut:
		return s.out(c)
	case KindHandoff:
		return s.handoff(c)
	case KindEject:
		return s.eject(c)
	case KindRestore:
		return s.restore(c)
	case KindLeave:
		return s.leave(c)
	case KindDrain:
		return s.drain(c)
	case KindUndrain:
		return s.undrain(c)
	case KindRemove:
		return s.remove(c)
	case KindConfigure:
		return s.configure(c)
	case KindSetWeight:
		return s.setWeight(c)
	case KindSetZone:
		return s.setZone(c)
	case KindAcceptLoss:
		return s.acceptLoss(c)
	}
	r, ok := s.locks.apply(c)
	if !ok {
		return refused(fmt.Errorf("unknown command %d", c.Kind))
	}
	s.noteLocks(c, &r)
	return r
}

// finish closes a batch that changed the view. What follows from the batch as
// a whole is decided here, so that no order of its commands matters to it.
func (s *State) finish() {
	limit := s.minCopiesLimit()
	for i := range s.parts {
		p := &s.parts[i]
		if id := s.restorable(p); id != 0 {
			s.bringBack(ring.PartitionID(i), id)
		}
		s.lowerMinCopies(p, limit)
		if p.Term == s.epoch+1 && len(p.Acting) >= int(p.MinCopies) {
			p.actingIsWritable()
		}
		s.taint(p)
	}
	s.noteByServer(vocab.EventRestored, s.restored)
	s.restored = nil
	s.dropLeft()
	s.epoch++
	s.dirty, s.view = false, nil
	s.asked = slices.DeleteFunc(s.asked, func(a ask) bool {
		return s.parts[a.Partition].Term != a.Term
	})
	s.check()
}

// minCopiesLimit returns the highest min-copies of a partition. Members that leave do not
// count; those that are out do, because they may come back.
func (s *State) minCopiesLimit() int {
	staying := 0
	for i := range s.members {
		if s.members[i].Status != ring.Leaving {
			staying++
		}
	}
	return max(1, min(s.minCopies, staying))
}

// minCopiesFor is what min-copies rises to with these acting replicas.
func (s *State) minCopiesFor(acting []ring.ServerID) uint8 {
	staying := 0
	for _, id := range acting {
		if s.member(id).Status != ring.Leaving {
			staying++
		}
	}
	return uint8(min(s.minCopies, staying))
}

// lowerMinCopies lets p follow a lower limit, once someone who holds every
// acknowledged write is there. Lowering it while all acting replicas are down
// would make them alone W and shut out the others of the old W.
func (s *State) lowerMinCopies(p *partition, limit int) {
	if int(p.MinCopies) <= limit || !s.anyUp(p.Acting) {
		return
	}
	p.MinCopies = uint8(limit)
	s.touch(p)
}

// restorable returns the member that brings back a partition whose acting replicas are too
// few to have acknowledged anything and are all down; or 0. It is a member of W, which
// holds everything that was ever acknowledged. It must be up, and must not have been up
// without acting since it last acted: otherwise it may have begun to learn, and must say
// (restore) that its copy is whole.
func (s *State) restorable(p *partition) ring.ServerID {
	if len(p.Acting) >= int(p.MinCopies) || s.anyUp(p.Acting) {
		return 0
	}
	for _, id := range p.Writable {
		if s.isUp(id) && !p.IsActing(id) && !p.marked(p.tainted|p.ejected, id) {
			return id
		}
	}
	return 0
}

// bringBack makes a member of W the acting replica of a partition.
func (s *State) bringBack(p ring.PartitionID, id ring.ServerID) {
	s.setActing(&s.parts[p], []ring.ServerID{id})
	if s.restored == nil {
		s.restored = make(map[ring.ServerID][]ring.PartitionID)
	}
	s.restored[id] = append(s.restored[id], p)
}

// taint notes which of W are up without acting: from the moment that they see
// this view they may learn.
func (s *State) taint(p *partition) {
	for i, id := range p.Writable {
		if !p.IsActing(id) && s.isUp(id) {
			p.tainted |= 1 << i
		}
	}
}

// dropLeft removes the members that leave and that nothing depends on any more.
func (s *State) dropLeft() {
	leaving := func(m member) bool { return m.Status == ring.Leaving }
	if !slices.ContainsFunc(s.members, leaving) {
		return
	}
	needed := make(map[ring.ServerID]bool)
	for i := range s.parts {
		for _, id := range s.parts[i].Acting {
			needed[id] = true
		}
		for _, id := range s.parts[i].Writable {
			needed[id] = true
		}
	}
	s.members = slices.DeleteFunc(s.members, func(m member) bool {
		if !leaving(m) || needed[m.ID] {
			return false
		}
		s.note(vocab.EventLeft, m.ID, "%s", m.Addr)
		s.remember(gone{ID: m.ID, Store: m.Store, Incarnation: m.Incarnation, Removed: m.Removed})
		return true
	})
}

// remember keeps a departed server's id and incarnation, so that it neither
// joins as somebody new nor comes back older than it was.
func (s *State) remember(g gone) {
	i, ok := slices.BinarySearchFunc(s.gone, g.ID, func(g gone, id ring.ServerID) int {
		return int(int64(g.ID) - int64(id))
	})
	if ok {
		s.gone[i] = g
		return
	}
	s.gone = slices.Insert(s.gone, i, g)
}

func (s *State) configure(c *Command) Result {
	probe := Config{Partitions: len(s.parts), MinCopies: c.MinCopies, LeaseTTL: c.LeaseTTL}
	if err := probe.Validate(); err != nil {
		return refused(err)
	}
	if c.LeaseTTL == 0 {
		return refused(fmt.Errorf("lease 0: want more"))
	}
	if s.minCopies == c.MinCopies && s.leaseTTL == c.LeaseTTL {
		return Result{Code: Done}
	}
	s.minCopies, s.leaseTTL = c.MinCopies, c.LeaseTTL
	s.dirty = true
	s.note(vocab.EventConfigured, 0, "min-copies %d, lease %v", c.MinCopies, c.LeaseTTL)
	for i := range s.parts {
		p := &s.parts[i]
		if n := s.minCopiesFor(p.Acting); n > p.MinCopies {
			p.MinCopies = n
			s.touch(p)
		}
	}
	return Result{Code: Done}
}
