package roster

import (
	"fmt"
	"slices"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// register lets a server join, or come back.
func (s *State) register(c *Command) Result {
	r := &c.Register
	if err := s.validRegister(r); err != nil {
		return refused(err)
	}
	m, err := s.registrant(r)
	if err != nil {
		return refused(err)
	}
	if m == nil {
		return s.admit(r)
	}
	if err := s.validPlace(m.ID, r); err != nil {
		return refused(err)
	}
	m.recognize(r)
	if r.Incarnation <= m.Incarnation && (r.Incarnation < m.Incarnation || r.Instance != m.Instance || r.Store != m.Store) {
		// Two processes on copies of one data folder, or a folder that was
		// rolled back. Where starts have no names, what this store says of itself is
		// not believed next time.
		m.Doubted = m.Doubted || m.Start == 0 && r.Store == m.Store
		return refused(fmt.Errorf("%v has registered as incarnation %d by another process at %s: "+
			"incarnation %d is not newer (is this a copy of its data folder?)", m.ID, m.Incarnation, m.Addr, r.Incarnation))
	}
	if err := s.takeAddr(m.ID, r.Addr); err != nil {
		return refused(err)
	}
	if r.Incarnation == m.Incarnation {
		s.sameStart(m, r)
	} else {
		s.newStart(m, r)
	}
	return Result{Code: Done, ID: m.ID}
}

func (s *State) validRegister(r *vocab.Register) error {
	switch {
	case r.Cluster != [16]byte{} && r.Cluster != s.cluster:
		return fmt.Errorf("the data folder belongs to cluster %x, this is %x", r.Cluster, s.cluster)
	case r.Store == [16]byte{} || r.Incarnation == 0 || r.Instance == 0:
		return fmt.Errorf("a registration needs a store id, an incarnation and an instance")
	case r.Addr == "" || len(r.Addr) > AddrBytesMax:
		return fmt.Errorf("an address of %d bytes: want 1 to %d", len(r.Addr), AddrBytesMax)
	case len(r.Zone) > ZoneBytesMax:
		return fmt.Errorf("a zone of %d bytes: want at most %d", len(r.Zone), ZoneBytesMax)
	case len(r.Starts) > StartsMax:
		return fmt.Errorf("%d starts: want at most %d", len(r.Starts), StartsMax)
	}
	return nil
}

// registrant finds the member that r speaks for; nil when it is nobody's yet.
func (s *State) registrant(r *vocab.Register) (*member, error) {
	for i := range s.members {
		m := &s.members[i]
		if m.Store == r.Store && r.ID != 0 && m.ID != r.ID {
			return nil, fmt.Errorf("the store belongs to %v, not to %v", m.ID, r.ID)
		}
		if m.ID == r.ID || (r.ID == 0 && m.Store == r.Store) {
			return m, nil
		}
	}
	if r.ID != 0 && s.departed(r) < 0 {
		return nil, fmt.Errorf("%v is not known here (a data folder of another cluster?)", r.ID)
	}
	return nil, nil
}

// departed finds r among those that left.
func (s *State) departed(r *vocab.Register) int {
	return slices.IndexFunc(s.gone, func(g gone) bool {
		return g.ID == r.ID || (r.ID == 0 && g.Store == r.Store)
	})
}

// takeAddr makes addr free for id. A server that is down loses it: nobody
// should find one server where another is meant.
func (s *State) takeAddr(id ring.ServerID, addr string) error {
	for i := range s.members {
		m := &s.members[i]
		if m.ID != id && m.Addr == addr && m.Up {
			return fmt.Errorf("address %s belongs to %v, which is up", addr, m.ID)
		}
	}
	for i := range s.members {
		m := &s.members[i]
		if m.ID != id && m.Addr == addr {
			m.Addr = ""
			s.membersChanged(false)
		}
	}
	return nil
}

// admit makes r a member that acts nowhere. The very first gets everything,
// for there is nothing yet to hold.
func (s *State) admit(r *vocab.Register) Result {
	id := s.nextID
	if i := s.departed(r); i >= 0 {
		g := &s.gone[i]
		if g.Removed {
			return refused(fmt.Errorf("%v was removed from the cluster and can't come back; start with an empty data folder", g.ID))
		}
		if r.Incarnation <= g.Incarnation {
			return refused(fmt.Errorf("%v left as incarnation %d: incarnation %d is not newer", g.ID, g.Incarnation, r.Incarnation))
		}
		id = g.ID
	}
	if limit := min(MembersMax, len(s.parts)); len(s.members) >= limit {
		return refused(fmt.Errorf("the cluster has %d members, its limit", limit))
	}
	if err := s.validPlace(id, r); err != nil {
		return refused(err)
	}
	if err := s.takeAddr(id, r.Addr); err != nil {
		return refused(err)
	}
	s.gone = slices.DeleteFunc(s.gone, func(g gone) bool { return g.ID == id })
	s.nextID = max(s.nextID, id+1)
	m := member{Instance: r.Instance, SaidZone: r.Zone, SaidWeight: r.SaidWeight(), Member: ring.Member{
		ID: id, Store: r.Store, Incarnation: r.Incarnation, Start: r.Start(), Addr: r.Addr,
		Zone: r.Zone, Weight: max(1, r.SaidWeight()), Status: ring.In, Up: true,
	}}
	i, _ := slices.BinarySearchFunc(s.members, id, func(m member, id ring.ServerID) int {
		return int(int64(m.ID) - int64(id))
	})
	s.members = slices.Insert(s.members, i, m)
	s.membersChanged(true)
	if s.epoch == 0 && len(s.events) == 0 {
		s.note(vocab.EventMade, 0, "cluster %x, %d partitions", s.cluster[:4], len(s.parts))
	}
	s.note(vocab.EventJoined, id, "%s", m.Addr)
	for i := range s.parts {
		if p := &s.parts[i]; p.Term == 0 {
			s.setActing(p, []ring.ServerID{id})
		}
	}
	return Result{Code: Done, ID: id}
}

// sameStart brings back a process that was taken for dead. It stopped for
// nothing, so its copies are what they were: it goes on where it still acts.
func (s *State) sameStart(m *member, r *vocab.Register) {
	s.said(m, r)
	if m.Up && m.Addr == r.Addr {
		return
	}
	placement := m.Status == ring.Out
	m.Up, m.Addr = true, r.Addr
	if m.Status == ring.Out {
		m.Status = ring.In
	}
	s.membersChanged(placement)
	s.note(vocab.EventUp, m.ID, "%s, the same process", m.Addr)
}

// precedes reports whether the data folder that r speaks for is the one that m's
// start left, with nothing registered between: a folder that was rolled back, or a
// copy, does not know the name of that start.
func (m *member) precedes(r *vocab.Register) bool {
	if m.Start == 0 {
		return r.Previous >= m.Incarnation && !m.Doubted
	}
	return slices.Contains(r.Starts, m.Start)
}

// newStart brings back a server after a restart. Whole, it goes last wherever
// it acts; every such term rises, for it is primary only in terms born after
// its registration. Not whole, it acts nowhere and is in no W: where it was
// the only one, the partition has no acting replica and can't serve.
func (s *State) newStart(m *member, r *vocab.Register) {
	whole := r.Whole && r.Store == m.Store && m.precedes(r)
	if m.Status != ring.Leaving {
		m.Status = ring.In
	}
	m.Store, m.Incarnation, m.Instance, m.Start = r.Store, r.Incarnation, r.Instance, r.Start()
	m.Addr, m.Up, m.Doubted = r.Addr, true, false
	s.said(m, r)
	s.membersChanged(true)
	with := "with its data"
	if !whole {
		with = "without its data"
	}
	s.note(vocab.EventUp, m.ID, "%s, started anew %s", m.Addr, with)
	var lost []ring.PartitionID
	for i := range s.parts {
		p := &s.parts[i]
		rest := withoutOne(p.Acting, m.ID)
		if !whole && len(p.Acting) == 1 && len(rest) == 0 {
			lost = append(lost, ring.PartitionID(i))
		}
		switch {
		case whole && len(rest) < len(p.Acting):
			s.setActing(p, append(rest, m.ID))
		case !whole && (len(rest) < len(p.Acting) || slices.Contains(p.Writable, m.ID)):
			p.setWritable(withoutOne(p.Writable, m.ID))
			s.setActing(p, rest)
		}
	}
	if len(lost) > 0 {
		s.note(vocab.EventLost, m.ID, "%s", partitionRanges(lost))
	}
}
