package sim

import (
	"container/heap"
	"fmt"
	"hash"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/roster"
)

const (
	lanes      = 2
	partitions = 4
	leaseTTL   = 600 * time.Millisecond
	quietAt    = 20 * time.Second // faults and clients end
	deadline   = 60 * time.Second // by then everything must have converged
)

// tight limits are met all the time: half of the worlds have them.
var tight = replica.Limits{IndexRows: 12, IndexTrimEvery: 4, FlightBytes: 150, KeptBytes: 500, StageBytes: 1500,
	RecordTTL: 1500 * time.Millisecond, RecordGCEvery: 300 * time.Millisecond}

// Options say what a run is like. The zero value is the default mix.
type Options struct {
	Bugs    replica.Bugs
	Trace   bool
	Servers int // 0: the seed decides

	// Drive makes a server's drive; nil: one of maps.
	Drive func() drive
}

func (o *Options) drive() drive {
	if o.Drive == nil {
		return newMapDrive()
	}
	return o.Drive()
}

// event is something that happens at a time; seq breaks ties in the order of
// scheduling.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type events []event

func (h events) Len() int { return len(h) }
func (h events) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h events) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *events) Push(x any)   { *h = append(*h, x.(event)) }
func (h *events) Pop() any {
	old := *h
	e := old[len(old)-1]
	*h = old[:len(old)-1]
	return e
}

// world is one simulated cluster with its clients.
type world struct {
	seed    uint64
	opt     Options
	rng     *rand.Rand
	now     time.Duration
	queue   events
	seq     uint64
	leader  *leader
	servers []*server
	clients []*client
	quiet   bool // faults are over
	settled bool // and everything has come right

	cut     map[link]bool // links that lose everything
	slow    map[link]bool // links that take long, and longer for some
	lossy   bool
	limits  replica.Limits
	serving map[reign]ring.ServerID
	newest  [partitions]uint64 // the highest term that was served
	trace   hash.Hash64
	log     []string
	Counts  map[string]int
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
		trace: fnv.New64a(), Counts: make(map[string]int),
	}
	w.leader = &leader{w: w, up: true, heard: make(map[ring.ServerID]time.Duration), state: roster.New(roster.Config{
		Cluster: [16]byte{1}, Partitions: partitions, MinCopies: 2, LeaseTTL: leaseTTL})}
	if w.chance(0.5) {
		w.limits = tight
	}
	n := opt.Servers
	if n == 0 {
		n = 1 + w.rng.IntN(5)
	}
	for range n {
		w.addServer()
	}
	return w
}

// after runs do once d has passed.
func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.queue, event{at: w.now + d, seq: w.seq, do: do})
}

// between draws a duration, mostly near lo.
func (w *world) between(lo, hi time.Duration) time.Duration {
	f := w.rng.Float64()
	return lo + time.Duration(f*f*f*float64(hi-lo))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

func (w *world) count(what string) { w.Counts[what]++ }

// note adds a line to the run's trace: always to its hash, and to the readable
// log when that is wanted.
func (w *world) note(format string, args ...any) {
	if w.opt.Trace {
		line := fmt.Sprintf("%10.4fs ", w.now.Seconds()) + fmt.Sprintf(format, args...)
		w.log = append(w.log, line)
		_, _ = w.trace.Write([]byte(line))
		return
	}
	var b [8]byte
	v := uint64(w.now)
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	_, _ = w.trace.Write(b[:])
	_, _ = w.trace.Write([]byte(format))
}

// deliver carries something from one process to another, as the network
// pleases: late, twice, or not at all.
func (w *world) deliver(from, to ring.ServerID, do func()) {
	if w.cut[link{from, to}] {
		w.count("cut")
		return
	}
	loss, twice := 0.0, 0.0
	if w.lossy && !w.quiet {
		loss, twice = 0.03, 0.03
	}
	if w.chance(loss) {
		w.count("lost")
		return
	}
	pace := w.between(100*time.Microsecond, 8*time.Millisecond)
	if w.slow[link{from, to}] {
		pace = w.between(10*time.Millisecond, 1500*time.Millisecond)
	}
	w.after(pace, do)
	if w.chance(twice) {
		w.count("duplicated")
		w.after(w.between(time.Millisecond, 300*time.Millisecond), do)
	}
}

// run plays the world until it has converged after the faults, or its deadline.
func (w *world) run() {
	w.schedule()
	for len(w.queue) > 0 && w.now < deadline {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
}

// schedule starts everything.
func (w *world) schedule() {
	w.after(0, w.leader.watch)
	for _, s := range w.servers {
		w.after(w.between(0, 50*time.Millisecond), s.start)
	}
	for i := range 4 {
		c := newClient(w, byte(i+1))
		w.clients = append(w.clients, c)
		w.after(w.between(0, 100*time.Millisecond), c.next)
	}
	faults := 5 + w.rng.IntN(10)
	for range faults {
		w.after(time.Duration(w.rng.Int64N(int64(quietAt))), w.fault)
	}
	w.after(quietAt, w.calm)
}
