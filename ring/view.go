package ring

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Copies is how many replicas the ring wants for a partition.
const Copies = 3

// ServerID names a server for life. The view leader gives them out, counting
// from 1; 0 names nobody.
type ServerID uint32

// String returns the id as people type it: s1, s2, …
func (id ServerID) String() string { return "s" + strconv.FormatUint(uint64(id), 10) }

// ParseServerID reads what String wrote.
func ParseServerID(s string) (ServerID, error) {
	rest, ok := strings.CutPrefix(s, "s")
	n, err := strconv.ParseUint(rest, 10, 32)
	if !ok || err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a server id (like s1)", s)
	}
	return ServerID(n), nil
}

// PartitionID numbers the partitions of a cluster from 0.
type PartitionID uint32

// Status says what part a member has in placement, whether or not it is up.
type Status uint8

// The statuses of a member.
const (
	In       Status = iota + 1 // a target wherever the ring says so
	Draining                   // a planned restart: still a target, acting nowhere until it registers again
	Leaving                    // no target any more; gone once nothing acts on it
	Out                        // silent for --out-after: no target until it returns
)

// String returns the word that tables and JSON use.
func (s Status) String() string {
	switch s {
	case In:
		return "in"
	case Draining:
		return "draining"
	case Leaving:
		return "leaving"
	case Out:
		return "out"
	}
	return "unknown"
}

// Member is a server as a view lists it.
type Member struct {
	ID          ServerID
	Store       [16]byte // the store id, kept inside the server's store
	Incarnation uint64   // grows with every start of the server
	Start       uint64   // the name of that start, as its data folder has it; 0: registered by an older program
	Addr        string   // host:port where clients and servers reach it
	Zone        string   // "" where zones are not used
	Weight      uint32   // how many shares of copies and primaries it takes; 1 unless weights are used
	Status      Status
	Up          bool // heartbeats arrive
}

// Bounds on weights: of a server, and of all that a cluster lists. The ring has hundreds of
// points for each.
const (
	WeightMax = 64
	SharesMax = 4096
)

// Target reports whether the ring may place partitions on m.
func (m *Member) Target() bool { return m.Status == In || m.Status == Draining }

// State is one word for tables: up, down, draining, leaving or out.
func (m *Member) State() string {
	switch {
	case m.Status != In:
		return m.Status.String()
	case m.Up:
		return "up"
	}
	return "down"
}

// Partition is what a view says of one partition. The targets are not in it:
// everyone computes them from the members (see Table).
type Partition struct {
	Term      uint64     // epoch of its last change; fences older primaries
	MinCopies uint8      // acting replicas below which nothing is acknowledged
	Acting    []ServerID // first is the primary; empty before any server joined
	Writable  []ServerID // W: acting of the last term that had MinCopies of them
	// ResetTerm is the term in which an operator gave up what was lost and the
	// partition was made anew, empty; 0: never. Copies from before are worth
	// nothing.
	ResetTerm uint64
}

// Primary returns the acting primary, or 0.
func (p *Partition) Primary() ServerID {
	if len(p.Acting) == 0 {
		return 0
	}
	return p.Acting[0]
}

// SameServers compares two sets of distinct servers.
func SameServers(a, b []ServerID) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(id ServerID) bool { return !slices.Contains(b, id) })
}

// IsActing reports whether id is among the acting replicas.
func (p *Partition) IsActing(id ServerID) bool { return slices.Contains(p.Acting, id) }

// Returners returns the members of W that do not act, as long as fewer than min-copies
// act. They hold everything that was acknowledged, and may act again until enough of the
// targets do, even if the ring wants others by now or they are leaving. Members are found
// by member.
func (p *Partition) Returners(member func(ServerID) *Member) (ids []ServerID) {
	if len(p.Acting) == 0 || len(p.Acting) >= int(p.MinCopies) {
		return nil
	}
	for _, id := range p.Writable {
		if m := member(id); m != nil && (m.Status == In || m.Status == Leaving) && !p.IsActing(id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// RecoveryJump is how far above all reported epochs a recovered view leader begins. A
// server that has reported to one adopts no view below that. No view leader makes that many
// epochs without any server hearing of one: at one a millisecond it would take 49 days.
const RecoveryJump = 1 << 32

// Wanted returns who may act for p: the targets, and returners that are none.
func (p *Partition) Wanted(targets []ServerID, member func(ServerID) *Member) []ServerID {
	wanted := slices.Clip(targets) // copied where it grows
	for _, id := range p.Returners(member) {
		if !slices.Contains(targets, id) {
			wanted = append(wanted, id)
		}
	}
	return wanted
}

// View is what the view leader publishes of the cluster. A published View is immutable. The
// term is that of Viewstamped Replication (Oki, Liskov 1988).
type View struct {
	Cluster    [16]byte
	Epoch      uint64
	LeaseTTL   time.Duration // L of the protocol
	MinCopies  uint8         // --min-copies: the floor that partitions rise to
	Members    []Member      // sorted by ID
	Partitions []Partition   // indexed by PartitionID; its length is a power of two
}

// Member returns the member with that id, or nil.
func (v *View) Member(id ServerID) *Member {
	i, ok := slices.BinarySearchFunc(v.Members, id, func(m Member, id ServerID) int {
		return int(int64(m.ID) - int64(id))
	})
	if !ok {
		return nil
	}
	return &v.Members[i]
}

// Weighted reports whether a server has another weight than 1.
func (v *View) Weighted() bool {
	return slices.ContainsFunc(v.Members, func(m Member) bool { return m.Weight > 1 })
}
