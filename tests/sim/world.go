package sim

import (
	"cmp"
	"math/rand/v2"
	"time"

	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/roster"
)

// lossChance is how many worlds have an operator who gives partitions up. Retries that
// come long after are left out there: the records go with the partition.
const lossChance = 0.15

const (
	lanes     = 2
	leaseTTL  = 600 * time.Millisecond
	quietAt   = 20 * time.Second // faults and clients end, once there were enough of them
	faultsMin = 5
	opsMin    = 300
	deadline  = 60 * time.Second // by then everything must have converged
)

// tight limits are met all the time: half of the worlds have them.
var tight = replica.Limits{IndexRows: 12, IndexTrimEvery: 4, FlightBytes: 150, KeptBytes: 500, StageBytes: 1500, WatchRows: 3,
	RecordTTL: 1500 * time.Millisecond, RecordGCEvery: 300 * time.Millisecond}

// Options say what a run is like. The zero value is the default mix.
type Options struct {
	Trace   bool
	Servers int // 0: the seed decides

	// Loss has an operator give partitions up. Without it, few worlds have one.
	Loss bool

	// Ruin has the view leader lose its data. Without it, some worlds have that.
	Ruin     bool
	Recovery RecoveryBug // how the view leader is recovered when it has lost its data

	// Planned has nothing happen but what operators plan, on slow disks and a slow network.
	Planned bool
	// Placed has operators change weights and zones all the time, beside all else.
	Placed bool

	// Walkers are the clients of the tree of paths; 0: the seed decides.
	Walkers int

	// Lockers are the clients of locks; 0: few.
	Lockers int
	Rule    sessionRule

	// Drive makes a server's drive; nil: one of maps.
	Drive func() drive
}

func (o *Options) drive() drive {
	if o.Drive == nil {
		return newMapDrive()
	}
	return o.Drive()
}

// world is one simulated cluster with its clients.
type world struct {
	seed      uint64
	opt       Options
	rng       *rand.Rand
	now       time.Duration
	queue     queue
	leader    *leader
	servers   []*server
	clients   []*client
	calm      bool // faults are over
	quiet     bool // clients, too
	converged bool // and everything has come right
	faults    int  // that happened
	done      int  // operations whose outcome is known
	calmAt    time.Duration

	convergedAt time.Duration

	// What the seed decides for the whole run.
	partitions int
	valueMax   int
	clocks     bool // wall clocks are set wrong, now and then
	strict     bool // who can tell that its wall clock is wrong lets no key expire
	flips      bool // disks flip bits

	cut        map[link]bool // links that lose everything
	slow       map[link]bool // links that take long, and longer for some
	lossy      bool
	crowd      crowd
	ambush     ambush
	drains     int // that operators asked for
	locks      locks
	lockHead   *lockHead
	watching   *watching
	loss       *loss                     // nil: all that was acknowledged is kept
	recoveries int                       // how often the view leader lost its data
	rolled     map[ring.PartitionID]bool // some acting replica's disk was rolled back
	forsaken   map[ring.PartitionID]bool // the last recovery found nobody acting
	helps      []help                    // by partition
	weights    []int                     // of the kinds of faults
	limits     replica.Limits
	serving    map[reign]ring.ServerID
	newest     []uint64          // by partition: the highest term that was served
	acked      []replica.Version // by partition: the last acknowledged write
	agreed     []uint64          // by partition: the highest seq that was seen committed by enough copies
	history    []*record
	tree       forest
	sequenced  map[requestName]bool // requests that reached a log
	arrived    map[requestName]int  // how often a server was asked
	trace      uint64               // hash of everything that happened
	log        []line
	Counts     map[string]int
}

type link struct{ from, to ring.ServerID } // 0 stands for the view leader

// outside stands for the clients: partitions between servers do not touch them,
// so they find the old primary as well as the new one.
const outside = ring.ServerID(1 << 30)

// reign is a partition's term: it has one primary at most (I1).
type reign struct {
	p    ring.PartitionID
	term uint64
}

func newWorld(seed uint64, opt Options) *world {
	w := &world{
		seed: seed, opt: opt, rng: rand.New(rand.NewPCG(seed, 0x76696577)),
		cut: make(map[link]bool), slow: make(map[link]bool), serving: make(map[reign]ring.ServerID),
		ambush: ambush{held: make(map[reign]time.Duration)},
		Counts: make(map[string]int), sequenced: make(map[requestName]bool), arrived: make(map[requestName]int),
	}
	w.crowd.begin(w)
	w.pickWeights()
	if opt.Loss || !opt.Planned && w.chance(lossChance) {
		w.loss = &loss{w: w}
	}
	n := w.size()
	w.newest, w.acked = make([]uint64, w.partitions), make([]replica.Version, w.partitions)
	w.rolled, w.forsaken = make(map[ring.PartitionID]bool), make(map[ring.PartitionID]bool)
	w.locks.noted = make([]note, w.partitions)
	w.agreed, w.helps = make([]uint64, w.partitions), make([]help, w.partitions)
	w.leader = &leader{w: w, up: true, heard: make(map[ring.ServerID]time.Duration),
		tables: make(map[uint64]*ring.Table), views: make(map[uint64]*ring.View), state: roster.New(roster.Config{
			Cluster: [16]byte{1}, Partitions: w.partitions, MinCopies: 2, LeaseTTL: leaseTTL})}
	if w.chance(0.5) {
		w.limits = tight
	}
	w.lockHead = newLockHead(w, cmp.Or(opt.Lockers, lockersFew))
	w.watching = newWatching(w)
	w.clocks = (w.chance(0.3) || w.clocks) && !opt.Planned
	w.strict = w.clocks && w.chance(0.7)
	w.valueMax = 1 << 20
	if w.chance(0.2) {
		w.valueMax = 40
	}
	for range n {
		w.addServer()
	}
	return w
}

// size draws how many servers there are, and partitions to match: there are never
// more members than partitions.
func (w *world) size() int {
	n := w.opt.Servers
	if w.loss != nil && n == 0 {
		n = 4 + w.rng.IntN(2)
	}
	if n == 0 {
		n = []int{1, 2, 3, 3, 3, 3, 4, 4, 4, 5, 5, 6}[w.rng.IntN(12)]
		if w.chance(0.04) {
			n = 7 + w.rng.IntN(6)
		}
	}
	w.partitions = 4
	for w.partitions < n {
		w.partitions *= 2
	}
	return n
}

// after runs do once d has passed.
func (w *world) after(d time.Duration, do func()) { w.queue.push(w.now+d, event{do: do}) }

// between draws a duration, mostly near lo.
func (w *world) between(lo, hi time.Duration) time.Duration {
	f := w.rng.Float64()
	return lo + time.Duration(f*f*f*float64(hi-lo))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

func (w *world) count(what string) { w.Counts[what]++ }

// deliver carries something from one process to another, as the network
// pleases: late, twice, or not at all.
func (w *world) deliver(from, to ring.ServerID, do func()) { w.deliverLate(0, from, to, do) }

// deliverLate carries something that is on its way for late longer than usual.
func (w *world) deliverLate(late time.Duration, from, to ring.ServerID, do func()) {
	if w.cut[link{from, to}] {
		w.count("cut")
		return
	}
	loss, twice := 0.0, 0.0
	if w.lossy && !w.calm {
		loss, twice = 0.03, 0.03
	}
	if w.chance(loss) {
		w.count("lost")
		return
	}
	pace := w.between(100*time.Microsecond, 8*time.Millisecond)
	if w.slow[link{from, to}] {
		pace = w.between(10*time.Millisecond, w.slowest(1500*time.Millisecond))
	}
	w.after(late+pace, do)
	if w.chance(twice) {
		w.count("duplicated")
		w.after(w.between(time.Millisecond, 300*time.Millisecond), do)
	}
}

// run plays the world until it has converged after the faults, or its deadline.
func (w *world) run() {
	w.schedule()
	for w.queue.len() > 0 && w.now < deadline {
		at, seq, e := w.queue.pop()
		if e.s != nil {
			if e.s.life != e.life || !e.s.alive {
				continue
			}
			if e.s.paused {
				e.s.stalled = append(e.s.stalled, e.do)
				continue
			}
		}
		w.now = at
		w.mix(uint64(at))
		w.mix(seq)
		e.do()
	}
}

// schedule starts everything.
func (w *world) schedule() {
	w.after(0, w.leader.watch)
	w.after(equalEvery, w.compare)
	w.lockHead.schedule()
	w.watching.schedule()
	for _, s := range w.servers {
		w.after(w.between(0, 50*time.Millisecond), s.start)
	}
	for i := range stubbornID {
		c := newClient(w, byte(i+1))
		w.clients = append(w.clients, c)
		w.after(w.between(0, 100*time.Millisecond), c.next)
	}
	w.plantTree()
	for range faultsMin + w.rng.IntN(10) {
		w.after(time.Duration(w.rng.Int64N(int64(quietAt-time.Second))), w.fault)
	}
	if w.loss != nil {
		w.loss.schedule()
	}
	w.scheduleRecoveries()
	w.after(quietAt, w.calmDown)
}
