package ring

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"viewring/internal/codec"
)

// TestWeightOneIsAsEver: where all servers have weight 1 everything lies where the builds before
// there were weights put it.
func TestWeightOneIsAsEver(t *testing.T) {
	for _, tt := range []struct {
		servers, zones, partitions int
		want                       string
	}{
		{1, 1, 1024, "e04c5a3b8fdb00c5"}, {2, 1, 1024, "b6b1ecc41c06d707"}, {3, 1, 1024, "9caa879afd082864"},
		{4, 1, 1024, "0805e3e910fd0da9"}, {4, 3, 1024, "9e8b5e35ab587491"}, {5, 1, 1024, "45c6ac1e1df22232"},
		{8, 1, 1024, "2e7fca30344e26f2"}, {8, 3, 1024, "96a7a40b78e8bf21"}, {12, 1, 1024, "c2bb58de42ed3b9b"},
		{20, 1, 1024, "0a503c4fabf79b5d"}, {20, 3, 1024, "fbe81c47a9573d08"}, {50, 1, 1024, "18f6e5201c1eb979"},
		{50, 3, 1024, "878c2f89e9564c32"}, {40, 1, 16, "0943f5d46578b75a"},
	} {
		members := weighted(3, tt.servers, 1)
		for i := range members {
			members[i].Zone = fmt.Sprint(i % tt.zones)
		}
		if tt.partitions == 16 {
			members = weighted(1, tt.servers, 1)
		}
		var b []byte
		for _, id := range mustTable(t, members, tt.partitions).targets {
			b = binary.LittleEndian.AppendUint32(b, uint32(id))
		}
		sum := sha256.Sum256(b)
		if got := hex.EncodeToString(sum[:8]); got != tt.want {
			t.Errorf("%d servers in %d zones: placed as %s, want %s", tt.servers, tt.zones, got, tt.want)
		}
	}
}

// TestWalkIsTheLibrarys: where the library is not asked, because servers are many, the walk
// finds what it would say.
func TestWalkIsTheLibrarys(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 20, 64, libraryServers, libraryServers + 20} {
		members := numbered(1, n)
		members[n/2].Status = Leaving
		if n == 1 {
			members[0].Status = In
		}
		tab := &Table{members: members, partitions: 512, perShare: pointsPerShare, points: virtualPoints(members, pointsPerShare)}
		b := newBuilder(tab, copiesLoad)
		walked, asked := make([]int32, 512), make([]int32, 512)
		b.walkPrimaries(walked, primaryLoad)
		libraryPrimaries(members, asked, pointsPerShare, capacityOf(512, 1, b.servers, primaryLoad))
		if !slices.Equal(walked, asked) {
			t.Errorf("%d servers: the walk differs from the library", n)
		}
	}
}

// drawn are members of any weight, zone and status.
func drawn(rnd *rand.Rand) []Member {
	members := numbered(1+rnd.IntN(30), 1+rnd.IntN(14))
	zones := 1 + rnd.IntN(5)
	for i := range members {
		m := &members[i]
		m.Weight = uint32(1 + rnd.IntN(1<<rnd.IntN(7)))
		m.Zone = fmt.Sprint(rnd.IntN(zones))
		m.Status = []Status{In, In, In, In, Draining, Leaving, Out}[rnd.IntN(7)]
	}
	return members
}

// checkTargets holds a table to what it promises of any members.
func checkTargets(t *testing.T, members []Member, tab *Table) {
	t.Helper()
	zones := map[string]bool{}
	of := map[ServerID]*Member{}
	for i := range members {
		if m := &members[i]; m.Target() {
			zones[m.Zone], of[m.ID] = true, m
		}
	}
	load := map[ServerID]int{}
	for p := range tab.Partitions() {
		targets := tab.Targets(PartitionID(p))
		in := map[string]bool{}
		for i, id := range targets {
			if of[id] == nil || slices.Contains(targets[:i], id) {
				t.Fatalf("partition %d: targets %v", p, targets)
			}
			in[of[id].Zone] = true
			load[id]++
		}
		if want := min(Copies, len(of)); len(targets) != want || len(in) != min(want, len(zones)) {
			t.Fatalf("partition %d: targets %v in %d of %d zones", p, targets, len(in), len(zones))
		}
	}
	if len(zones) != 1 {
		return // zones come before balance
	}
	b := newBuilder(&Table{members: tab.members, partitions: tab.partitions, perShare: tab.perShare, points: tab.points}, copiesLoad)
	for i := range tab.members {
		// Where all others are full or have the partition, it goes to one that is full.
		if id := tab.members[i].ID; float64(load[id]) > 1.1*float64(b.capacity[i])+3 {
			t.Errorf("%v of weight %d holds %d, full at %d: %+v", id, tab.members[i].Weight, load[id], b.capacity[i], members)
		}
	}
}

func TestWeightedTableProperties(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 9))
	for range 150 {
		members := drawn(rnd)
		partitions := 1 << rnd.IntN(10)
		tab := mustTable(t, members, partitions)
		checkTargets(t, members, tab)
		rnd.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		if !sameTargets(tab, mustTable(t, members, partitions)) {
			t.Fatalf("the order of members matters: %+v", members)
		}
	}
}

// TestWeightsShare: a server holds by its weight, as far as there are partitions to hold, and
// is primary by it.
func TestWeightsShare(t *testing.T) {
	for _, tt := range []struct {
		weights []uint32
		least   float64 // of what is fair
	}{
		{[]uint32{1, 1, 1, 2}, 0.85}, {[]uint32{1, 2, 1, 2}, 0.85}, {[]uint32{5, 1, 1, 1, 1, 1}, 0.85}, {[]uint32{2, 3, 5, 2, 3, 5}, 0.85},
		{[]uint32{64, 64, 64, 64, 1}, 0.7}, {[]uint32{10, 20, 40}, 1},
	} {
		members := weighted(1, len(tt.weights), tt.weights...)
		copies, primaries := held(mustTable(t, members, 1024))
		fair, first := fairCopies(members, 1024), fairPrimaries(members, 1024)
		for id, n := range fair {
			if got := float64(copies[id]); got < tt.least*n || got > copiesLoad*n+1 {
				t.Errorf("weights %v: %v holds %d, fair is %.0f", tt.weights, id, copies[id], n)
			}
			if got := float64(primaries[id]); got > primaryLoad*first[id]+1 || got < 0.5*first[id] {
				t.Errorf("weights %v: %v is primary of %d, fair is %.0f", tt.weights, id, primaries[id], first[id])
			}
		}
	}
}

// TestBalance: what a table says of itself is what the figures of DESIGN.md say.
func TestBalance(t *testing.T) {
	for _, weights := range [][]uint32{{1}, {1, 2}, {9, 1, 1, 1}, {3, 3, 3, 1, 1}} {
		members := weighted(1, 7, weights...)
		tab := mustTable(t, members, 512)
		copies, primaries := held(tab)
		want := Balance{worstOver(copies, fairCopies(members, 512)), worstOver(primaries, fairPrimaries(members, 512))}
		if got := tab.Balance(); math.Abs(got.Copies-want.Copies)+math.Abs(got.Primaries-want.Primaries) > 1e-9 {
			t.Errorf("weights %v: %+v, want %+v", weights, got, want)
		}
	}
	if got := mustTable(t, nil, 4).Balance(); got != (Balance{}) {
		t.Errorf("without members: %+v", got)
	}
}

// TestWeightedTable holds the choice to what DESIGN.md says of clusters of unlike servers.
func TestWeightedTable(t *testing.T) {
	for _, tt := range []struct {
		servers, partitions int
		weights             []uint32
		moved               float64
	}{
		{4, 1024, []uint32{1, 2}, 1.10}, {6, 1024, []uint32{1, 1, 1, 1, 2}, 1.10}, {10, 1024, []uint32{2, 3, 5}, 1.10},
		{10, 1024, []uint32{1, 1, 1, 4}, 1.20}, {20, 1024, []uint32{1, 2}, 1.10},
	} {
		f := measure(t, Chosen, tt.servers, tt.partitions, 3, 3, tt.weights...)
		if f.balanceWorst > 1.13 || f.primariesWorst > 1.14 || f.join > tt.moved || f.leave > tt.moved {
			t.Errorf("weights %v: %s", tt.weights, f.row())
		}
	}
}

// Any members, of any weight, zone and status, get a table that keeps its promises.
func FuzzTable(f *testing.F) {
	f.Add([]byte{1, 0, 1, 64, 1, 1, 3, 2, 2}, uint8(6))
	f.Add([]byte{64, 0, 1, 64, 0, 1, 64, 0, 1, 1, 0, 1}, uint8(4))
	f.Fuzz(func(t *testing.T, in []byte, power uint8) {
		var members []Member
		for i := 0; i+2 < len(in) && len(members) < 24; i += 3 {
			members = append(members, Member{ID: ServerID(1 + len(members)), Weight: uint32(in[i]) % (WeightMax + 1),
				Zone: fmt.Sprint(in[i+1] % 5), Status: In + Status(in[i+2]%4)})
		}
		if !slices.ContainsFunc(members, func(m Member) bool { return m.Target() }) {
			return
		}
		checkTargets(t, members, mustTable(t, members, 1<<(power%10)))
	})
}

// TestWeightsNeedTheirFormat: a view in which weights differ has a format of its own, whole or as a
// delta, and one without weights keeps the former.
func TestWeightsNeedTheirFormat(t *testing.T) {
	rnd := rand.New(rand.NewPCG(8, 8))
	plain := testView(rnd, 4, 8, 10)
	for i := range plain.Members {
		plain.Members[i].Weight = 1
	}
	heavy := plain.Clone()
	heavy.Epoch++
	heavy.Members[2].Weight = 3
	light := heavy.Clone()
	light.Epoch++
	light.Members[2].Weight = 1
	var sender Deltas
	base := plain
	sender.Publish(plain)
	for _, tt := range []struct {
		view         *View
		whole, delta byte
	}{{heavy, viewFormatWeighted, deltaFormatWeighted}, {light, viewFormat, deltaFormat}} {
		sender.Publish(tt.view)
		whole, delta := AppendView(nil, tt.view, 0), sender.Append(nil, base.Epoch)
		if whole[0] != tt.whole || delta[0] != tt.delta {
			t.Errorf("formats %d and %d, want %d and %d", whole[0], delta[0], tt.whole, tt.delta)
		}
		for _, b := range [][]byte{whole, delta} {
			got, err := DecodeView(b, base)
			if err != nil || !bytes.Equal(AppendView(nil, got, 0), whole) {
				t.Errorf("format %d: %v", b[0], err)
			}
		}
		base = tt.view
	}
	heavy.Members[2].Weight = WeightMax + 1
	if _, err := DecodeView(AppendView(nil, heavy, 0), nil); !errors.Is(err, codec.ErrMalformed) {
		t.Errorf("a weight beyond the greatest: %v", err)
	}
}
