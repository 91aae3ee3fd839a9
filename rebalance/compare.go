package rebalance

import (
	"cmp"
	"slices"

	"viewring/ring"
)

// Move is what changing one set of members into another moves.
type Move struct {
	Partitions int // of the cluster
	Moved      int // copies of partitions that land on a server that had none
	// Fewest is the theoretical minimum of Moved: what newcomers gain, or leavers
	// held and must be held elsewhere, whichever is more. Where nobody comes or goes it is
	// what servers then have more than before.
	Fewest  int
	Servers []ServerMove // sorted by id
}

// ServerMove is one server's part of a Move, in copies of partitions.
type ServerMove struct {
	ID            ring.ServerID
	Before, After int
	Gains         int // copies that it takes in
}

// Ratio is Moved over Fewest, or 1 when nothing has to move and nothing does.
func (m Move) Ratio() float64 {
	if m.Moved == m.Fewest {
		return 1
	}
	return float64(m.Moved) / float64(max(m.Fewest, 1))
}

// Compare says what moves when one table follows another of as many partitions.
func Compare(old, now *ring.Table) Move {
	m := Move{Partitions: now.Partitions()}
	servers := make(map[ring.ServerID]*ServerMove)
	of := func(id ring.ServerID) *ServerMove {
		s := servers[id]
		if s == nil {
			s = &ServerMove{ID: id}
			servers[id] = s
		}
		return s
	}
	for p := range ring.PartitionID(m.Partitions) {
		for _, id := range old.Targets(p) {
			of(id).Before++
		}
		for _, id := range now.Targets(p) {
			s := of(id)
			s.After++
			if !old.IsTarget(p, id) {
				s.Gains++
				m.Moved++
			}
		}
	}
	// A leaver's copies need no new place where fewer copies are wanted.
	gained, more, held := 0, 0, -m.Partitions*max(0, old.Copies()-now.Copies())
	for _, s := range servers {
		switch {
		case s.Before == 0:
			gained += s.Gains
		case s.After == 0:
			held += s.Before
		}
		more += max(0, s.After-s.Before)
		m.Servers = append(m.Servers, *s)
	}
	if m.Fewest = max(gained, held, 0); m.Fewest == 0 {
		m.Fewest = more
	}
	slices.SortFunc(m.Servers, func(a, b ServerMove) int { return cmp.Compare(a.ID, b.ID) })
	return m
}
