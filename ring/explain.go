package ring

import "slices"

// Passed says why a walk passed a server by.
type Passed uint8

// Why a walk passes a server by. The zero Passed: it does not.
const (
	PassedAway      Passed = iota + 1 // it is no target: it leaves, or is out
	PassedPrimaries                   // it is the primary of as many partitions as it may be
	PassedZone                        // a copy is in its zone already, and none in another one
	PassedFull                        // it holds as many copies as it may
)

// String returns the word that JSON uses.
func (p Passed) String() string {
	switch p {
	case PassedAway:
		return "away"
	case PassedPrimaries:
		return "primaries"
	case PassedZone:
		return "zone"
	case PassedFull:
		return "full"
	}
	return ""
}

// Met is a server that the walk from a partition's place meets.
type Met struct {
	Server ServerID
	Zone   string
	At     float64 // the place of its point, as a part of the ring
	Copies int     // it had when the partition's turn came
	Room   int     // the copies at which it is full
	Takes  int     // 1: it is to be the primary, 2 and 3: it is to hold a further copy; 0: neither
	Passed Passed  // why it was passed by, at least for an earlier copy
}

// Walk is how the targets of a partition are found.
type Walk struct {
	At  float64 // the partition's place, as a part of the ring
	Met []Met   // the servers on the way, until all targets are found; first met first
}

// Explain walks to a partition's targets once more, and notes what it meets. The table decides;
// this only tells.
func (t *Table) Explain(p PartitionID) Walk {
	again := *t
	b := newBuilder(&again, copiesLoad) // its table gets targets of its own
	b.loadBefore(t, p)
	e := explainer{builder: b, notes: make([]Met, len(t.members)), had: slices.Clone(b.load)}
	targets := t.Targets(p)
	if len(targets) > 0 {
		e.primary(p, b.indexOf(targets[0]))
		b.walk.start(p)
		for copy, id := range targets[1:] {
			e.follower(copy+2, b.indexOf(id))
		}
	}
	return e.walk(p)
}

// loadBefore counts the copies that were placed before the followers of p: all primaries, and
// the followers of the partitions before it.
func (b *builder) loadBefore(t *Table, p PartitionID) {
	for q := range PartitionID(t.partitions) {
		for i, id := range t.Targets(q) {
			if i == 0 || q < p {
				b.load[b.indexOf(id)]++
			}
		}
	}
}

// explainer notes what happened to each member.
type explainer struct {
	*builder
	notes []Met
	had   []int32 // copies, of each member
}

// primary notes who was met before the primary, and so had all the primaries that it takes.
func (e *explainer) primary(p PartitionID, chosen int32) {
	at := e.t.pointAfter(placeOf(p))
	for ; ; at++ {
		pt := e.t.points[at%len(e.t.points)]
		switch {
		case pt.extra:
			continue
		case pt.member == chosen:
			e.take(chosen, 1)
			return
		case e.t.members[pt.member].Target():
			e.notes[pt.member].Passed = PassedPrimaries
		default:
			e.notes[pt.member].Passed = PassedAway
		}
	}
}

// follower notes who was met before a follower.
func (e *explainer) follower(copy int, chosen int32) {
	otherZones := e.zones > e.zonesTaken()
	for i := 0; ; i++ {
		m, ok := e.builder.walk.at(i)
		switch {
		case !ok || m == chosen:
			e.take(chosen, copy)
			return
		case slices.Contains(e.chosen, m):
		case !e.t.members[m].Target():
			e.notes[m].Passed = PassedAway
		case otherZones && e.zoneTaken(m):
			e.notes[m].Passed = PassedZone
		default:
			e.notes[m].Passed = PassedFull
		}
	}
}

func (e *explainer) take(m int32, copy int) {
	e.notes[m].Takes = copy
	e.chosen = append(e.chosen, m)
}

// walk lists the notes in the order in which a walk meets the members.
func (e *explainer) walk(p PartitionID) Walk {
	w := Walk{At: part64(placeOf(p)), Met: []Met{}}
	seen := make([]bool, len(e.t.members))
	first := e.t.pointAfter(placeOf(p))
	for i := range e.t.points {
		pt := e.t.points[(first+i)%len(e.t.points)]
		m := e.notes[pt.member]
		if seen[pt.member] || m.Takes == 0 && m.Passed == 0 {
			continue
		}
		seen[pt.member] = true
		member := &e.t.members[pt.member]
		m.Server, m.Zone, m.At = member.ID, member.Zone, part64(pt.hash)
		m.Copies, m.Room = int(e.had[pt.member]), int(e.capacity[pt.member])
		w.Met = append(w.Met, m)
	}
	return w
}

// part64 is a place as a part of the ring, from 0 to 1.
func part64(place uint64) float64 { return float64(place>>11) / (1 << 53) }
