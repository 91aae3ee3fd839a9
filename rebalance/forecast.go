package rebalance

import (
	"fmt"
	"slices"

	"viewring/ring"
)

// Forecast says what another set of members would do to the copies of a view.
type Forecast struct {
	Move      Move                  // from the targets of now to those of then
	Transfers []Transfer            // what would then have to be copied, fewest copies first, but for what a server that is down brings back
	Pending   int                   // of them, those that have to be copied anyway
	Kept      map[ring.ServerID]int // copies that a server has now and goes on to hold
	// Balance and Then are the most-loaded servers' loads over their parts by weight, now and
	// then.
	Balance, Then ring.Balance
	// Meanwhile counts the partitions that have copies now by those that would be left until
	// the transfers are done: replicas that act and are up.
	Meanwhile [ring.Copies + 1]int
}

// Foresee says what happens when the view's members become after. Who is only leaving in
// after still counts as a copy; who is not in it at all is gone with its copies.
func Foresee(v *ring.View, after []ring.Member) (Forecast, error) {
	now, err := ring.NewTable(v.Members, len(v.Partitions))
	if err != nil {
		return Forecast{}, fmt.Errorf("forecast: members now: %w", err)
	}
	next := v.Clone()
	next.Members = slices.SortedFunc(slices.Values(after), func(a, b ring.Member) int { return int(int64(a.ID) - int64(b.ID)) })
	then, err := ring.NewTable(next.Members, len(v.Partitions))
	if err != nil {
		return Forecast{}, fmt.Errorf("forecast: members then: %w", err)
	}
	f := Forecast{Move: Compare(now, then), Balance: now.Balance(), Then: then.Balance(), Kept: make(map[ring.ServerID]int)}
	for i := range next.Partitions {
		p := &next.Partitions[i]
		if len(p.Acting) == 0 {
			continue // nothing was ever there, or it is lost already
		}
		p.Acting = slices.DeleteFunc(p.Acting, func(id ring.ServerID) bool { return next.Member(id) == nil })
		alive := 0
		for _, id := range p.Acting {
			if next.Member(id).Up {
				alive++
			}
			if then.IsTarget(ring.PartitionID(i), id) {
				f.Kept[id]++
			}
		}
		f.Meanwhile[min(alive, ring.Copies)]++
	}
	type missed struct {
		p  ring.PartitionID
		to ring.ServerID
	}
	already := make(map[missed]bool)
	for _, tr := range missing(v, now, 0) {
		already[missed{tr.Partition, tr.To}] = true
	}
	f.Transfers = slices.DeleteFunc(Plan(next, then), func(tr Transfer) bool {
		return !next.Member(tr.To).Up && now.IsTarget(tr.Partition, tr.To) // when it returns it has most of it already
	})
	for _, tr := range f.Transfers {
		if already[missed{tr.Partition, tr.To}] {
			f.Pending++
		}
	}
	return f, nil
}
