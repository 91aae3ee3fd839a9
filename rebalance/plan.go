package rebalance

import (
	"cmp"
	"slices"

	"viewring/ring"
)

// Transfer is a copy that is missing: To is a target of Partition, or a returner
// (ring.Partition), and does not act.
type Transfer struct {
	Partition ring.PartitionID
	To        ring.ServerID
	From      ring.ServerID // the acting replica nearest to To on the ring (Table.Neighbour)
	Copies    int           // acting replicas now
}

// Plan returns what is missing in a view: fewest copies first, then by partition,
// then by server. A partition without acting replicas has nothing to copy from
// and is left out.
func Plan(v *ring.View, t *ring.Table) []Transfer {
	transfers := missing(v, t, 0)
	for i := range transfers {
		tr := &transfers[i]
		tr.From = t.Neighbour(tr.Partition, tr.To, v.Partitions[tr.Partition].Acting)
	}
	return transfers
}

// missing is Plan without the sources, which cost a walk of the ring each; only
// is a server to plan for, or 0 for all.
func missing(v *ring.View, t *ring.Table, only ring.ServerID) []Transfer {
	var transfers []Transfer
	for i := range v.Partitions {
		p := &v.Partitions[i]
		if len(p.Acting) == 0 {
			continue
		}
		for _, to := range p.Wanted(t.Targets(ring.PartitionID(i)), v.Member) {
			if (only == 0 || to == only) && !p.IsActing(to) {
				transfers = append(transfers, Transfer{Partition: ring.PartitionID(i), To: to, Copies: len(p.Acting)})
			}
		}
	}
	slices.SortStableFunc(transfers, func(a, b Transfer) int {
		return cmp.Or(cmp.Compare(a.Copies, b.Copies), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.To, b.To))
	})
	return transfers
}
