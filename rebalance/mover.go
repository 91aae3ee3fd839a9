package rebalance

import (
	"slices"
	"sync"
	"time"

	"viewring/ring"
)

// Defaults and bounds of a Mover.
const (
	ParallelDefault = 32               // transfers going on at once
	stallAfter      = 10 * time.Second // without a byte a transfer gives its place to another
)

// Learner is what a Mover drives: the part of a server that copies.
type Learner interface {
	// Learn starts copying p from a source, or changes the source of a copying
	// that goes on. A call that comes too late is ignored.
	Learn(p ring.PartitionID, source ring.ServerID)
}

// Config is what a Mover needs to know.
type Config struct {
	Self     ring.ServerID
	Parallel int   // transfers at once; 0 means ParallelDefault
	Rate     int64 // bytes/s; 0 means no limit
	Clock    Clock
}

// Mover moves in what one server lacks. Its methods may be called from any
// goroutine; it has none of its own.
type Mover struct {
	cfg     Config
	learner Learner
	gate    *gate

	mu struct {
		sync.Mutex
		view    *ring.View
		table   *ring.Table
		wanted  []Transfer // what the view has missing here
		sole    bool       // some partition has one copy left
		running map[ring.PartitionID]*transfer
		left    int
		meter   meter
	}
}

// transfer is one that was started and has not ended.
type transfer struct {
	source ring.ServerID
	bytes  uint64
	moved  time.Duration // when it was started or last brought something
	whole  bool          // nothing is left to copy: it waits, since moved, for the view that lets the copy act
	asked  time.Duration // when Learn was last called
}

// order is a call of Learn to be made once mu is free.
type order struct {
	partition ring.PartitionID
	source    ring.ServerID
}

// NewMover makes a Mover without a view: it does nothing until Adopt.
func NewMover(cfg Config, learner Learner) *Mover {
	if cfg.Parallel <= 0 {
		cfg.Parallel = ParallelDefault
	}
	m := &Mover{cfg: cfg, learner: learner, gate: newGate(cfg.Clock, cfg.Rate)}
	m.mu.running = make(map[ring.PartitionID]*transfer)
	return m
}

// Adopt takes a view and its table once the server's lanes have adopted it. Transfers that the
// view no longer wants are dropped, the others go on, from another source if the old one has
// gone, and new ones start.
func (m *Mover) Adopt(v *ring.View, t *ring.Table) {
	m.mu.Lock()
	if m.mu.view == nil || v != m.mu.view && v.Epoch >= m.mu.view.Epoch {
		m.mu.view, m.mu.table = v, t
		m.mu.wanted, m.mu.sole = missing(v, t, m.cfg.Self), sole(v, t)
		m.gate.keep(func(id ring.ServerID) bool { return v.Member(id) != nil })
	}
	orders := m.step()
	m.mu.Unlock()
	m.give(orders)
}

// Tick lets transfers that have stalled try another source and give their places
// to others. Call it every second or so.
func (m *Mover) Tick() {
	m.mu.Lock()
	orders := m.step()
	m.mu.Unlock()
	m.give(orders)
}

// give calls the learner without mu: it may wait for one who calls Copied.
func (m *Mover) give(orders []order) {
	for _, o := range orders {
		m.learner.Learn(o.partition, o.source)
	}
}

// step starts and drops transfers as the view asks for. The caller holds mu.
func (m *Mover) step() (orders []order) {
	if m.mu.view == nil {
		return nil
	}
	now := m.cfg.Clock.Now()
	wanted := m.mu.wanted
	m.mu.left = len(wanted)
	m.mu.meter.lacks(now, len(wanted) > 0)
	paused := m.gate.paused()
	still := make(map[ring.PartitionID]*transfer, len(m.mu.running))
	busy := 0
	for i := range wanted {
		p := wanted[i].Partition
		tr := m.mu.running[p]
		if tr == nil {
			continue
		}
		still[p] = tr
		stalled := now-tr.moved >= stallAfter && !paused
		if !stalled && !tr.whole {
			busy++
		}
		if !m.mu.view.Partitions[p].IsActing(tr.source) || stalled && now-tr.asked >= stallAfter {
			orders = append(orders, m.start(p, tr, now))
		}
	}
	m.note(now, still)
	m.mu.running = still
	for i := 0; i < len(wanted) && busy < m.cfg.Parallel && !paused; i++ {
		p := wanted[i].Partition
		if still[p] == nil {
			still[p] = &transfer{moved: now}
			orders = append(orders, m.start(p, still[p], now))
			busy++
		}
	}
	return orders
}

// note counts the transfers that have ended with a copy that acts.
func (m *Mover) note(now time.Duration, still map[ring.PartitionID]*transfer) {
	for p, tr := range m.mu.running {
		if still[p] == nil && m.mu.view.Partitions[p].IsActing(m.cfg.Self) {
			m.mu.meter.finish(now, tr.bytes)
		}
	}
}

// start chooses a source: of those that can take most the nearest, but not the one that has
// just failed while there is another.
func (m *Mover) start(p ring.PartitionID, tr *transfer, now time.Duration) order {
	acting := m.mu.view.Partitions[p].Acting
	if len(acting) > 1 && tr.source != 0 {
		acting = slices.DeleteFunc(slices.Clone(acting), func(id ring.ServerID) bool { return id == tr.source })
	}
	tr.source = m.mu.table.Neighbour(p, m.cfg.Self, m.gate.roomy(acting))
	tr.asked, tr.whole = now, false
	return order{p, tr.source}
}

// Take asks whether the next page of p may be asked of a source now: it may where wait is 0.
// Else wait is for how long it may not, unless something changes before; below 0 only that
// helps. bytes is about what the page will bring.
func (m *Mover) Take(p ring.PartitionID, source ring.ServerID, bytes int) (wait time.Duration, changed <-chan struct{}) {
	return m.gate.take(source, bytes, m.Urgency(p))
}

// Urgency is how many times less the pages of p count, in what is left to copying by clients,
// than those of a partition that has all its copies elsewhere.
func (m *Mover) Urgency(p ring.PartitionID) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.view == nil || int(p) >= len(m.mu.view.Partitions) {
		return 1
	}
	switch n := len(m.mu.view.Partitions[p].Acting); {
	case n <= 1:
		return urgencyOfOne
	case n < len(m.mu.table.Targets(p)):
		return urgencyOfFew
	}
	return 1
}

// Sole reports whether some partition has one copy left: who makes the others should not wait.
func (m *Mover) Sole() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.sole
}

// sole reports whether some partition has one acting replica, and should have more.
func sole(v *ring.View, t *ring.Table) bool {
	for i := range v.Partitions {
		if len(v.Partitions[i].Acting) == 1 && len(t.Targets(ring.PartitionID(i))) > 1 {
			return true
		}
	}
	return false
}

// How much more a partition is copied of which copies are lost: all but one, or some.
const (
	urgencyOfOne = 4
	urgencyOfFew = 2
)

// PageBytes is how long the pages of a source should be: what is held back comes in short ones,
// for while a page is read and written the clients of its lane wait.
func (m *Mover) PageBytes(source ring.ServerID) uint64 {
	rate := m.gate.smallest(source)
	if rate == 0 {
		return pageMost
	}
	return uint64(min(max(rate/pagesPerSecond, pageLeast), pageMost))
}

const (
	pagesPerSecond = 16
	pageLeast      = 64 << 10
	pageMost       = 512 << 10
)

// Hear notes what rate a source can take, in bytes/s; 0: any.
func (m *Mover) Hear(source ring.ServerID, rate uint64) { m.gate.hear(source, rate) }

// SetOwn sets the rate that this server's clients leave, in bytes/s; 0: any.
func (m *Mover) SetOwn(rate uint64) { m.gate.setOwn(rate) }

// Copied notes that a page of p has arrived.
func (m *Mover) Copied(p ring.PartitionID, bytes int) {
	now := m.cfg.Clock.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.meter.add(now, uint64(bytes))
	if tr := m.mu.running[p]; tr != nil {
		tr.bytes += uint64(bytes)
		tr.moved, tr.whole = now, false
	}
}

// Whole notes that all of p has been copied: its place goes to another transfer at the
// next Tick, for until the view lets the copy act there is nothing to do. It reports whether
// that is news. It starts nothing itself, so that whom the learner may wait for can call it.
func (m *Mover) Whole(p ring.PartitionID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	tr := m.mu.running[p]
	if tr == nil || tr.whole {
		return false
	}
	tr.whole, tr.moved = true, m.cfg.Clock.Now()
	return true
}

// Pause holds transfers back at their next page and starts no others.
func (m *Mover) Pause() { m.gate.setPaused(true) }

// Resume ends a Pause.
func (m *Mover) Resume() {
	m.gate.setPaused(false)
	now := m.cfg.Clock.Now()
	m.mu.Lock()
	for _, tr := range m.mu.running {
		tr.moved = now // what stood still did so for us
	}
	m.mu.Unlock()
	m.Tick()
}

// SetRate changes the limit, in bytes/s; 0 means none.
func (m *Mover) SetRate(rate int64) { m.gate.setRate(rate) }

// Progress tells how far the server is.
func (m *Mover) Progress() Progress {
	now := m.cfg.Clock.Now()
	paused, limit := m.gate.paused(), m.gate.rate()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.mu.meter.progress(now, m.mu.left)
	if p.Left > 0 && !paused {
		p.Allowed = m.allowed()
	}
	p.Running, p.Paused, p.Limit = len(m.mu.running), paused, limit
	for _, tr := range m.mu.running {
		p.LeftBytes -= min(tr.bytes, p.LeftBytes)
	}
	return p
}

// allowed is at what rate the server may copy in now. The caller holds mu.
func (m *Mover) allowed() Allowed {
	sources := make(map[ring.ServerID]bool) // whether something is asked of them
	for _, tr := range m.mu.running {
		sources[tr.source] = sources[tr.source] || !tr.whole
	}
	return m.gate.allowed(sources)
}
