package ring

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"

	"github.com/buraksezer/consistent"
	"github.com/cespare/xxhash/v2"
)

// The choices that DESIGN.md gives reasons for. They decide where everything
// lies: another value moves data in every cluster.
const (
	pointsPerServer = 128  // virtual points on the ring
	primaryLoad     = 1.13 // a server's primaries over the mean, at most; the library's bound
	copiesLoad      = 1.12 // a server's copies over the mean, at most
)

// Table is the ring of one set of members: each partition's targets. It depends
// on the members that are targets and on nothing else. It is immutable.
type Table struct {
	members    []Member // all that were given, sorted by ID
	partitions int
	points     []point // of all members, so that one that leaves is still somebody's neighbour
	perServer  int
	copies     int
	targets    []ServerID // copies of them for each partition
}

// point is a virtual point of a server on the ring.
type point struct {
	hash   uint64
	member int32 // index into members
}

// NewTable places the partitions on those of the members that are targets. Each
// gets min(Copies, targets) distinct servers. The primary is the library's
// choice, consistent hashing with bounded loads; the others are the next servers
// clockwise, passing by those that are full, and those in a zone already taken
// while another is left.
func NewTable(members []Member, partitions int) (*Table, error) {
	return newTable(members, partitions, pointsPerServer, primaryLoad, copiesLoad)
}

func newTable(members []Member, partitions, perServer int, primaryLoad, copiesLoad float64) (*Table, error) {
	if !ValidPartitions(partitions) {
		return nil, fmt.Errorf("ring: %d partitions: not a power of two up to %d", partitions, Slots)
	}
	t := &Table{members: slices.Clone(members), partitions: partitions, perServer: perServer}
	slices.SortFunc(t.members, func(a, b Member) int { return int(int64(a.ID) - int64(b.ID)) })
	for i := range t.members {
		if i > 0 && t.members[i].ID == t.members[i-1].ID {
			return nil, fmt.Errorf("ring: %v is listed twice", t.members[i].ID)
		}
	}
	t.points = virtualPoints(t.members, perServer)
	b := newBuilder(t, copiesLoad)
	if b.servers == 0 {
		return t, nil
	}
	b.placePrimaries(primaryLoad)
	for p := range partitions {
		b.placeFollowers(PartitionID(p))
	}
	return t, nil
}

// TableOf returns the table of a view: before, when it is still the one, or a
// new one. before may be nil. Most views change no member's place, and a table
// costs milliseconds.
func TableOf(v *View, before *Table) (*Table, error) {
	if before != nil && before.partitions == len(v.Partitions) && slices.EqualFunc(before.members, v.Members,
		func(a, b Member) bool {
			return a.ID == b.ID && a.Zone == b.Zone && a.Weight == b.Weight && a.Target() == b.Target()
		}) {
		return before, nil
	}
	return NewTable(v.Members, len(v.Partitions))
}

// Targets returns the servers that are to hold a partition, the one to be
// primary first; none when there are no members. The caller must not change it.
func (t *Table) Targets(p PartitionID) []ServerID {
	from := int(p) * t.copies
	return t.targets[from : from+t.copies : from+t.copies]
}

// Partitions returns how many partitions the table places.
func (t *Table) Partitions() int { return t.partitions }

// Copies returns how many targets each partition has.
func (t *Table) Copies() int { return t.copies }

// IsTarget reports whether id is among the targets of p.
func (t *Table) IsTarget(p PartitionID, id ServerID) bool { return slices.Contains(t.Targets(p), id) }

// Neighbour returns which of the given servers is nearest to id on the ring, as
// seen from partition p: in the order in which a walk from p's place meets the
// servers for the first time, the one with the fewest others between. Of two as
// near it is the later one, which is less often the primary. Servers that are no
// members are far from everybody. It returns 0 when among is empty.
func (t *Table) Neighbour(p PartitionID, id ServerID, among []ServerID) ServerID {
	w := newWalk(t)
	w.start(p)
	places := make(map[ServerID]int, len(t.members))
	for i := 0; ; i++ {
		m, ok := w.at(i)
		if !ok {
			break
		}
		places[t.members[m].ID] = i
	}
	place := func(id ServerID) int {
		if i, ok := places[id]; ok {
			return i
		}
		return 2 * len(t.members)
	}
	home := place(id)
	var best ServerID
	bestGap, bestPlace := 0, 0
	for _, other := range among {
		if other == id {
			continue
		}
		at := place(other)
		gap := max(at-home, home-at)
		if best == 0 || gap < bestGap || gap == bestGap && at > bestPlace {
			best, bestGap, bestPlace = other, gap, at
		}
	}
	return best
}

// pointName is the name under which the library places a server. It ends with a
// separator: the library appends the point's number without one, so that s1's
// point 10 would be s11's point 0.
func pointName(id ServerID) string { return id.String() + "/" }

// hasher gives the library its places: xxhash64 for the points of the servers,
// and for partitions their number with its bits reversed. Partitions so stand at
// equal distances, wherever the library asks for the hash of a partition's
// number; at random places, chance alone would load some servers a fifth over
// the mean.
type hasher struct{}

// Sum64 tells a partition's number, eight bytes little endian and below Slots,
// from a name, which has no zero bytes.
func (hasher) Sum64(b []byte) uint64 {
	if len(b) == 8 {
		if p := binary.LittleEndian.Uint64(b); p < Slots {
			return placeOf(PartitionID(p))
		}
	}
	return xxhash.Sum64(b)
}

// placeOf is where on the ring a partition stands.
func placeOf(p PartitionID) uint64 { return bits.Reverse64(uint64(p)) }

// virtualPoints is a copy of what the library keeps to itself. A test pins it.
func virtualPoints(members []Member, perServer int) []point {
	points := make([]point, 0, len(members)*perServer)
	for i := range members {
		name := []byte(pointName(members[i].ID))
		for j := range perServer {
			hash := xxhash.Sum64(strconv.AppendInt(name, int64(j), 10))
			points = append(points, point{hash: hash, member: int32(i)})
		}
	}
	slices.SortFunc(points, func(a, b point) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return int(a.member - b.member)
	})
	return points
}

// libraryMember is a server as the library knows it.
type libraryMember struct {
	name  string
	index int32 // into members
}

func (m libraryMember) String() string { return m.name }

// libraryPrimaries asks the library for each partition's primary. It panics when
// members outnumber partitions, so the caller does not ask it then.
func libraryPrimaries(members []Member, partitions, perServer int, load float64) []int32 {
	var named []consistent.Member
	for i := range members {
		if members[i].Target() {
			named = append(named, libraryMember{pointName(members[i].ID), int32(i)})
		}
	}
	library := consistent.New(named, consistent.Config{
		Hasher:            hasher{},
		PartitionCount:    partitions,
		ReplicationFactor: perServer,
		Load:              libraryLoad(capacityOf(partitions, len(named), load), partitions, len(named)),
	})
	primaries := make([]int32, partitions)
	for p := range primaries {
		primaries[p] = library.GetPartitionOwner(p).(libraryMember).index
	}
	return primaries
}

// capacityOf is how many of a number of things a server takes, at most: bound
// times the mean, but room for all.
func capacityOf(things, servers int, bound float64) int {
	return max(int(bound*float64(things)/float64(servers)), (things+servers-1)/servers)
}

// libraryLoad is the load factor that makes the library's limit on primaries
// capacity. It rounds the mean down before it multiplies and the product up: with
// one factor for all, 99 servers would get a limit of 48 and 100 one of 46 for 4096
// partitions, and the step would move partitions that nobody's coming or going asked for.
func libraryLoad(capacity, partitions, servers int) float64 {
	return (float64(capacity) - 0.5) / float64(partitions/servers)
}
