package cli

import (
	"strings"
	"testing"

	"viewring/client/admin"
	"viewring/ring"
)

// explained explains a key of a cluster of four servers, after a change of its view.
func explained(t *testing.T, change func(*ring.View)) string {
	t.Helper()
	v := &ring.View{Epoch: 9, MinCopies: 2, Partitions: make([]ring.Partition, 8)}
	for id := range ring.ServerID(4) {
		v.Members = append(v.Members, ring.Member{ID: id + 1, Addr: "127.0.0.1:1", Status: ring.In, Up: true})
	}
	table, err := ring.NewTable(v.Members, len(v.Partitions))
	if err != nil {
		t.Fatal(err)
	}
	for p := range v.Partitions {
		v.Partitions[p] = ring.Partition{Term: 1, MinCopies: 2, Acting: table.Targets(ring.PartitionID(p)), Writable: table.Targets(ring.PartitionID(p))}
	}
	change(v)
	if table, err = admin.TableOf(v); err != nil {
		t.Fatal(err)
	}
	e, err := (&admin.Status{View: v, Table: table}).Explain("greeting")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	(&app{env: Env{Stdout: &out, Getenv: func(string) string { return "" }}}).printExplanation(e)
	return out.String()
}

// TestExplain: people are told who has a key, who should, and who is away.
func TestExplain(t *testing.T) {
	p := ring.PartitionOf(ring.SlotOf("greeting"), 8)
	for name, tt := range map[string]struct {
		change func(*ring.View)
		says   []string
		not    string
	}{
		"at rest": {func(*ring.View) {}, []string{"hash 0x31aa, slot 12714 of 16384\npartition 6 of 8 has slots 12288 to 14335\n", " primary\n", " third copy\n", "passed by: it is full", "that is where the ring wants it\nif s", " would make a copy"}, "down"},
		"one down": {func(v *ring.View) {
			v.Member(v.Partitions[p].Acting[2]).Up = false
			v.Partitions[p].Acting = v.Partitions[p].Acting[:2]
		}, []string{"the ring wants it on s", " is down\n"}, "on the way there"},
		"on the way": {func(v *ring.View) { v.Partitions[p].Acting = v.Partitions[p].Acting[:1] }, []string{", the only copy\n", "the cluster is on the way there\n"}, "down"},
		"all down": {func(v *ring.View) {
			for i := range v.Members {
				v.Members[i].Up = false
			}
		}, []string{"nobody serves it: partition 6 was held last by"}, "served by"},
		"three left": {func(v *ring.View) {
			for i := range v.Members {
				if !v.Partitions[p].IsActing(v.Members[i].ID) {
					v.Members[i].Status = ring.Leaving
				}
			}
		}, []string{"left: 2 copies would be left\n"}, "make a copy"},
		"nobody": {func(v *ring.View) { v.Members, v.Partitions[p] = nil, ring.Partition{} }, []string{"nobody has it: no server has joined yet\n"}, "walk"},
	} {
		text := explained(t, tt.change)
		for _, want := range tt.says {
			if !strings.Contains(text, want) {
				t.Errorf("%s: it does not say %q:\n%s", name, want, text)
			}
		}
		if strings.Contains(text, tt.not) {
			t.Errorf("%s: it says %q:\n%s", name, tt.not, text)
		}
	}
}
