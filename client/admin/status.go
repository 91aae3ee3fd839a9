package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"viewring/internal/route"
	"viewring/ring"
)

// ServerStatus is a server's last heartbeat.
type ServerStatus struct {
	ID    ring.ServerID
	Heard bool          // since the view leader started
	Age   time.Duration // since then
	Epoch uint64        // adopted by all of the server's lanes
	Down  time.Time     // since when it is declared down; zero: it is up
	Stats ServerStats
	// Failures counts those of the last minutes. Held is until when a server that
	// fails again and again stays out, unless it is needed; zero: it need not.
	Failures int
	Held     time.Time
}

// lately is how long after a heartbeat what it said stands: a view leader that hears the others
// has declared a silent server down by then.
const lately = 30 * time.Second

// Lately reports whether a heartbeat has come lately. What else is known of the server is
// remembered: by the view leader, from before it started or lost its connections.
func (s *ServerStatus) Lately() bool { return s.Heard && s.Age < lately }

// Status is the view leader's whole picture.
type Status struct {
	View    *ring.View
	Table   *ring.Table // nil while there are no members
	Servers []ServerStatus
}

// Status asks the view leader how the cluster stands.
func (c *Cluster) Status(ctx context.Context) (*Status, error) {
	brief, cancel := c.router.Brief(ctx)
	defer cancel()
	raw, err := c.router.Leader().Status(brief)
	if err != nil {
		return nil, c.router.LeaderFailed(ctx, "query servers", err)
	}
	v, err := ring.DecodeView(raw.View, nil)
	if err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	s := &Status{View: v}
	if s.Table, err = TableOf(v); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	for _, r := range raw.Servers {
		s.Servers = append(s.Servers, ServerStatus{ID: r.ID, Heard: r.Age >= 0, Age: r.Age, Epoch: r.Epoch, Down: r.Down, Stats: r.Stats,
			Failures: int(r.Failures), Held: r.Held})
	}
	return s, nil
}

// TableOf computes the targets of a view; nil when no member is a target.
func TableOf(v *ring.View) (*ring.Table, error) { return route.TableOf(v) }

// Server returns the heartbeat of id; the zero one when there is none.
func (s *Status) Server(id ring.ServerID) ServerStatus {
	for _, h := range s.Servers {
		if h.ID == id {
			return h
		}
	}
	return ServerStatus{ID: id}
}

// Roles counts the partitions of a server by what it does for them: in the view,
// and as a learner by what it last said, if it is up.
func (s *Status) Roles(id ring.ServerID) (primary, backup, learner int) {
	for i := range s.View.Partitions {
		switch p := &s.View.Partitions[i]; {
		case p.Primary() == id:
			primary++
		case p.IsActing(id):
			backup++
		}
	}
	if m := s.View.Member(id); m != nil && m.Up {
		learner = int(s.Server(id).Stats.Learners)
	}
	return primary, backup, learner
}

// Targets returns the targets of p, primary first; nil while there are none.
func (s *Status) Targets(p ring.PartitionID) []ring.ServerID {
	if s.Table == nil {
		return nil
	}
	return s.Table.Targets(p)
}

// IsTarget reports whether a server should have a partition.
func (s *Status) IsTarget(p ring.PartitionID, id ring.ServerID) bool {
	return slices.Contains(s.Targets(p), id)
}

// Safety answers "is my data safe?".
type Safety struct {
	Copies      int    // that every partition should have: three, or as many as there are servers
	Whole       int    // partitions with all of them
	TooFew      int    // partitions with fewer, still served
	ReadOnly    int    // of TooFew: fewer than min-copies, so that writes are refused
	Unavailable int    // partitions that nobody serves
	Left        uint64 // copies of partitions to be made or dropped
	LeftBytes   uint64 // estimate of what is to be copied
	Rate        uint64 // bytes/s
	// TimeLeft is a guess: the longest of the servers that lack copies, at their rates. Below
	// 0: one of them copies nothing now, or nobody has said yet what it lacks.
	TimeLeft time.Duration
	Up       int  // servers that are up, heard of lately or not
	Unheard  int  // of Up: not heard of lately, so that the counts above are remembered, not known
	Balanced bool // every partition is on exactly its targets, and every server knows it
}

// Safety sums up the status.
func (s *Status) Safety() Safety {
	var out Safety
	for i := range s.View.Members {
		m := &s.View.Members[i]
		if h := s.Server(m.ID); m.Up {
			out.Up++
			if !h.Lately() {
				out.Unheard++
			}
		}
	}
	out.Copies = s.copies()
	for _, state := range s.Partitions() {
		switch state {
		case Whole:
			out.Whole++
		case TooFew:
			out.TooFew++
		case ReadOnly:
			out.TooFew++
			out.ReadOnly++
		case Unavailable:
			out.Unavailable++
		}
	}
	s.sumLeft(&out)
	out.Balanced = s.Unbalanced() == ""
	return out
}

// copies is how many copies every partition should have.
func (s *Status) copies() int {
	targets := 0
	for i := range s.View.Members {
		if s.View.Members[i].Target() {
			targets++
		}
	}
	return min(ring.Copies, targets)
}

// PartitionState is how safe a partition is.
type PartitionState uint8

// The states of a partition.
const (
	Whole       PartitionState = iota // it has all copies
	TooFew                            // it has fewer, and is served
	ReadOnly                          // it has fewer than min-copies: writes are refused
	Unavailable                       // nobody serves it
)

// Partitions returns the state of each partition.
func (s *Status) Partitions() []PartitionState {
	up := make(map[ring.ServerID]bool)
	for i := range s.View.Members {
		up[s.View.Members[i].ID] = s.View.Members[i].Up
	}
	wanted := s.copies()
	states := make([]PartitionState, len(s.View.Partitions))
	for i := range states {
		p := &s.View.Partitions[i]
		alive := 0
		for _, id := range p.Acting {
			if up[id] {
				alive++
			}
		}
		switch {
		case len(p.Acting) == 0 || !up[p.Primary()]:
			states[i] = Unavailable
		case alive < int(p.MinCopies):
			states[i] = ReadOnly
		case alive < wanted:
			states[i] = TooFew
		}
	}
	return states
}

// sumLeft counts what the view still lacks, and what servers say of copying it.
func (s *Status) sumLeft(out *Safety) {
	var held, keptBytes, missing, surplus uint64
	for i := range s.View.Partitions {
		acting, targets := s.View.Partitions[i].Acting, s.Targets(ring.PartitionID(i))
		held += uint64(len(acting))
		missing += absent(targets, acting)
		surplus += absent(acting, targets)
	}
	moving := s.Moving()
	for _, m := range moving {
		out.LeftBytes += m.LeftBytes
	}
	out.TimeLeft = longest(moving)
	for i := range s.View.Members {
		if m := &s.View.Members[i]; m.Up { // what others last said no longer stands
			h := s.Server(m.ID)
			out.Rate += h.Stats.Rate
			keptBytes += h.Stats.Carried()
			surplus += uint64(h.Stats.Strays)
		}
	}
	if out.Left = max(missing, surplus); out.LeftBytes == 0 && held > 0 {
		out.LeftBytes = missing * keptBytes / held
	}
}

// absent counts the servers of a that are not in b.
func absent(a, b []ring.ServerID) (n uint64) {
	for _, id := range a {
		if !slices.Contains(b, id) {
			n++
		}
	}
	return n
}

// WaitsOnlyFor returns the servers that are down and whose copies are all that
// is missing; nil when something else is, or nothing.
func (s *Status) WaitsOnlyFor() []ring.ServerID {
	var down []ring.ServerID
	for i := range s.View.Partitions {
		for _, id := range s.Targets(ring.PartitionID(i)) {
			if s.View.Partitions[i].IsActing(id) || slices.Contains(down, id) {
				continue
			}
			if m := s.View.Member(id); m == nil || m.Up {
				return nil
			}
			down = append(down, id)
		}
	}
	slices.Sort(down)
	return down
}

// WaitsFor counts the copies that are missing on servers that are down, by server: others
// make them only when it is out.
func (s *Status) WaitsFor() map[ring.ServerID]int {
	waits := make(map[ring.ServerID]int)
	for i := range s.View.Partitions {
		for _, id := range s.Targets(ring.PartitionID(i)) {
			if m := s.View.Member(id); m != nil && !m.Up && !s.View.Partitions[i].IsActing(id) {
				waits[id]++
			}
		}
	}
	return waits
}

// Unbalanced says why the cluster is not balanced, or "" when it is: every
// partition's acting replicas are its targets, and every server that is up has
// adopted this view and holds nothing else.
func (s *Status) Unbalanced() string {
	for i := range s.View.Partitions {
		p := ring.PartitionID(i)
		acting, targets := s.View.Partitions[i].Acting, s.Targets(p)
		if !ring.SameServers(acting, targets) {
			return fmt.Sprintf("partition %d is on %v, its targets are %v", p, acting, targets)
		}
	}
	for i := range s.View.Members {
		m := &s.View.Members[i]
		h := s.Server(m.ID)
		switch {
		case !m.Up:
		case !h.Heard:
			return fmt.Sprintf("%v has not been heard of", m.ID)
		case h.Epoch != s.View.Epoch:
			return fmt.Sprintf("%v is at epoch %d, not %d", m.ID, h.Epoch, s.View.Epoch)
		case h.Stats.Learners > 0 || h.Stats.Left > 0:
			return fmt.Sprintf("%v has %d partitions to copy", m.ID, max(h.Stats.Learners, h.Stats.Left))
		case h.Stats.Strays > 0:
			return fmt.Sprintf("%v still has %d partitions that it should not", m.ID, h.Stats.Strays)
		}
	}
	return ""
}
