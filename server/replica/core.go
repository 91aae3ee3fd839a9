package replica

import (
	"fmt"
	"time"

	"viewring/ring"
)

// Bounds and timeouts of the core.
const (
	historyMax       = 64              // terms kept in a partition's history
	indexRowsMax     = 8192            // rows kept in a partition's change index
	indexTrimEvery   = 1024            // entries between two trims
	indexKeysMax     = 64 << 10        // a trim comes earlier once the rows have so many keys
	indexBytesMin    = 8 << 10         // rows of so many bytes are kept, however small the partition is
	indexShare       = 16              // the rows may take a sixteenth of what the partition takes
	indexPieces      = 4               // the rows that are kept are counted in so many pieces
	deltaBytesMax    = 8 << 20         // of a delta's rows
	windowBytesMax   = 4 << 20         // entries not yet committed, beyond which writes queue
	windowKeptMax    = 16 << 20        // entries kept for a slow learner
	stageBytesMax    = 32 << 20        // a delta staged in memory
	pageBytesNormal  = 512 << 10       // items of a page
	fetchKeysMax     = 512             // keys asked for in one Fetch
	nameShare        = 8               // a name counts an eighth of its length toward the limit of a page of keys that were asked for
	queueMax         = 4096            // requests waiting in one partition
	queueTTL         = 2 * time.Second // that a request waits for its partition to serve
	writeTTL         = 5 * time.Second // then a sequenced write answers "unknown"
	resendAfter      = 250 * time.Millisecond
	resendsMax       = 3               // doublings of resendAfter
	ejectAfter       = 2 * time.Second // a backup that stays silent so long is ejected …
	slowBytesPerSec  = 4 << 20         // … plus what its unacknowledged entries may take
	handoffEvery     = 100 * time.Millisecond
	askAfter         = 200 * time.Millisecond
	recordTTL        = 15 * time.Minute
	bornAheadMax     = time.Hour // that a client's clock may run ahead
	recordGCEvery    = 5 * time.Second
	recordGCMax      = 256  // records collected by one entry
	recordAgeMax     = 4096 // records looked at for their age at a time
	commitSaveAfter  = time.Second
	noticeAfter      = 100 * time.Millisecond // without an append that tells followers the commit
	heldPagesMax     = 16
	strayAskEvery    = 500 * time.Millisecond
	learnRetryAfter  = 500 * time.Millisecond
	learnRetryMax    = 8 * time.Second // the interval between retries of one fetch doubles up to this
	learnerKeepAlive = 200 * time.Millisecond
)

// Config is what a core is told once.
type Config struct {
	Self          ring.ServerID
	Incarnation   uint64
	Lane, Lanes   int  // this core has the partitions with id % Lanes == Lane
	Fresh         bool // the store was made in this start: no promise was given before
	ValueBytesMax int  // a longer value is refused

	// PageBytesMax bounds the items of a page to a learner; 0 = 512 KiB.
	PageBytesMax uint64
	// PageRoom returns memory for the items of a page, or nil; they come back as Message.Room. nil: no memory.
	PageRoom func() []byte

	Limits Limits // zero: the defaults

	// LeaseSeen is the longest L that this store's server ever had: a promise
	// given before the start may run so long.
	LeaseSeen time.Duration
}

// Core keeps the partitions of one lane: it has what they share, and each part has the
// rest. It is not safe for concurrent use.
type Core struct {
	cfg       Config
	st        Storage
	now       Instant       // of the call under way
	startedAt time.Duration // of this process, see startWaited
	err       error         // the first failure of the storage

	view  *ring.View // nil before the first. Invariant: its epoch only grows (I6)
	table *ring.Table
	parts []*part // index: id / Lanes. Invariant: each that the view has; those of an earlier, longer view stay
	peers map[ring.ServerID]*peer

	// The batch being filled, and those handed out.
	batch   *Batch            // nil when empty
	overlay map[itemID][]byte // what batch does to items, not yet in st
	number  uint64            // of the last batch begun
	dirty   []*part           // whose meta goes into batch. Invariant: those with their flag dirty
	marks   []mark            // of batches not yet durable. Invariant: in the order of their numbers

	// What the next Ready hands out.
	out    Ready
	sizes  sizes
	toSend []*part // primaries with entries to send. Invariant: those with their flag sending

	confirms     map[uint64]*part // by token: questions to the view leader without an answer
	confirmToken uint64           // of the last one
	nonces       uint64           // of this start, see nextNonce
	deferred     []deferredFetch  // until batch is visible in st

	feeding   bool // somebody wants to be told of all changes
	draining  bool // the view wants this server to retire
	full      bool // the disk nearly is
	fullSince time.Duration
	turns     []turn // partitions that change hands. Invariant: at most turnsMax

	// Primaries ask to be replaced at the first tick of each handoffEvery, those of all
	// servers whose clocks agree together: each view costs every server a sync and a look
	// at all partitions.
	handoffsDue   bool          // in that tick
	handoffEvery  time.Duration // see SetHandoffEvery
	handoffPeriod int64         // in which the last tick was

	// Since the start, for Stats.
	moved   struct{ full, delta, keys, mismatches uint64 }
	corrupt struct{ found, repaired, lost uint64 }
}

type itemID struct {
	p   ring.PartitionID
	key Key
}

// peer is what a lane knows of another server.
type peer struct {
	promise Promise
	done    uint64
	clock   clock
}

// NewCore returns a core with the partitions that st has. It serves nothing
// before its first view.
func NewCore(cfg Config, st Storage, at Instant) (*Core, error) {
	if cfg.PageBytesMax == 0 {
		cfg.PageBytesMax = pageBytesNormal
	}
	cfg.Limits = cfg.Limits.orDefault()
	c := &Core{
		cfg: cfg, st: st, now: at, startedAt: at.Mono,
		peers:    make(map[ring.ServerID]*peer),
		overlay:  make(map[itemID][]byte),
		confirms: make(map[uint64]*part), handoffEvery: handoffEvery,
	}
	if err := c.loadMetas(); err != nil {
		return nil, fmt.Errorf("load partitions of lane %d: %w", cfg.Lane, err)
	}
	return c, nil
}

// Err returns the storage failure after which the core must not be used, or nil.
func (c *Core) Err() error { return c.err }

func (c *Core) fail(op string, err error) {
	if c.err == nil && err != nil {
		c.err = fmt.Errorf("%s: %w", op, err)
	}
}

// partAt returns the lane's partition with that id, made if need be.
func (c *Core) partAt(id ring.PartitionID) *part {
	i := int(id) / c.cfg.Lanes
	for len(c.parts) <= i {
		c.parts = append(c.parts, newPart(c, ring.PartitionID(len(c.parts)*c.cfg.Lanes+c.cfg.Lane)))
	}
	return c.parts[i]
}

// part returns the lane's partition with that id, or nil when a message names
// one that the view does not have.
func (c *Core) part(id ring.PartitionID) *part {
	if c.view == nil || int(id) >= len(c.view.Partitions) || int(id)%c.cfg.Lanes != c.cfg.Lane {
		return nil
	}
	return c.parts[int(id)/c.cfg.Lanes]
}

func (c *Core) peer(id ring.ServerID) *peer {
	q := c.peers[id]
	if q == nil {
		q = &peer{}
		c.peers[id] = q
	}
	return q
}

// Promised notes a promise that a ping brought.
func (c *Core) Promised(at Instant, pr Promise) {
	c.enter(at)
	q := c.peer(pr.From)
	q.noteClock(&pr)
	if pr.Epoch < q.promise.Epoch || pr.Epoch == q.promise.Epoch && pr.Until < q.promise.Until {
		return // overtaken on the way
	}
	q.promise = pr
}

// PeerDone notes that from serves no term below done any more.
func (c *Core) PeerDone(at Instant, from ring.ServerID, done uint64) {
	c.enter(at)
	q := c.peer(from)
	if done <= q.done {
		return
	}
	q.done = done
	for _, p := range c.parts {
		if _, held := p.holds[from]; held && done >= p.term {
			delete(p.holds, from)
			if p.lead != nil {
				p.lead.tryActivate()
			}
		}
	}
}

// Step handles a partition's message from another server.
func (c *Core) Step(at Instant, from ring.ServerID, m *Message) {
	c.enter(at)
	p := c.part(m.Partition)
	if p == nil || from == c.cfg.Self {
		return
	}
	if m.Term != p.term {
		return // I6: of a term that is over, or of one whose view is still to come
	}
	switch m.Type {
	case MsgState, MsgAck, MsgSubscribe, MsgStray:
		if p.lead != nil {
			p.lead.step(from, m)
		}
	case MsgSubscribed, MsgPage:
		if p.learn != nil {
			p.learn.step(from, m)
		}
	case MsgRepairAsk, MsgRepair:
		p.repairer.step(from, m)
	default:
		p.step(from, m)
	}
}

func (c *Core) answer(a Answer) { c.out.Answers = grow(c.out.Answers, c.sizes.answers, a) }

// op adds an operation to the batch being filled.
func (c *Core) op(o StoreOp) {
	if c.batch == nil {
		c.number++
		c.batch = &Batch{Number: c.number}
	}
	c.batch.Ops = grow(c.batch.Ops, c.sizes.ops, o)
}

// Ready returns what there is to do since the last call; false when nothing.
func (c *Core) Ready() (Ready, bool) {
	for _, p := range c.toSend {
		p.sending = false
		if p.lead != nil {
			p.lead.sendEntries()
		}
	}
	c.toSend = c.toSend[:0]
	for _, p := range c.dirty {
		p.flushMeta()
	}
	c.dirty = c.dirty[:0]
	r := c.out
	r.Batch = c.batch
	c.out = Ready{}
	c.sizes.note(&r)
	c.batch = nil
	clear(c.overlay)
	ok := r.Batch != nil || r.Send != nil || r.Reads != nil || r.Watched != nil || r.Fed != nil || r.Answers != nil || r.ToLeader != nil || r.Stops != nil
	return r, ok
}

// sizes are how long the lists of the last Ready that had any were: the next are
// likely to be as long, and are made so at once.
type sizes struct{ ops, send, reads, answers int }

// sizesMax bounds what is made before it is needed.
const sizesMax = 4096

func (s *sizes) note(r *Ready) {
	update := func(size *int, n int) {
		if n > 0 {
			*size = min(n, sizesMax)
		}
	}
	if r.Batch != nil {
		update(&s.ops, len(r.Batch.Ops))
	}
	update(&s.send, len(r.Send))
	update(&s.reads, len(r.Reads))
	update(&s.answers, len(r.Answers))
}

// grow is append for a list that was usually so long.
func grow[T any](list []T, usual int, one T) []T {
	if list == nil {
		list = make([]T, 0, max(usual, 1))
	}
	return append(list, one)
}

// Synced notes that batch number, and all before it, are durable.
func (c *Core) Synced(at Instant, number uint64) {
	c.enter(at)
	i := 0
	for ; i < len(c.marks) && c.marks[i].number <= number; i++ {
		c.marks[i].p.onDurable(c.marks[i])
	}
	c.marks = append(c.marks[:0], c.marks[i:]...)
}
