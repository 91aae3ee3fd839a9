package roster

import (
	"fmt"
	"slices"
	"time"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// acceptLoss makes partitions anew, empty, whose data an operator gives up: all
// of them, or on a refusal none. Each must be out of service, with nobody up who
// acts or could be restored. DESIGN.md tells what the operator must make sure of.
func (s *State) acceptLoss(c *Command) Result {
	if len(c.Partitions) == 0 {
		return refused(fmt.Errorf("no partition is named"))
	}
	firsts := make([]ring.ServerID, len(c.Partitions))
	for i, id := range c.Partitions {
		if int64(id) >= int64(len(s.parts)) {
			return refused(fmt.Errorf("there is no partition %d", id))
		}
		if err := s.mayGiveUp(id, c.At); err != nil {
			return refused(err)
		}
		first, err := s.firstOf(id)
		if err != nil {
			return refused(err)
		}
		firsts[i] = first
	}
	begun := make(map[ring.ServerID][]ring.PartitionID)
	for i, id := range c.Partitions {
		begun[firsts[i]] = append(begun[firsts[i]], id)
		p := &s.parts[id]
		s.setActing(p, []ring.ServerID{firsts[i]})
		p.actingIsWritable()
		p.ResetTerm = p.Term
	}
	for id, ps := range begun {
		slices.Sort(ps)
		begun[id] = slices.Compact(ps)
	}
	s.noteByServer(vocab.EventAcceptedLoss, begun)
	return Result{Code: Done}
}

// mayGiveUp checks that p is out of service, and that a lease which its acting
// replicas gave each other before they fell silent is over.
func (s *State) mayGiveUp(id ring.PartitionID, at int64) error {
	p := &s.parts[id]
	if p.Term == 0 {
		return fmt.Errorf("partition %d never held anything", id)
	}
	for _, who := range p.Acting {
		m := s.member(who)
		if m.Up {
			return fmt.Errorf("partition %d is not lost: %v is up and holds it", id, who)
		}
		// A clock that was set back says nothing; the service has waited, too.
		if down := time.Duration(at-m.DownAt) * time.Millisecond; down >= 0 && down < s.leaseTTL {
			return fmt.Errorf("partition %d: %v is down for %v only, its lease may run for %v", id, who, down, s.leaseTTL)
		}
	}
	if who := s.restorable(p); who != 0 {
		return fmt.Errorf("partition %d is not lost: %v is up and brings it back", id, who)
	}
	return nil
}

// firstOf returns who begins a partition anew: the first target that is up, or
// where none is, as long as the dead are not out, another server that is up.
func (s *State) firstOf(p ring.PartitionID) (ring.ServerID, error) {
	table, err := s.ringTable()
	if err != nil {
		return 0, err
	}
	ready := func(m *member) bool { return m.Up && m.Status == ring.In }
	for _, id := range table.Targets(p) {
		if ready(s.member(id)) {
			return id, nil
		}
	}
	var others []ring.ServerID
	for i := range s.members {
		if m := &s.members[i]; ready(m) {
			others = append(others, m.ID)
		}
	}
	if len(others) == 0 {
		return 0, fmt.Errorf("no server is up that could begin partition %d anew", p)
	}
	return others[int(p)%len(others)], nil
}
