package rebalance

import (
	"slices"
	"testing"

	"viewring/ring"
)

func members(n int) []ring.Member {
	ms := make([]ring.Member, n)
	for i := range ms {
		ms[i] = ring.Member{ID: ring.ServerID(i + 1), Status: ring.In, Up: true}
	}
	return ms
}

// converged is a view whose acting replicas are the targets among the members.
func converged(t testing.TB, epoch uint64, ms []ring.Member, partitions int) (*ring.View, *ring.Table) {
	t.Helper()
	v := &ring.View{Epoch: epoch, Members: ms, Partitions: make([]ring.Partition, partitions)}
	tab, err := ring.NewTable(ms, partitions)
	if err != nil {
		t.Fatal(err)
	}
	for i := range v.Partitions {
		v.Partitions[i] = ring.Partition{Term: epoch, Acting: slices.Clone(tab.Targets(ring.PartitionID(i)))}
	}
	return v, tab
}

// joined is v with one more member that acts nowhere yet.
func joined(t testing.TB, v *ring.View) (*ring.View, *ring.Table) {
	t.Helper()
	next := v.Clone()
	next.Epoch++
	next.Members = members(len(v.Members) + 1)
	tab, err := ring.NewTable(next.Members, len(next.Partitions))
	if err != nil {
		t.Fatal(err)
	}
	return next, tab
}

func TestPlan(t *testing.T) {
	v, tab := converged(t, 1, members(5), 64)
	if got := Plan(v, tab); len(got) != 0 {
		t.Errorf("a converged view needs %v", got)
	}
	v, tab = joined(t, v)
	v.Partitions[9].Acting = v.Partitions[9].Acting[:1]
	v.Partitions[10].Acting = v.Partitions[10].Acting[:2]
	v.Partitions[11].Acting = nil // nobody to copy from
	plan := Plan(v, tab)
	seen := map[ring.PartitionID]int{}
	for i, tr := range plan {
		p := &v.Partitions[tr.Partition]
		seen[tr.Partition]++
		if tr.Copies != len(p.Acting) || p.IsActing(tr.To) || !p.IsActing(tr.From) || !tab.IsTarget(tr.Partition, tr.To) {
			t.Errorf("transfer %+v of %+v", tr, p)
		}
		if i > 0 && tr.Copies < plan[i-1].Copies {
			t.Errorf("%+v after %+v", tr, plan[i-1])
		}
	}
	for i := range v.Partitions {
		lacks := 0
		for _, id := range tab.Targets(ring.PartitionID(i)) {
			if !v.Partitions[i].IsActing(id) {
				lacks++
			}
		}
		if i == 11 {
			lacks = 0
		}
		if seen[ring.PartitionID(i)] != lacks {
			t.Errorf("partition %d: %d transfers, lacks %d", i, seen[ring.PartitionID(i)], lacks)
		}
	}
	if plan[0].Partition != 9 || !slices.Equal(plan, Plan(v.Clone(), tab)) {
		t.Errorf("first is %+v", plan[0])
	}
}

func TestCompare(t *testing.T) {
	five, four := members(5), members(4)
	tests := map[string]struct {
		before, after []ring.Member
		ratioMax      float64
		fewestMin     int
	}{
		"nothing":      {five, five, 1, 0},
		"join":         {four, five, 1.1, 500},
		"leave":        {five, four, 1.1, 500},
		"first":        {nil, five[:1], 1, 1024},
		"second":       {five[:1], five[:2], 1, 1024},
		"fourth":       {five[:3], five[:4], 1.1, 700},
		"third leaves": {five[:3], five[:2], 1, 0},
		"replacement":  {four, append(slices.Clone(five[:3]), five[4]), 1.3, 700},
		"last leaves":  {five[:1], nil, 1, 0},
	}
	for name, tt := range tests {
		var tables [2]*ring.Table
		for i, ms := range [][]ring.Member{tt.before, tt.after} {
			tab, err := ring.NewTable(ms, 1024)
			if err != nil {
				t.Fatal(err)
			}
			tables[i] = tab
		}
		m := Compare(tables[0], tables[1])
		gains, after := 0, 0
		for _, s := range m.Servers {
			gains += s.Gains
			after += s.After
		}
		if m.Moved < m.Fewest || m.Ratio() > tt.ratioMax || m.Fewest < tt.fewestMin || gains != m.Moved ||
			after != 1024*min(ring.Copies, len(tt.after)) {
			t.Errorf("%s: %+v, ratio %.3f", name, m, m.Ratio())
		}
	}
}
