package roster

import (
	"fmt"
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// Bounds on what a state may hold, so that no client can grow it without end.
const (
	PartitionsMax  = 16384
	MembersMax     = 1000
	StartsMax      = 1000 // of a registration
	AddrBytesMax   = 255
	ZoneBytesMax   = 64
	NameBytesMax   = 1024 // of a lock, of a client
	LocksMax       = 100_000
	WaitersMax     = 100_000 // over all locks
	actingMax      = 4 * ring.Copies
	leaseTTLNormal = 600 * time.Millisecond
	patienceNormal = 3 * time.Second
)

// Config is what a cluster is made with.
type Config struct {
	Cluster    [16]byte
	Partitions int           // a power of two ≤ PartitionsMax, fixed for good
	MinCopies  int           // 1 to ring.Copies
	LeaseTTL   time.Duration // L of the protocol; 0 = 600 ms
	// EjectPatience is how long an eject that leaves fewer than min-copies must
	// have been asked for in one term before it is done; 0 = 3 s.
	EjectPatience time.Duration
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	if c.Partitions < 1 || c.Partitions > PartitionsMax || c.Partitions&(c.Partitions-1) != 0 {
		return fmt.Errorf("%d partitions: want a power of two from 1 to %d", c.Partitions, PartitionsMax)
	}
	if c.MinCopies < 1 || c.MinCopies > ring.Copies {
		return fmt.Errorf("min-copies %d: want 1 to %d", c.MinCopies, ring.Copies)
	}
	if c.LeaseTTL < 0 || c.EjectPatience < 0 {
		return fmt.Errorf("lease %v, eject patience %v: want no negative time", c.LeaseTTL, c.EjectPatience)
	}
	return nil
}

// State is the roster. It is not safe for concurrent use; a View that it
// returned is, because it never changes.
type State struct {
	cluster   [16]byte
	leaseTTL  time.Duration
	patience  time.Duration
	minCopies int

	epoch   uint64        // of the last batch that changed the view
	nextID  ring.ServerID // the next new server's
	members []member      // sorted by id
	gone    []gone        // left or removed servers, sorted by id
	parts   []partition   // the slices inside are replaced, never written to
	asked   []ask         // ejects that wait out their patience
	locks   lockTable

	// The newest events, oldest first; what was handed out is not written to. Those
	// of locks come and go by thousands: they have a list of their own, which no
	// snapshot keeps. They are numbered together.
	events      []vocab.Event
	lockEvents  []vocab.Event
	eventNumber uint64

	at    int64 // of the running command
	dirty bool  // the running batch changed the view
	// restored are the partitions that servers brought back in the running batch.
	restored map[ring.ServerID][]ring.PartitionID
	view     *ring.View  // of epoch; nil until asked for
	table    *ring.Table // of the present members; nil until asked for
}

// member is a server with what the view does not show.
type member struct {
	ring.Member
	Instance uint64 // of the process that registered; 0: not known since a recovery
	DownAt   int64  // unix ms; when Up was lost
	Doubted  bool   // of Start 0: a second or an older copy of its data folder showed up
	Removed  bool   // an operator said that it never comes back

	SaidZone   string // at its last registration; Zone may have been set since
	SaidWeight uint32 // likewise; 0: it never said any
}

// gone remembers a server that is no member any more.
type gone struct {
	ID          ring.ServerID
	Store       [16]byte
	Incarnation uint64
	Removed     bool
}

// partition is a ring.Partition and what is known of W.
type partition struct {
	ring.Partition
	// tainted has bit i set when Writable[i] is not acting and has been up since
	// it acted last: it may have begun to learn, so it is restored only when it
	// says that its copy is whole.
	tainted uint16
	// ejected has bit i set when Writable[i] was ejected: its copy may be short,
	// or differ, and not know it. It is not restored.
	ejected uint16
}

// ask is an eject that would leave too few copies, and since when it is asked.
type ask struct {
	Partition ring.PartitionID
	Term      uint64
	From, Who ring.ServerID
	First     int64 // unix ms
	Last      int64
}

// New returns the state of a cluster without servers, at epoch 0.
// It panics when c is not valid.
func New(c Config) *State {
	if err := c.Validate(); err != nil {
		panic(err)
	}
	s := &State{
		cluster:   c.Cluster,
		leaseTTL:  c.LeaseTTL,
		patience:  c.EjectPatience,
		minCopies: c.MinCopies,
		nextID:    1,
		parts:     make([]partition, c.Partitions),
		locks:     newLockTable(),
	}
	if s.leaseTTL == 0 {
		s.leaseTTL = leaseTTLNormal
	}
	if s.patience == 0 {
		s.patience = patienceNormal
	}
	for i := range s.parts {
		s.parts[i].MinCopies = 1
	}
	return s
}

// Epoch returns the number of the present view.
func (s *State) Epoch() uint64 { return s.epoch }

// Cluster returns the cluster's id.
func (s *State) Cluster() [16]byte { return s.cluster }

// View returns the present view. It is made once per epoch and never changes.
func (s *State) View() *ring.View {
	if s.view != nil {
		return s.view
	}
	v := &ring.View{
		Cluster:    s.cluster,
		Epoch:      s.epoch,
		LeaseTTL:   s.leaseTTL,
		MinCopies:  uint8(s.minCopies),
		Members:    make([]ring.Member, len(s.members)),
		Partitions: make([]ring.Partition, len(s.parts)),
	}
	for i := range s.members {
		v.Members[i] = s.members[i].Member
	}
	for i := range s.parts {
		v.Partitions[i] = s.parts[i].Partition
	}
	s.view = v
	return v
}

// MemberState is a member with what the view leader knows beyond the view.
type MemberState struct {
	ring.Member
	Instance uint64 // of the process that registered
	DownAt   int64  // unix ms; when it was last declared down, 0 while never
	Stays    bool   // down, but it still acts where another acting replica is up
}

// Members returns all members, sorted by id.
func (s *State) Members() []MemberState {
	stays := make(map[ring.ServerID]bool)
	for i := range s.parts {
		acting := s.parts[i].Acting
		if len(acting) < 2 || !s.anyUp(acting) {
			continue
		}
		for _, id := range acting {
			if !s.isUp(id) {
				stays[id] = true
			}
		}
	}
	out := make([]MemberState, len(s.members))
	for i := range s.members {
		m := &s.members[i]
		out[i] = MemberState{Member: m.Member, Instance: m.Instance, DownAt: m.DownAt, Stays: stays[m.ID]}
	}
	return out
}

func (s *State) member(id ring.ServerID) *member {
	i, ok := slices.BinarySearchFunc(s.members, id, func(m member, id ring.ServerID) int {
		return int(int64(m.ID) - int64(id))
	})
	if !ok {
		return nil
	}
	return &s.members[i]
}

// registered returns the member at exactly that incarnation, when it is up.
func (s *State) registered(in ring.Incarnated) (*member, error) {
	m := s.member(in.ID)
	switch {
	case m == nil:
		return nil, fmt.Errorf("%v is not a member", in.ID)
	case m.Incarnation != in.Incarnation:
		return nil, fmt.Errorf("%v is at incarnation %d, not %d", in.ID, m.Incarnation, in.Incarnation)
	case !m.Up:
		return nil, fmt.Errorf("%v is down", in.ID)
	}
	return m, nil
}

// ringMember is a member as views have it, or nil.
func (s *State) ringMember(id ring.ServerID) *ring.Member {
	if m := s.member(id); m != nil {
		return &m.Member
	}
	return nil
}

func (s *State) isUp(id ring.ServerID) bool {
	m := s.member(id)
	return m != nil && m.Up
}

func (s *State) anyUp(ids []ring.ServerID) bool { return slices.ContainsFunc(ids, s.isUp) }

// ringTable returns the targets that follow from the present members.
func (s *State) ringTable() (*ring.Table, error) {
	if s.table != nil {
		return s.table, nil
	}
	members := make([]ring.Member, len(s.members))
	for i := range s.members {
		members[i] = s.members[i].Member
	}
	t, err := ring.NewTable(members, len(s.parts))
	if err != nil {
		return nil, fmt.Errorf("build the ring: %w", err)
	}
	s.table = t
	return t, nil
}

// touch marks p as changed by the running batch: its term becomes the epoch
// that the batch makes.
func (s *State) touch(p *partition) {
	p.Term = s.epoch + 1
	s.dirty = true
}

// setActing replaces the acting replicas of p.
func (s *State) setActing(p *partition, acting []ring.ServerID) {
	p.Acting = acting
	s.touch(p)
}

// setWritable replaces W of p, keeping what is known of those that remain.
func (p *partition) setWritable(writable []ring.ServerID) {
	var tainted, ejected uint16
	for i, id := range writable {
		if p.marked(p.tainted, id) {
			tainted |= 1 << i
		}
		if p.marked(p.ejected, id) {
			ejected |= 1 << i
		}
	}
	p.Writable, p.tainted, p.ejected = writable, tainted, ejected
}

// actingIsWritable makes the acting replicas W.
func (p *partition) actingIsWritable() { p.Writable, p.tainted, p.ejected = p.Acting, 0, 0 }

// distrust keeps id from being restored, should it be in W.
func (p *partition) distrust(id ring.ServerID) {
	if i := slices.Index(p.Writable, id); i >= 0 {
		p.ejected |= 1 << i
	}
}

// marked reports whether id's bit is set among bits.
func (p *partition) marked(bits uint16, id ring.ServerID) bool {
	i := slices.Index(p.Writable, id)
	return i >= 0 && bits&(1<<i) != 0
}

// membersChanged notes that the view's members changed, and the ring with them
// when placement did.
func (s *State) membersChanged(placement bool) {
	s.dirty = true
	if placement {
		s.table = nil
	}
}

func without(ids []ring.ServerID, drop func(ring.ServerID) bool) []ring.ServerID {
	var kept []ring.ServerID
	for _, id := range ids {
		if !drop(id) {
			kept = append(kept, id)
		}
	}
	return kept
}

func withoutOne(ids []ring.ServerID, one ring.ServerID) []ring.ServerID {
	return without(ids, func(id ring.ServerID) bool { return id == one })
}

// check panics when s contradicts itself. It is cheap enough for every batch
// that changed the view.
func (s *State) check() {
	for i := range s.members {
		m := &s.members[i]
		invariant.Check(!m.Up || m.Status != ring.Out, "members", "%v is up and out", m.ID)
	}
	for i := range s.parts {
		p := &s.parts[i]
		invariant.Check(p.Term <= s.epoch, "term", "partition %d: term %d in epoch %d", i, p.Term, s.epoch)
		invariant.Check(p.MinCopies >= 1, "min-copies", "partition %d: 0", i)
		for _, id := range p.Acting {
			invariant.Check(s.member(id) != nil, "acting", "partition %d: %v is no member", i, id)
		}
	}
}
