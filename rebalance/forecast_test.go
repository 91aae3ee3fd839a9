package rebalance

import (
	"slices"
	"testing"

	"viewring/ring"
)

// TestForesee compares what is foreseen with what then happens: with the plan of the
// view that has those members, and with the copies that act.
func TestForesee(t *testing.T) {
	v, _ := converged(t, 1, members(5), 64)
	leave := slices.Clone(v.Members)
	leave[2].Status = ring.Leaving
	gone := slices.Delete(slices.Clone(v.Members), 2, 3)
	for name, after := range map[string][]ring.Member{
		"nothing": v.Members,
		"join":    append(members(5), ring.Member{ID: 6, Status: ring.In, Up: true}),
		"leave":   leave,
		"remove":  gone,
	} {
		before := v.Clone()
		f, err := Foresee(v, after)
		if err != nil {
			t.Fatal(err)
		}
		next := v.Clone()
		next.Members = after
		for i := range next.Partitions {
			p := &next.Partitions[i]
			p.Acting = slices.DeleteFunc(p.Acting, func(id ring.ServerID) bool { return next.Member(id) == nil })
		}
		tab, err := ring.NewTable(after, 64)
		if err != nil {
			t.Fatal(err)
		}
		if plan := Plan(next, tab); !slices.Equal(f.Transfers, plan) || f.Move.Moved != len(plan) || f.Pending != 0 {
			t.Errorf("%s: %d transfers, %d moved, %d pending; the plan then has %d", name, len(f.Transfers), f.Move.Moved, f.Pending, len(plan))
		}
		kept := 0
		for _, n := range f.Kept {
			kept += n
		}
		if want := 64*3 - f.Move.Moved; kept != want {
			t.Errorf("%s: %d copies are kept, want %d", name, kept, want)
		}
		two := 0
		if name == "remove" {
			for i := range v.Partitions {
				if v.Partitions[i].IsActing(3) {
					two++
				}
			}
		}
		if f.Meanwhile != [4]int{0, 0, two, 64 - two} {
			t.Errorf("%s: copies meanwhile %v, want %d of two", name, f.Meanwhile, two)
		}
		if !slices.EqualFunc(before.Partitions, v.Partitions, func(a, b ring.Partition) bool { return slices.Equal(a.Acting, b.Acting) }) {
			t.Errorf("%s: the view was changed", name)
		}
	}
}

// TestForeseePending: what is under way already is told apart.
func TestForeseePending(t *testing.T) {
	v, _ := converged(t, 1, members(4), 64)
	v, tab := joined(t, v)
	pending := missing(v, tab, 0)
	f, err := Foresee(v, append(members(5), ring.Member{ID: 6, Status: ring.In, Up: true}))
	if err != nil {
		t.Fatal(err)
	}
	to6 := 0
	for _, tr := range f.Transfers {
		if tr.To == 6 {
			to6++
		}
	}
	if f.Pending == 0 || f.Pending > len(pending) || to6 == 0 || f.Pending > len(f.Transfers)-to6 {
		t.Errorf("%d of %d pending, %d transfers, %d to the newcomer", f.Pending, len(pending), len(f.Transfers), to6)
	}
	v.Members[0].Up = false
	if f, err = Foresee(v, v.Members); err != nil || f.Pending != len(pending) || f.Meanwhile[2] == 0 {
		t.Errorf("%v: %d of %d pending, copies meanwhile %v while one is down", err, f.Pending, len(pending), f.Meanwhile)
	}
	v.Members[4].Up = false // who lacks them all
	if f, err = Foresee(v, v.Members); err != nil || len(f.Transfers) != 0 {
		t.Errorf("%v: %d transfers to a server that is down", err, len(f.Transfers))
	}
	v.Members[4].Up = true
	v.Members[1].Up = false // who would get copies that it never had
	leave := slices.Clone(v.Members)
	leave[2].Status = ring.Leaving
	f, err = Foresee(v, leave)
	if err != nil || !slices.ContainsFunc(f.Transfers, func(tr Transfer) bool { return tr.To == 2 }) {
		t.Errorf("%v: nothing is to be copied to a server that is down and gets new copies", err)
	}
	v.Members[1].Up = true
	v.Partitions[7].Acting = nil
	if f, err = Foresee(v, v.Members); err != nil || f.Meanwhile[0] != 0 || f.Meanwhile[1]+f.Meanwhile[2]+f.Meanwhile[3] != 63 {
		t.Errorf("%v: copies meanwhile %v while one partition has none anyway", err, f.Meanwhile)
	}
	twice := append(members(5), ring.Member{ID: 5, Status: ring.In})
	if _, err := Foresee(v, twice); err == nil {
		t.Error("a member that is listed twice is taken")
	}
}
