package ring

import (
	"slices"
	"strings"
	"testing"
)

func TestUnserved(t *testing.T) {
	view := func(p Partition, up ...ServerID) *View {
		v := &View{Partitions: []Partition{p}}
		for id := ServerID(1); id <= 3; id++ {
			v.Members = append(v.Members, Member{ID: id, Addr: "h:" + id.String(), Status: In, Up: slices.Contains(up, id)})
		}
		return v
	}
	tests := []struct {
		what     string
		v        *View
		unserved bool
		holders  []ServerID
		why      string
	}{
		{"nobody came yet", view(Partition{}), false, nil, ""},
		{"a backup is up", view(Partition{Term: 1, MinCopies: 2, Acting: []ServerID{1, 2}}, 2), false, []ServerID{1, 2}, ""},
		{"all of the set are down", view(Partition{Term: 1, MinCopies: 2, Acting: []ServerID{1, 2}, Writable: []ServerID{1, 2}}, 3), true,
			[]ServerID{1, 2}, "s1 (h:s1) and s2 (h:s2), which are all down"},
		{"W may bring it back", view(Partition{Term: 1, MinCopies: 2, Acting: []ServerID{1}, Writable: []ServerID{1, 2, 3}}, 3), true,
			[]ServerID{1, 2}, "start one of them"},
		{"the last one lost its data", view(Partition{Term: 1, MinCopies: 2, Writable: []ServerID{2}}, 1), true,
			[]ServerID{2}, "s2 (h:s2), which is down: start it again"},
		{"no copy left", view(Partition{Term: 1, MinCopies: 1}, 1), true, nil, "no copy left"},
	}
	for _, tt := range tests {
		if got := tt.v.Unserved(0); got != tt.unserved {
			t.Errorf("%s: Unserved = %v", tt.what, got)
		}
		if got := tt.v.Holders(0); !slices.Equal(got, tt.holders) {
			t.Errorf("%s: Holders = %v, want %v", tt.what, got, tt.holders)
		}
		if got := tt.v.WhyUnserved(0); tt.unserved && !strings.Contains(got, tt.why) {
			t.Errorf("%s: %q", tt.what, got)
		}
	}
}
