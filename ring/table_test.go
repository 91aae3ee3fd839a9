package ring

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/buraksezer/consistent"
)

func mustTable(t testing.TB, members []Member, partitions int) *Table {
	t.Helper()
	tab, err := NewTable(members, partitions)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// sameTargets reports whether two tables place everything alike.
func sameTargets(a, b *Table) bool { return slices.Equal(a.targets, b.targets) && a.copies == b.copies }

// Our points and their order must be the library's, our copy of its walk must
// find its owners, and no other hash than the one given may be in it.
func TestPointsAreTheLibrarys(t *testing.T) {
	members := numbered(1, 25) // s1 and s11, whose plain names would collide
	named := make([]consistent.Member, len(members))
	for i := range members {
		named[i] = libraryMember{pointName(members[i].ID, 0), int32(i)}
	}
	const partitions = 4096
	library := consistent.New(named, consistent.Config{
		Hasher: hasher{}, PartitionCount: partitions, ReplicationFactor: pointsPerShare,
		Load: 1000, // no bound: the owner is the first on the walk
	})
	tab, err := newTable(members, partitions, pointsPerShare, 1000, 1000)
	if err != nil {
		t.Fatal(err)
	}
	theirs := reflect.ValueOf(library).Elem().FieldByName("sortedSet")
	if theirs.Len() != len(tab.points) {
		t.Fatalf("%d points, the library has %d", len(tab.points), theirs.Len())
	}
	for i, pt := range tab.points {
		if theirs.Index(i).Uint() != pt.hash {
			t.Fatalf("point %d is %x, the library's %x", i, pt.hash, theirs.Index(i).Uint())
		}
	}
	w := newWalk(tab)
	for p := range partitions {
		w.start(PartitionID(p))
		first, _ := w.at(0)
		if want := library.GetPartitionOwner(p).(libraryMember).index; first != want {
			t.Fatalf("partition %d: the walk begins at %v, the library says %v", p, members[first].ID, members[want].ID)
		}
	}
}

func TestPrimariesAreTheLibrarys(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10, 64} {
		members := numbered(1, n)
		tab := mustTable(t, members, 256)
		primaries := make([]int32, 256)
		libraryPrimaries(members, primaries, pointsPerShare, capacityOf(256, 1, n, primaryLoad))
		for p, m := range primaries {
			if tab.Targets(PartitionID(p))[0] != members[m].ID {
				t.Fatalf("%d servers, partition %d: primary %v, the library says %v", n, p, tab.Targets(PartitionID(p))[0], members[m].ID)
			}
		}
	}
}

// Every size of cluster, far more servers than partitions too, gets distinct
// targets within bounds, whatever the order in which members are listed.
func TestTableProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for _, partitions := range []int{1, 2, 16, 256, 1024} {
		for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 12, 17, 40} {
			members := numbered(1+rnd.IntN(50), n)
			tab := mustTable(t, members, partitions)
			load := map[ServerID]int{}
			for p := range partitions {
				targets := tab.Targets(PartitionID(p))
				if len(targets) != min(Copies, n) || tab.Copies() != len(targets) {
					t.Fatalf("%d servers: %d targets", n, len(targets))
				}
				for i, id := range targets {
					load[id]++
					if slices.Contains(targets[:i], id) || !slices.ContainsFunc(members, func(m Member) bool { return m.ID == id }) {
						t.Fatalf("%d servers, partition %d: targets %v", n, p, targets)
					}
				}
			}
			if n > 0 {
				capacity := capacityOf(tab.Copies()*partitions, 1, n, copiesLoad)
				for id, l := range load {
					if l > capacity+1 {
						t.Errorf("%d servers, %d partitions: %v holds %d, capacity %d", n, partitions, id, l, capacity)
					}
				}
			}
			shuffled := slices.Clone(members)
			rnd.Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			if !sameTargets(tab, mustTable(t, shuffled, partitions)) {
				t.Fatalf("%d servers, %d partitions: the order of members matters", n, partitions)
			}
		}
	}
}

// Only targets count, and of them only id and zone: not who is up, and not what
// else is listed.
func TestTableDependsOnTargetsAlone(t *testing.T) {
	members := numbered(1, 6)
	want := mustTable(t, members, 512)
	for i := range members {
		members[i].Up = i%2 == 0
		members[i].Addr = strconv.Itoa(i)
		members[i].Incarnation = uint64(i)
	}
	members[3].Status = Draining
	members = append(members, Member{ID: 7, Status: Leaving, Up: true}, Member{ID: 8, Status: Out})
	if !sameTargets(want, mustTable(t, members, 512)) {
		t.Error("placement changed")
	}
}

// TestTableOf: the placement is kept for members that the ring can't tell apart, and computed
// anew for all others.
func TestTableOf(t *testing.T) {
	v := &View{Members: numbered(1, 5), Partitions: make([]Partition, 64)}
	first, err := TableOf(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		same   bool
		change func(*Member)
	}{
		{"restart", true, func(m *Member) { m.Incarnation++ }},
		{"address", true, func(m *Member) { m.Addr = "b:2" }},
		{"up", true, func(m *Member) { m.Up = !m.Up }},
		{"draining", true, func(m *Member) { m.Status = Draining }},
		{"zone", false, func(m *Member) { m.Zone = "y" }},
		{"weight", false, func(m *Member) { m.Weight = 5 }},
		{"leaving", false, func(m *Member) { m.Status = Leaving }},
		{"id", false, func(m *Member) { m.ID = 9 }},
	} {
		next := v.Clone()
		next.Epoch++
		tt.change(&next.Members[2])
		again, err := TableOf(next, first)
		if err != nil || (again == first) != tt.same || !sameTargets(again, mustTable(t, next.Members, 64)) {
			t.Errorf("%s: kept %t, %v", tt.name, again == first, err)
		}
	}
	if _, err := TableOf(&View{Partitions: make([]Partition, 3)}, first); err == nil {
		t.Error("three partitions accepted")
	}
	if _, err := NewTable([]Member{{ID: 1}, {ID: 1}}, 4); err == nil {
		t.Error("one member twice accepted")
	}
}

func zoned(zones ...string) []Member {
	members := numbered(1, len(zones))
	for i := range members {
		members[i].Zone = zones[i]
	}
	return members
}

func TestZones(t *testing.T) {
	tests := map[string]struct {
		members []Member
		zones   int // that every partition must lie in
	}{
		"even":          {zoned("a", "b", "c", "a", "b", "c", "a", "b", "c"), 3},
		"two":           {zoned("a", "a", "a", "a", "b", "b", "b"), 2},
		"lonely":        {zoned("a", "a", "a", "a", "a", "a", "a", "b"), 2},
		"four, uneven":  {zoned("a", "a", "a", "b", "b", "b", "c", "d"), 3},
		"half unzoned":  {zoned("", "", "", "a", "b"), 3},
		"fewer servers": {zoned("a", "b"), 2},
	}
	for name, tt := range tests {
		tab := mustTable(t, tt.members, 1024)
		load := map[ServerID]int{}
		for p := range 1024 {
			in := map[string]bool{}
			for _, id := range tab.Targets(PartitionID(p)) {
				in[tt.members[id-1].Zone] = true
				load[id]++
			}
			if len(in) != tt.zones {
				t.Fatalf("%s, partition %d: targets %v in %d zones", name, p, tab.Targets(PartitionID(p)), len(in))
			}
		}
		if worst := worstOver(load, fairCopies(tt.members, 1024)); name == "even" && worst > 1.12 {
			t.Errorf("%s: balance %.3f", name, worst)
		}
	}
	before := mustTable(t, tests["even"].members, 1024)
	after := mustTable(t, append(tests["even"].members, Member{ID: 10, Zone: "b", Status: In}), 1024)
	gains, _ := held(after)
	if n := moved(before, after); float64(n) > 1.35*float64(gains[10]) {
		t.Errorf("a join in a zone moved %d copies for %d", n, gains[10])
	}
}

func TestNeighbour(t *testing.T) {
	members := numbered(1, 8)
	members[7].Status = Leaving // still somebody's neighbour
	tab := mustTable(t, members, 64)
	w := newWalk(tab)
	for p := range PartitionID(64) {
		w.start(p)
		var order []ServerID
		for i := range 8 {
			m, ok := w.at(i)
			if !ok {
				t.Fatalf("the walk ends after %d", i)
			}
			order = append(order, members[m].ID)
		}
		for _, tt := range []struct{ id, want ServerID }{
			{order[3], order[2]}, // 0 and 2 act; 2 is next to 3
			{order[1], order[2]}, // as near: the later
			{order[0], order[2]}, // not itself
		} {
			if got := tab.Neighbour(p, tt.id, []ServerID{order[0], order[2]}); got != tt.want {
				t.Errorf("partition %d, order %v: neighbour of %v is %v, want %v", p, order, tt.id, got, tt.want)
			}
		}
		if got := tab.Neighbour(p, order[1], []ServerID{99, order[7]}); got != order[7] {
			t.Errorf("a stranger is nearer: %v", got)
		}
		if got := tab.Neighbour(p, order[1], []ServerID{99}); got != 99 {
			t.Errorf("the only one is not found: %v", got)
		}
		if got := tab.Neighbour(p, order[1], nil); got != 0 {
			t.Errorf("out of nobody: %v", got)
		}
	}
}

func BenchmarkNewTable(b *testing.B) {
	for _, size := range []struct{ servers, partitions int }{{3, 1024}, {10, 1024}, {20, 1024}, {100, 4096}, {1000, 16384}} {
		b.Run(strconv.Itoa(size.servers), func(b *testing.B) {
			members := numbered(1, size.servers)
			for b.Loop() {
				mustTable(b, members, size.partitions)
			}
		})
	}
}
