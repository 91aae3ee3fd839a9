package ring

import (
	"slices"
	"strconv"

	"github.com/buraksezer/consistent"
)

// libraryServers is up to how many servers the library is asked. It sorts all points
// for each that it adds: 0.1 s at 100, 11 s at 1,000. Beyond, and where
// servers differ in weight, which it does not know, walkPrimaries does what it does.
const libraryServers = 32

// shares is how many equal parts of the copies and primaries a server takes: its weight.
func (m *Member) shares() int { return max(1, int(m.Weight)) }

// pointName is the name under which the library places a share of a server. It ends
// with a separator: the library appends the point's number without one, so that s1's
// point 10 would be s11's point 0. The first share's name is that of a server without a
// weight, so more weight only adds points.
func pointName(id ServerID, share int) string {
	if share == 0 {
		return id.String() + "/"
	}
	return id.String() + "/" + strconv.Itoa(share) + "/"
}

// placePrimaries puts every partition's primary first.
func (b *builder) placePrimaries(load float64) {
	primaries := make([]int32, b.t.partitions)
	if b.servers == b.shares && b.servers <= min(libraryServers, b.t.partitions) {
		libraryPrimaries(b.t.members, primaries, b.t.perShare, capacityOf(b.t.partitions, 1, b.servers, load))
	} else {
		b.walkPrimaries(primaries, load)
	}
	for p, m := range primaries {
		b.place(PartitionID(p), 0, m)
	}
}

// libraryMember is a server as the library knows it.
type libraryMember struct {
	name  string
	index int32 // into members
}

func (m libraryMember) String() string { return m.name }

// libraryPrimaries asks the library for each partition's primary. It panics when
// members outnumber partitions, so the caller does not ask it then.
func libraryPrimaries(members []Member, primaries []int32, perShare, capacity int) {
	var named []consistent.Member
	for i := range members {
		if members[i].Target() {
			named = append(named, libraryMember{pointName(members[i].ID, 0), int32(i)})
		}
	}
	library := consistent.New(named, consistent.Config{
		Hasher:            hasher{},
		PartitionCount:    len(primaries),
		ReplicationFactor: perShare,
		Load:              libraryLoad(capacity, len(primaries), len(named)),
	})
	for p := range primaries {
		primaries[p] = library.GetPartitionOwner(p).(libraryMember).index
	}
}

// libraryLoad is the load factor that makes the library's limit on primaries
// capacity. It rounds the mean down before it multiplies and the product up: with
// one factor for all, 99 servers would get a limit of 48 and 100 one of 46 for 4096
// partitions, and the step would move partitions that nobody's coming or going asked for.
func libraryLoad(capacity, partitions, servers int) float64 {
	return (float64(capacity) - 0.5) / float64(partitions/servers)
}

// walkPrimaries makes the library's choice for servers of any weight: for each partition the
// first point clockwise whose server has fewer primaries than bound times its part.
func (b *builder) walkPrimaries(primaries []int32, bound float64) {
	t := b.t
	left := make([]int32, len(t.members))
	for i := range t.members {
		if m := &t.members[i]; m.Target() {
			left[i] = int32(capacityOf(t.partitions, m.shares(), b.shares, bound))
		}
	}
	for p := range primaries {
		at := t.pointAfter(placeOf(PartitionID(p)))
		for ; ; at++ {
			if at == len(t.points) {
				at = 0
			}
			if m := t.points[at].member; !t.points[at].extra && left[m] > 0 {
				left[m]--
				primaries[p] = m
				break
			}
		}
	}
}

// pointAfter is the first point clockwise from a place. As in the library, a point at
// the very place counts as after it.
func (t *Table) pointAfter(place uint64) int {
	at, _ := slices.BinarySearchFunc(t.points, place, func(pt point, place uint64) int {
		if pt.hash < place {
			return -1
		}
		return 1
	})
	return at
}

// capacityOf is how many of a number of things a server with some of all shares takes,
// at most: bound times its part, but room for all.
func capacityOf(things, some, all int, bound float64) int {
	return max(int(bound*float64(things*some)/float64(all)), (things*some+all-1)/all)
}
