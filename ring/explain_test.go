package ring

import (
	"fmt"
	"slices"
	"testing"
)

// TestExplain: a walk that is told takes the targets of the table, in their order, and
// passes by only those that it says a true word about.
func TestExplain(t *testing.T) {
	for name, members := range map[string][]Member{
		"one":      explained(1, 0, 1),
		"two":      explained(2, 0, 1),
		"five":     explained(5, 0, 1),
		"zones":    explained(9, 3, 1),
		"two in 2": explained(7, 2, 1),
		"weights":  explained(8, 3, 4),
		"leaving":  leavingOf(explained(6, 3, 2), 2, 5),
		"many":     explained(40, 0, 1),
	} {
		t.Run(name, func(t *testing.T) {
			table, err := NewTable(members, 256)
			if err != nil {
				t.Fatal(err)
			}
			primaries := map[ServerID]int{}
			load := map[ServerID]int{}
			for p := range PartitionID(256) {
				load[table.Targets(p)[0]]++
			}
			passed := map[Passed]int{}
			for p := range PartitionID(256) {
				w := table.Explain(p)
				for _, wrong := range checkWalk(table, p, w, load, primaries) {
					t.Errorf("partition %d: %s: %+v", p, wrong, w)
				}
				for _, m := range w.Met {
					passed[m.Passed]++
				}
				primaries[table.Targets(p)[0]]++
				for _, id := range table.Targets(p)[1:] {
					load[id]++
				}
			}
			t.Log(passed)
		})
	}
}

// checkWalk compares a walk with the table, and with what was placed before.
func checkWalk(t *Table, p PartitionID, w Walk, load, primaries map[ServerID]int) (wrong []string) {
	var took [Copies + 1]ServerID
	for _, m := range w.Met {
		took[m.Takes] = m.Server
	}
	most := primaries[took[1]] // who is passed by for its primaries has as many, for its weight
	zones := map[string]bool{}
	for _, id := range t.Targets(p) {
		zones[member(t, id).Zone] = true
	}
	for i, m := range w.Met {
		is := member(t, m.Server)
		switch {
		case m.Takes == 0 && m.Passed == 0:
			wrong = append(wrong, "nothing is said")
		case m.Copies != load[m.Server]:
			wrong = append(wrong, fmt.Sprintf("%v had %d copies", m.Server, load[m.Server]))
		case m.Passed == PassedFull && m.Takes == 0 && m.Copies < m.Room:
			wrong = append(wrong, fmt.Sprintf("%v was not full", m.Server))
		case m.Passed == PassedZone && !zones[m.Zone]:
			wrong = append(wrong, fmt.Sprintf("zone %q has no copy", m.Zone))
		case (m.Passed == PassedAway) == is.Target():
			wrong = append(wrong, fmt.Sprintf("%v is a target: %v", m.Server, is.Target()))
		case m.Passed == PassedPrimaries && is.Weight <= 1 && primaries[m.Server] < most:
			wrong = append(wrong, fmt.Sprintf("%v has %d primaries, less than %d", m.Server, primaries[m.Server], most))
		case i > 0 && around(w.At, m.At) < around(w.At, w.Met[i-1].At):
			wrong = append(wrong, "not in order")
		}
	}
	if got := took[1 : 1+len(t.Targets(p))]; !slices.Equal(got, t.Targets(p)) {
		wrong = append(wrong, fmt.Sprintf("took %v, not %v", got, t.Targets(p)))
	}
	return wrong
}

// around is how far clockwise b is from a.
func around(a, b float64) float64 {
	if b < a {
		return b + 1 - a
	}
	return b - a
}

func member(t *Table, id ServerID) *Member {
	return &t.members[slices.IndexFunc(t.members, func(m Member) bool { return m.ID == id })]
}

func explained(n, zones, weights int) []Member {
	members := make([]Member, n)
	for i := range members {
		members[i] = Member{ID: ServerID(i + 1), Status: In, Up: true, Weight: uint32(1 + i%weights)}
		if zones > 0 {
			members[i].Zone = fmt.Sprint("zone ", i%zones)
		}
	}
	return members
}

func leavingOf(members []Member, which ...int) []Member {
	for _, i := range which {
		members[i].Status = Leaving
	}
	return members
}

// TestHashed: only a tag counts where there is one.
func TestHashed(t *testing.T) {
	for key, want := range map[string]string{"a": "a", "": "", "{a}b": "a", "x{a}{b}": "a", "{}a": "{}a", "{a": "{a", "a}b{c}": "c"} {
		if got := Hashed(key); got != want || HashOf(key)%Slots != SlotOf(want) {
			t.Errorf("Hashed(%q) = %q, want %q", key, got, want)
		}
	}
}
