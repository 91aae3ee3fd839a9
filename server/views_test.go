package server

import (
	"slices"
	"testing"

	"viewring/ring"
)

// TestTableFor: the placement is computed once for members that the ring can't tell
// apart, and anew for all others.
func TestTableFor(t *testing.T) {
	const partitions = 64
	members := func(change func([]ring.Member) []ring.Member) []ring.Member {
		all := make([]ring.Member, 5)
		for i := range all {
			all[i] = ring.Member{ID: ring.ServerID(i + 1), Incarnation: 1, Addr: "a:1", Zone: "z", Weight: 1, Standing: ring.In, Up: true}
		}
		return change(all)
	}
	view := func(m []ring.Member) *ring.View {
		return &ring.View{Members: m, Partitions: make([]ring.Partition, partitions)}
	}
	old := view(members(func(m []ring.Member) []ring.Member { return m }))
	table, err := ring.NewTable(old.Members, partitions)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		same   bool
		change func(*ring.Member)
	}{
		{"restart", true, func(m *ring.Member) { m.Incarnation++ }},
		{"address", true, func(m *ring.Member) { m.Addr = "b:2" }},
		{"down", true, func(m *ring.Member) { m.Up = false }},
		{"zone", false, func(m *ring.Member) { m.Zone = "y" }},
		{"weight", false, func(m *ring.Member) { m.Weight = 5 }},
		{"standing", false, func(m *ring.Member) { m.Standing = ring.Leaving }},
		{"id", false, func(m *ring.Member) { m.ID = 9 }},
	} {
		vs := newViews(nil)
		vs.present.Store(&known{view: old, table: table})
		v := view(members(func(m []ring.Member) []ring.Member { tt.change(&m[2]); return m }))
		got, err := vs.tableFor(v)
		want, werr := ring.NewTable(v.Members, partitions)
		if err != nil || werr != nil {
			t.Fatal(err, werr)
		}
		if (got == table) != tt.same {
			t.Errorf("%s: computed anew: %v", tt.name, got != table)
		}
		for p := range ring.PartitionID(partitions) {
			if !slices.Equal(got.Targets(p), want.Targets(p)) {
				t.Errorf("%s: partition %d: %v, the ring says %v", tt.name, p, got.Targets(p), want.Targets(p))
				break
			}
		}
	}
}
