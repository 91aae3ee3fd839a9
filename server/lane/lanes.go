package lane

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/replica"
)

// Bounds and intervals of a lane.
const (
	busyTickEvery = 25 * time.Millisecond
	calmTickEvery = 150 * time.Millisecond // of a lane to which nothing came
	calmAfter     = 3 * time.Second        // for so long
	eventsMax     = 16 << 10               // waiting, beyond which connections and links wait
	gatherMax     = time.Millisecond       // that a lane waits for a sync before its next batch
	commitsMax    = 64                     // batches not yet durable, beyond which it waits
	bulkMax       = 4 << 10                // pages, and wishes for some, that wait for their round
)

// DrainMax is how many events a lane takes between two batches.
const DrainMax = 1024

// Call is a client's request on its way through a lane and back. The lane has it from Put
// until Complete. The methods but Look are called in the lane's turn and must not wait.
type Call interface {
	// ToRead returns what is asked, where the call is a read and no write.
	ToRead() (r Read, isRead bool)
	// ToWrite returns the write, of which the lane sets the token.
	ToWrite() *replica.Request
	// Look returns what a call of Looked does with the core: where that has an answer, it is the
	// call's. Else the call is carried out as one of Asked.
	Look() func(*replica.Core) (a replica.Answer, ok bool)
	// Complete takes the answer. From then on the call is its client's.
	Complete(a replica.Answer)
	// Client is who is told once a round that calls are complete.
	Client() Client
}

// Read is what a client wants to read.
type Read struct {
	Partition ring.PartitionID
	Key       replica.Key
	Cut       replica.Cut // which part of the value; nil: all
}

// Client is told that some of its calls are complete. Clients are compared by ==.
type Client interface{ Notify() }

// Store is what lanes read and write. store.Store is one.
type Store interface {
	replica.Storage
	// ApplyBatch writes a batch. It can be read at once; wait returns when it is durable.
	// An error ends the server.
	ApplyBatch(b *replica.Batch) (wait func() error, err error)
}

// Outward is where what lanes do goes to. Everything is called in a lane's turn, but for
// Fail, and waits for no lane.
type Outward struct {
	Peers  Peers
	Mover  Mover
	Leader Leader

	Fed     func(fed []replica.Fed)     // what was committed, while there is a feed
	Stopped func(stops []time.Duration) // of partitions that are served again

	Storing func(b *replica.Batch) // before a batch is applied
	Stored  func(b *replica.Batch) // after that
	Fail    func(err error)        // the server can't go on
}

// Peers are the other servers.
type Peers interface {
	// Send passes on messages, which are not the lane's any more. They may be lost.
	Send(to ring.ServerID, messages *frame.Messages)
	// ServesFrom is told that this server serves no term from before a view.
	ServesFrom(v *ring.View)
}

// Mover holds back what learners ask for, and is told when they have all of it. It says with
// each page that others are sent how fast they may ask for more.
type Mover interface {
	Fetch(to ring.ServerID, m *replica.Message)
	Paged(to ring.ServerID, page *replica.Message)
	Whole(p ring.PartitionID)
	// HandoffEvery is how often primaries should ask to be replaced; 0: as cores see fit.
	HandoffEvery() time.Duration
}

// Leader passes requests on to the view leader; Confirmed brings the answer where one is due.
type Leader interface {
	Ask(lane int, requests []replica.LeaderRequest)
}

// Config of a server's lanes.
type Config struct {
	Self          ring.ServerID
	Incarnation   uint64
	Lanes         int
	Fresh         bool          // the store was empty
	ValueBytesMax int           // of what operations may make
	LeaseSeen     time.Duration // the longest lease that this server may have promised
	Store         Store
	ItemBytes     func() int64           // that one lane may keep now; any goroutine calls it
	Now           func() replica.Instant // likewise
}

// Lanes are all of a server, by their numbers. They are what the rest of the server sees of
// the cores. Any goroutine may call their methods; those that say so may wait.
type Lanes []*Lane

// Default is a number of lanes that leaves cores for the network and the store.
func Default() int { return max(1, min(8, runtime.GOMAXPROCS(0)/2)) }

// New makes lanes, which take events from then on, and do nothing before their
// goroutines run (Begin). The error
// says what could not be read.
func New(c *Config) (Lanes, error) {
	all := make(Lanes, c.Lanes)
	for i := range all {
		items := newItemCache(c.Store, c.ItemBytes())
		core, err := replica.NewCore(replica.Config{
			Self: c.Self, Incarnation: c.Incarnation,
			Lane: i, Lanes: c.Lanes, Fresh: c.Fresh, ValueBytesMax: c.ValueBytesMax,
			LeaseSeen: c.LeaseSeen, PageRoom: frame.TakeRoom,
		}, items, c.Now())
		if err != nil {
			return nil, fmt.Errorf("start lane %d: %w", i, err)
		}
		items.serves = core
		l := &Lane{
			now: c.Now, store: c.Store, itemBytes: c.ItemBytes, number: i, all: all,
			inbox: newInbox(), core: core, items: items,
			commits: make(chan commit, commitsMax),
			synced:  make(chan struct{}, 1),
			sending: make(map[ring.ServerID]*frame.Messages),
			watches: make(map[uint64]Watcher),
		}
		l.stats.Store(&replica.Stats{})
		l.movedAt.Store(int64(c.Now().Mono))
		all[i] = l
	}
	return all, nil
}

// Begin says where what the lanes do goes to, and returns what their goroutines run until ctx
// ends. It is called once.
func (ls Lanes) Begin(ctx context.Context, out Outward) (run []func()) {
	for _, l := range ls {
		l.ctx, l.out = ctx, out
		run = append(run, l.run, l.runCommits)
	}
	return run
}

// Index is the number of a partition's lane.
func (ls Lanes) Index(p ring.PartitionID) int { return int(p) % len(ls) }

// Count is how many lanes there are.
func (ls Lanes) Count() int { return len(ls) }

// Put adds events to a lane's in their order. It waits while too many are there.
func (ls Lanes) Put(lane int, events ...Event) { ls[lane].inbox.put(events...) }

// Of returns a partition's lane.
func (ls Lanes) Of(p ring.PartitionID) *Lane { return ls[ls.Index(p)] }

// Done returns the epoch that all lanes have adopted.
func (ls Lanes) Done() uint64 {
	epoch := ls[0].epoch.Load()
	for _, l := range ls[1:] {
		epoch = min(epoch, l.epoch.Load())
	}
	return epoch
}

// Stalled returns a lane that has not moved for longer than after, or -1.
func (ls Lanes) Stalled(after time.Duration) int {
	now := ls[0].now().Mono
	for i, l := range ls {
		if now-l.LastRound() > after {
			return i
		}
	}
	return -1
}

// ItemBytes are those of the items that are kept, as of the lanes' last ticks.
func (ls Lanes) ItemBytes() (n int64) {
	for _, l := range ls {
		n += l.kept.Load()
	}
	return n
}

// Looks is how often an item was looked for since the start, and how often it was in memory,
// as of the lanes' last ticks.
func (ls Lanes) Looks() (all, found uint64) {
	for _, l := range ls {
		found += l.finds.Load() // before all, which is no less
		all += l.looks.Load()
	}
	return all, found
}

// Adopt gives a view to all lanes, with the promises that the server had given before
// (replica.Node.Raise). What they are given later they find after it.
func (ls Lanes) Adopt(v *ring.View, table *ring.Table, promised map[ring.ServerID]time.Duration) {
	a := &adoption{view: v, table: table, promised: promised}
	for _, l := range ls {
		l.inbox.force(Event{kind: onView, adoption: a})
	}
}

// SetFull says whether the disk nearly is.
func (ls Lanes) SetFull(full bool) {
	for _, l := range ls {
		l.inbox.force(Event{kind: onFull, ok: full})
	}
}

// Confirmed answers a lane's question to the view leader (replica.AskConfirm).
func (ls Lanes) Confirmed(lane int, token uint64, ok bool) {
	ls[lane].inbox.force(Event{kind: onConfirmed, n: token, ok: ok})
}

// Learn has a learner copy a partition from a source. It may wait.
func (ls Lanes) Learn(p ring.PartitionID, source ring.ServerID) {
	ls.Of(p).inbox.put(Event{kind: onLearn, partition: p, from: source})
}

// Expired has the core look at keys that may be past their expiry. It may wait.
func (ls Lanes) Expired(p ring.PartitionID, keys []replica.Key) {
	ls.Of(p).inbox.put(Event{kind: onExpired, found: &found{partition: p, keys: keys}})
}

// Corrupt has the core repair keys whose items fail their checksums; none stands for a range
// that can't be read. It may wait.
func (ls Lanes) Corrupt(p ring.PartitionID, keys ...replica.Key) {
	ls.Of(p).inbox.put(Event{kind: onCorrupt, found: &found{partition: p, keys: keys}})
}

// Stats returns what the core counted, as of the last tick. Nobody changes it.
func (l *Lane) Stats() *replica.Stats { return l.stats.Load() }

// LastRound returns when the last round was, by the monotonic clock.
func (l *Lane) LastRound() time.Duration { return time.Duration(l.movedAt.Load()) }

// InTurn calls fn, for tests, with the core and with how many bytes of items may be kept,
// in the lane's turn: the lane stands still meanwhile.
func (l *Lane) InTurn(fn func(core *replica.Core, itemBytesMax int64)) {
	l.turn.Lock()
	defer l.turn.Unlock()
	fn(l.core, int64(l.items.limit))
}
