package admin

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"viewring/client"
	"viewring/rebalance"
	"viewring/ring"
)

// Plan is what a change of servers would move. Bytes are guesses: a copy of a partition
// is taken for as large as the others that its source holds, of keys, paths, files and records.
type Plan struct {
	Servers []PlannedServer // sorted by id; newcomers have ids that the view leader has yet to give
	Routes  []Route         // sorted by destination, then by source
	Moved   int             // copies of partitions that change their place
	Fewest  int             // the fewest with which such a change could do
	Copies  int             // to be made, with those that are under way anyway
	Pending int             // of them under way anyway
	Bytes   uint64          // of all Copies

	// Meanwhile counts the partitions that have copies now by those, 0 to 3, that are left
	// until the others are made; Wanted is how many each should have now.
	Meanwhile [ring.Copies + 1]int
	Wanted    int

	// Balance and BalanceAfter are the most-loaded servers' loads over their parts by weight.
	Balance, BalanceAfter Balance

	// Time is how long it would take: of the servers that copy in the one that takes longest, at
	// the rate that it had when it last copied, or as fast as it may if that is slower. One that has not
	// copied yet is taken for as fast as the others. 0: nobody has copied anything since its start.
	Time   time.Duration
	Paused []ring.ServerID // that would have to copy, and whose copying an operator has paused
}

// PlannedServer is a server in a Plan.
type PlannedServer struct {
	ID            ring.ServerID
	New, Gone     bool
	Weight        int    // then; 0: it is gone
	Zone          string // likewise
	Copies, After int    // of partitions: held by the ring's word, now and then
	Gains         int    // copies that it has to make, with those that it has to make anyway
	Bytes         uint64 // that it has now
	BytesAfter    uint64
}

// Route is what one server would copy from another.
type Route struct {
	From, To ring.ServerID
	Copies   int
	Bytes    uint64
}

// Balance is the most-loaded server's load over its part by weight, of copies and of
// primaries. 1 is exact.
type Balance = ring.Balance

// Newcomer is a server that a plan lets join.
type Newcomer struct {
	Zone   string // "" where zones are not used
	Weight int    // 0 is 1
}

// PlanJoin says what would move if these servers joined.
func (s *Status) PlanJoin(newcomers ...Newcomer) (*Plan, error) {
	after := slices.Clone(s.View.Members)
	next := ring.ServerID(1)
	for _, m := range after {
		next = max(next, m.ID+1)
	}
	for i, n := range newcomers {
		if err := validWeight(max(1, n.Weight)); err != nil {
			return nil, err
		}
		after = append(after, ring.Member{ID: next + ring.ServerID(i), Zone: n.Zone, Weight: uint32(max(1, n.Weight)), Status: ring.In, Up: true})
	}
	return s.plan(after)
}

// PlanWeight says what would move if a server, by id, had another weight.
func (s *Status) PlanWeight(id ring.ServerID, weight int) (*Plan, error) {
	if err := validWeight(weight); err != nil {
		return nil, err
	}
	return s.planChange(id, func(m *ring.Member) { m.Weight = uint32(weight) })
}

// PlanZone says what would move if a server, by id, stood in another zone.
func (s *Status) PlanZone(id ring.ServerID, zone string) (*Plan, error) {
	return s.planChange(id, func(m *ring.Member) { m.Zone = zone })
}

func validWeight(weight int) error {
	if weight < 1 || weight > ring.WeightMax {
		return fmt.Errorf("plan: weight %d: want 1 to %d: %w", weight, ring.WeightMax, client.ErrRefused)
	}
	return nil
}

// planChange plans a change of some members.
func (s *Status) planChange(id ring.ServerID, change func(*ring.Member)) (*Plan, error) {
	after := slices.Clone(s.View.Members)
	i := slices.IndexFunc(after, func(m ring.Member) bool { return m.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("plan: there is no server %v: %w", id, client.ErrNotFound)
	}
	change(&after[i])
	return s.plan(after)
}

// PlanLeave says what would move if servers left, by id; they keep their copies until
// others have them.
func (s *Status) PlanLeave(ids ...ring.ServerID) (*Plan, error) {
	after := slices.Clone(s.View.Members)
	for _, id := range ids {
		i := slices.IndexFunc(after, func(m ring.Member) bool { return m.ID == id })
		if i < 0 {
			return nil, fmt.Errorf("plan: there is no server %v: %w", id, client.ErrNotFound)
		}
		after[i].Status = ring.Leaving
	}
	return s.plan(after)
}

// PlanRemove says what would be copied if servers were gone, by id, with all that they
// have.
func (s *Status) PlanRemove(ids ...ring.ServerID) (*Plan, error) {
	after := slices.Clone(s.View.Members)
	for _, id := range ids {
		n := len(after)
		after = slices.DeleteFunc(after, func(m ring.Member) bool { return m.ID == id })
		if len(after) == n && s.View.Member(id) == nil {
			return nil, fmt.Errorf("plan: there is no server %v: %w", id, client.ErrNotFound)
		}
	}
	return s.plan(after)
}

func (s *Status) plan(after []ring.Member) (*Plan, error) {
	if !slices.ContainsFunc(after, func(m ring.Member) bool { return m.Target() }) {
		return nil, fmt.Errorf("plan: no server would be left: %w", client.ErrRefused)
	}
	f, err := rebalance.Foresee(s.View, after)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	p := &Plan{Moved: f.Move.Moved, Fewest: f.Move.Fewest, Copies: len(f.Transfers), Pending: f.Pending, Meanwhile: f.Meanwhile, Balance: f.Balance, BalanceAfter: f.Then}
	each := s.bytesOfACopy()
	bytes, gains := make(map[ring.ServerID]uint64), make(map[ring.ServerID]int) // by destination
	for _, tr := range f.Transfers {
		i, found := slices.BinarySearchFunc(p.Routes, tr, func(r Route, tr rebalance.Transfer) int {
			return cmp.Or(cmp.Compare(r.To, tr.To), cmp.Compare(r.From, tr.From))
		})
		if !found {
			p.Routes = slices.Insert(p.Routes, i, Route{From: tr.From, To: tr.To})
		}
		p.Routes[i].Copies++
		p.Routes[i].Bytes += each[tr.From]
		bytes[tr.To] += each[tr.From]
		gains[tr.To]++
		p.Bytes += each[tr.From]
	}
	for _, m := range f.Move.Servers {
		was, is := s.View.Member(m.ID), slices.IndexFunc(after, func(a ring.Member) bool { return a.ID == m.ID && a.Target() })
		h := s.Server(m.ID)
		one := PlannedServer{ID: m.ID, New: was == nil, Gone: is < 0, Copies: m.Before, After: m.After, Gains: gains[m.ID], Bytes: h.Stats.Carried()}
		if is >= 0 {
			one.Weight, one.Zone = int(max(1, after[is].Weight)), after[is].Zone
		}
		one.BytesAfter = each[m.ID]*uint64(f.Kept[m.ID]) + bytes[m.ID]
		p.Servers = append(p.Servers, one)
	}
	safety := s.Safety()
	p.Wanted = safety.Copies
	s.foretell(p, bytes)
	return p, nil
}

// foretell adds how long the servers take to copy in so many bytes.
func (s *Status) foretell(p *Plan, bytes map[ring.ServerID]uint64) {
	var sum, n uint64
	for i := range s.View.Members {
		if seen := s.Server(s.View.Members[i].ID).Stats.MoveSeen; seen > 0 {
			sum, n = sum+seen, n+1
		}
	}
	for _, server := range p.Servers {
		todo := bytes[server.ID]
		t := s.Server(server.ID).Stats
		if todo == 0 {
			continue
		}
		if t.WaitingWhy == WaitingPaused {
			p.Paused = append(p.Paused, server.ID)
		}
		rate := t.MoveSeen
		if rate == 0 && n > 0 {
			rate = sum / n
		}
		if t.MoveLimit > 0 && rate > 0 {
			rate = min(rate, t.MoveLimit)
		}
		if rate > 0 {
			p.Time = max(p.Time, time.Duration(float64(todo)/float64(rate)*float64(time.Second)))
		}
	}
}

// bytesOfACopy is how large a copy of a partition is on each server, on average.
func (s *Status) bytesOfACopy() map[ring.ServerID]uint64 {
	held := make(map[ring.ServerID]uint64)
	for i := range s.View.Partitions {
		for _, id := range s.View.Partitions[i].Acting {
			held[id]++
		}
	}
	each := make(map[ring.ServerID]uint64)
	for id, n := range held {
		h := s.Server(id)
		each[id] = h.Stats.Carried() / n
	}
	return each
}
