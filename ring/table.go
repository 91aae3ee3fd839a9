package ring

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// The choices that DESIGN.md gives reasons for. They decide where everything
// lies: another value moves data in every cluster.
const (
	pointsPerShare = 128  // virtual points on the ring of a server of weight 1
	primaryLoad    = 1.13 // a server's primaries over the mean by weight, at most; the library's bound
	copiesLoad     = 1.12 // a server's copies over the mean by weight, at most
)

// Table is the ring of one set of members: each partition's targets. It depends
// on the members that are targets and on nothing else. It is immutable.
type Table struct {
	members    []Member // all that were given, sorted by ID
	partitions int
	points     []point // of all members, so that one that leaves is still somebody's neighbour
	perShare   int
	copies     int
	targets    []ServerID // copies of them for each partition
}

// point is a virtual point of a server on the ring.
type point struct {
	hash   uint64
	member int32 // index into members
	extra  bool  // only for the walk to the followers
}

// NewTable places the partitions on those of the members that are targets. Each
// gets min(Copies, targets) distinct servers. The primary is the library's
// choice, consistent hashing with bounded loads; the others are the next servers
// clockwise, passing by those that are full, and those in a zone already taken
// while another is left. A server of weight w has w times the points, and is full
// at w times the load.
func NewTable(members []Member, partitions int) (*Table, error) {
	return Chosen.Table(members, partitions)
}

// Choices are what decides where everything lies. All clusters have Chosen; others are for
// experiments.
type Choices struct {
	Points      int     // virtual points of a server of weight 1
	PrimaryLoad float64 // a server's primaries over the mean by weight, at most
	CopiesLoad  float64 // a server's copies over the mean by weight, at most
}

// Chosen are the choices of all clusters.
var Chosen = Choices{Points: pointsPerShare, PrimaryLoad: primaryLoad, CopiesLoad: copiesLoad}

// Table is NewTable with other choices.
func (c Choices) Table(members []Member, partitions int) (*Table, error) {
	return newTable(members, partitions, c.Points, c.PrimaryLoad, c.CopiesLoad)
}

func newTable(members []Member, partitions, perShare int, primaryLoad, copiesLoad float64) (*Table, error) {
	if !ValidPartitions(partitions) {
		return nil, fmt.Errorf("ring: %d partitions: not a power of two up to %d", partitions, Slots)
	}
	t := &Table{members: slices.Clone(members), partitions: partitions, perShare: perShare}
	slices.SortFunc(t.members, func(a, b Member) int { return int(int64(a.ID) - int64(b.ID)) })
	for i := range t.members {
		if i > 0 && t.members[i].ID == t.members[i-1].ID {
			return nil, fmt.Errorf("ring: %v is listed twice", t.members[i].ID)
		}
	}
	t.points = virtualPoints(t.members, perShare)
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

// virtualPoints makes the points of all members. Those that are not extra are a copy of what
// the library keeps to itself. A test pins it.
func virtualPoints(members []Member, perShare int) []point {
	each := followerPoints(members, perShare)
	total := 0
	for _, n := range each {
		total += n
	}
	points := make([]point, 0, total)
	for i, n := range each {
		own := members[i].shares() * perShare
		var name []byte
		for j := range n {
			if j%perShare == 0 {
				name = []byte(pointName(members[i].ID, j/perShare))
			}
			hash := xxhash.Sum64(strconv.AppendInt(name, int64(j%perShare), 10))
			points = append(points, point{hash: hash, member: int32(i), extra: j >= own})
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
