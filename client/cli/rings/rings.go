package rings

import (
	"fmt"
	"slices"
	"time"

	"viewring/ring"
)

// Moved is what moves when one server joins: percent of all copies of keys.
type Moved struct {
	Servers int     `json:"servers"` // before it joins
	Ring    float64 `json:"ring"`
	Minimum float64 `json:"minimum"` // what the newcomer gets, which has to move
	ModN    float64 `json:"mod_n"`   // if each key were on the servers hash mod N, and the two that follow
}

// Join lets a server join as many, and counts which copies of so many keys move.
func Join(servers, partitions, keys int, c ring.Choices) (Moved, error) {
	members := Numbered(1, servers+1)
	before, err := c.Table(members[:servers], partitions)
	if err != nil {
		return Moved{}, err
	}
	after, err := c.Table(members, partitions)
	if err != nil {
		return Moved{}, err
	}
	var byRing, gained, byMod, all int
	newcomer := members[servers].ID
	for k := range keys {
		name := fmt.Sprintf("key/%d", k)
		p := ring.PartitionOf(ring.SlotOf(name), partitions)
		for _, id := range after.Targets(p) {
			all++
			if !before.IsTarget(p, id) {
				byRing++
			}
			if id == newcomer {
				gained++
			}
		}
		was, is := modulo(name, servers), modulo(name, servers+1)
		for _, s := range is {
			if !slices.Contains(was, s) {
				byMod++
			}
		}
	}
	percent := func(n int) float64 { return 100 * float64(n) / float64(all) }
	return Moved{Servers: servers, Ring: percent(byRing), Minimum: percent(gained), ModN: percent(byMod)}, nil
}

// modulo is where a key would be without a ring: on the server that its hash modulo their number
// says, and on those that follow.
func modulo(name string, servers int) (on []int) {
	first := int(ring.HashOf(name)) % servers
	for i := range min(ring.Copies, servers) {
		on = append(on, (first+i)%servers)
	}
	return on
}

// Numbered are so many servers, of weight 1 and without zones.
func Numbered(first, n int) []ring.Member {
	members := make([]ring.Member, n)
	for i := range members {
		members[i] = ring.Member{ID: ring.ServerID(first + i), Weight: 1, Status: ring.In, Up: true}
	}
	return members
}

// Evenness is how even copies are with so many virtual points, over sets of servers with other ids.
type Evenness struct {
	Points       int     `json:"points"`
	Plain        float64 `json:"plain"`         // the most copies of a server over the mean, if none is ever full
	Bounded      float64 `json:"bounded"`       // the same where servers are full as in a cluster
	PlainMoved   float64 `json:"plain_moved"`   // what moves at a join over what the newcomer gets
	BoundedMoved float64 `json:"bounded_moved"` // the same where servers are full as in a cluster
}

// unbounded is more than all over the mean.
const unbounded = 1 << 20

// Balance looks at some sets of so many servers, each of which one server joins.
func Balance(servers, partitions, points, sets int) (Evenness, error) {
	e := Evenness{Points: points}
	for _, bounds := range []bool{false, true} {
		c := ring.Choices{Points: points, PrimaryLoad: unbounded, CopiesLoad: unbounded}
		even, moved := &e.Plain, &e.PlainMoved
		if bounds {
			c.PrimaryLoad, c.CopiesLoad = ring.Chosen.PrimaryLoad, ring.Chosen.CopiesLoad
			even, moved = &e.Bounded, &e.BoundedMoved
		}
		for set := range sets {
			members := Numbered(1+set*(servers+1), servers+1)
			before, err := c.Table(members[:servers], partitions)
			if err != nil {
				return e, err
			}
			after, err := c.Table(members, partitions)
			if err != nil {
				return e, err
			}
			*even += mostOverMean(before, servers) / float64(sets)
			*moved += movedOverGained(before, after, members[servers].ID) / float64(sets)
		}
	}
	return e, nil
}

func mostOverMean(t *ring.Table, servers int) float64 {
	held, most := map[ring.ServerID]int{}, 0
	for p := range t.Partitions() {
		for _, id := range t.Targets(ring.PartitionID(p)) {
			held[id]++
			most = max(most, held[id])
		}
	}
	return float64(most*servers) / float64(t.Partitions()*t.Copies())
}

func movedOverGained(before, after *ring.Table, newcomer ring.ServerID) float64 {
	moved, gained := 0, 0
	for p := range after.Partitions() {
		for _, id := range after.Targets(ring.PartitionID(p)) {
			if !before.IsTarget(ring.PartitionID(p), id) {
				moved++
			}
			if id == newcomer {
				gained++
			}
		}
	}
	if gained == 0 { // it has so few points that none decides
		return 1
	}
	return float64(moved) / float64(gained)
}

// Costs are what a cluster of so many servers costs whoever must know where keys are.
type Costs struct {
	Servers    int     `json:"servers"`
	Partitions int     `json:"partitions"`
	Table      float64 `json:"table_ms"`    // to compute the targets of all partitions, once a change of members
	View       float64 `json:"view_kib"`    // what a client gets that knows nothing
	Delta      float64 `json:"delta_bytes"` // what it gets when one server is down
}

// Cost measures a table of so many servers, the quickest of three, and the sizes of views.
func Cost(servers, partitions int) (Costs, error) {
	members := Numbered(1, servers)
	for i := range members {
		members[i].Addr, members[i].Incarnation, members[i].Start = fmt.Sprintf("10.0.%d.%d:28600", i/250, i%250), 1, uint64(i)*7919
	}
	var t *ring.Table
	quickest := time.Duration(-1)
	for range 3 {
		began := time.Now()
		made, err := ring.NewTable(members, partitions)
		if err != nil {
			return Costs{}, err
		}
		if took := time.Since(began); quickest < 0 || took < quickest {
			quickest = took
		}
		t = made
	}
	v := &ring.View{Epoch: 1, Members: members, Partitions: make([]ring.Partition, partitions)}
	for p := range v.Partitions {
		targets := t.Targets(ring.PartitionID(p))
		v.Partitions[p] = ring.Partition{Term: 1, MinCopies: 2, Acting: targets, Writable: targets}
	}
	var deltas ring.Deltas
	deltas.Publish(v)
	next := v.Clone()
	next.Epoch++
	next.Members[0].Up = false
	deltas.Publish(next)
	return Costs{
		Servers: servers, Partitions: partitions, Table: float64(quickest.Microseconds()) / 1000,
		View: float64(len(ring.AppendView(nil, v, 0))) / 1024, Delta: float64(len(deltas.Append(nil, v.Epoch))),
	}, nil
}
