package upkeep

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wire"
	"viewring/rebalance"
	"viewring/ring"
	"viewring/server/frame"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/viewleader/vocab"
)

// Mover lets rebalance.Mover drive the lanes' learners, and holds back their
// fetches as it says. The questions are what is paced: pages come when asked for.
type Mover struct {
	b      Base
	views  Views
	send   Send
	paused func() bool
	m      *rebalance.Mover
	wake   chan struct{} // capacity 1: fetches wait
	freed  chan struct{} // capacity 1: a transfer has given its place back
	page   atomic.Int64  // bytes of a page, lately
	pacer  pacer

	throttle struct {
		sync.Mutex // held while it is kept on the disk, so that the last one told is the last one kept
		at         store.Throttle
		flag       int64     // the rate that the server was started with
		by         string    // from where it was paused since the start; "": it was not
		since      time.Time // likewise zero
	}

	mu struct {
		sync.Mutex
		queue   []ring.PartitionID // in the order in which they came
		waiting map[ring.PartitionID]heldFetch
	}
}

// Send passes on messages to another server (link.Links).
type Send func(to ring.ServerID, messages *frame.Messages)

// heldFetch is an encoded Fetch, whom it asks, and for how many bytes at most.
type heldFetch struct {
	to    ring.ServerID
	bytes int
	buf   []byte
}

const (
	moverTickEvery = time.Second
	pageBytesGuess = 64 << 10 // of the first page
)

// NewMover returns a mover that copies in at most rate bytes/s (0: no limit) and begins nothing
// while paused says so.
func NewMover(b *Base, views Views, rate int64, send Send, paused func() bool) *Mover {
	m := &Mover{b: *b, views: views, send: send, paused: paused, wake: make(chan struct{}, 1), freed: make(chan struct{}, 1)}
	m.page.Store(pageBytesGuess)
	m.mu.waiting = make(map[ring.PartitionID]heldFetch)
	m.throttle.flag = rate
	m.throttle.at, _ = b.Store.Throttle()
	m.m = rebalance.NewMover(rebalance.Config{Self: b.Self, Rate: m.rate(), Clock: moverClock{b.Now}}, m)
	if m.throttle.at.Rated && rate != m.throttle.at.Rate {
		b.Logger.Info("the rate that was set last holds, not that of the flags ('viewring rebalance rate')", "rate", m.throttle.at.Rate, "flags", rate)
	}
	if m.throttle.at.Paused {
		m.m.Pause()
		b.Logger.Warn("the copying in of this server is paused: 'viewring rebalance resume' lets it go on")
	}
	return m
}

// moverClock is the server's clock, for the mover.
type moverClock struct{ now func() replica.Instant }

func (c moverClock) Now() time.Duration { return c.now().Mono }

// Learn implements rebalance.Learner.
func (m *Mover) Learn(p ring.PartitionID, source ring.ServerID) {
	m.b.Lanes.Learn(p, source)
}

// Run gives the mover each view once the lanes have it in their inboxes, until the server stops.
func (m *Mover) Run() {
	tick := time.NewTicker(moverTickEvery)
	defer tick.Stop()
	for {
		adopted := m.views.Next()
		v, table := m.views.Placement()
		if me := v.Member(m.b.Self); me != nil && me.Up && me.Status != ring.Draining && !m.paused() { // else the cores would not begin: wait for the view that says so
			m.m.Adopt(v, table)
		}
		select {
		case <-adopted:
		case <-m.freed: // Adopt has another take the place
		case <-tick.C:
			m.m.Tick()
		case <-m.b.Context.Done():
			return
		}
	}
}

// Fetch takes a fetch from a lane, which never waits for it. A partition has one
// in the queue: a later one takes the place of the one before.
func (m *Mover) Fetch(to ring.ServerID, msg *replica.Message) {
	msg.Bytes = min(msg.Bytes, m.m.PageBytes(to))
	f := heldFetch{to, int(msg.Bytes), replica.AppendMessage(frame.TakeBuffer(), msg)}
	m.mu.Lock()
	if old, ok := m.mu.waiting[msg.Partition]; ok {
		frame.GiveBuffer(old.buf)
	} else {
		m.mu.queue = append(m.mu.queue, msg.Partition)
	}
	m.mu.waiting[msg.Partition] = f
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default: // told already
	}
}

// asking is whom the fetch of a partition asks, and about how many bytes that brings.
type asking struct {
	partition ring.PartitionID
	to        ring.ServerID
	bytes     int
}

// line lists the fetches that wait: partitions that have lost copies come first, then who
// came first.
func (m *Mover) line() []asking {
	m.mu.Lock()
	line := make([]asking, 0, len(m.mu.queue))
	for _, p := range m.mu.queue {
		f := m.mu.waiting[p]
		line = append(line, asking{p, f.to, min(f.bytes, int(m.page.Load()))})
	}
	m.mu.Unlock()
	slices.SortStableFunc(line, func(a, b asking) int {
		return cmp.Compare(m.m.Urgency(b.partition), m.m.Urgency(a.partition))
	})
	return line
}

// takeFetch takes that of a partition, as it is now.
func (m *Mover) takeFetch(p ring.PartitionID) heldFetch {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.queue = slices.DeleteFunc(m.mu.queue, func(q ring.PartitionID) bool { return q == p })
	f := m.mu.waiting[p]
	delete(m.mu.waiting, p)
	return f
}

// RunFetches sends the fetches at the mover's pace, until the server stops.
func (m *Mover) RunFetches() {
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		wait, changed := m.sendFetches()
		var due <-chan time.Time // never, where nothing waits for time to pass
		if wait > 0 {
			again.Reset(wait)
			due = again.C
		}
		select {
		case <-due:
		case <-changed:
		case <-m.wake:
		case <-m.b.Context.Done():
			return
		}
	}
}

// sendFetches sends what may be sent, and returns what the others wait for: some time, and
// that something changes.
func (m *Mover) sendFetches() (next time.Duration, changed <-chan struct{}) {
	var held []ring.ServerID // who takes nothing now
	for _, a := range m.line() {
		if slices.Contains(held, a.to) {
			continue
		}
		wait, change := m.m.Take(a.partition, a.to, a.bytes)
		if wait == 0 {
			f := m.takeFetch(a.partition)
			m.send(f.to, frame.MessagesIn(f.buf, 1))
			continue
		}
		held, changed = append(held, a.to), change
		if wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	return next, changed
}

// Arrived notes a page, and what its source says that it can take.
func (m *Mover) Arrived(from ring.ServerID, msg *replica.Message) {
	n := itemBytes(msg)
	m.pacer.in.Add(uint64(n))
	m.m.Hear(from, msg.Bytes)
	m.m.Copied(msg.Partition, n)
	m.page.Store((m.page.Load()*7 + int64(n)) / 8) // off by a page where links race: no harm
}

// Whole notes that a partition's copy has everything. Lanes call it, so another transfer
// is begun by Run: it may wait for a lane.
func (m *Mover) Whole(p ring.PartitionID) {
	if !m.m.Whole(p) {
		return // each acknowledgement of a whole copy says so again
	}
	select {
	case m.freed <- struct{}{}:
	default: // told already
	}
}

// rate is the one that holds. The caller holds throttle.
func (m *Mover) rate() int64 {
	if m.throttle.at.Rated {
		return m.throttle.at.Rate
	}
	return m.throttle.flag
}

// ChangeThrottle changes what holds the copying back, in one step with the look at what it
// is; it is durable when this returns. by is from where it is changed.
func (m *Mover) ChangeThrottle(by string, change func(*store.Throttle)) error {
	m.throttle.Lock()
	defer m.throttle.Unlock()
	before, t := m.throttle.at, m.throttle.at
	if change(&t); t == before {
		return nil
	}
	if err := m.b.Store.SetThrottle(t); err != nil {
		return err
	}
	m.throttle.at = t
	m.m.SetRate(m.rate())
	switch {
	case t.Paused && !before.Paused:
		m.throttle.by, m.throttle.since = by, time.UnixMilli(m.b.Now().Wall)
		m.m.Pause()
	case before.Paused && !t.Paused:
		m.throttle.by, m.throttle.since = "", time.Time{}
		m.m.Resume()
	}
	m.b.Logger.Info("the copying in of this server is set", "paused", t.Paused, "rate", m.rate())
	return nil
}

// Progress is how the copying in goes.
func (m *Mover) Progress() wire.RebalanceReport {
	m.throttle.Lock()
	paused, rate := m.throttle.at.Paused, m.rate()
	m.throttle.Unlock()
	p := m.m.Progress()
	return wire.RebalanceReport{Paused: paused, Limit: uint64(rate), Left: uint64(p.Left), Running: uint64(p.Running),
		Bytes: p.Bytes, Rate: p.Rate, LeftBytes: p.LeftBytes, TimeLeft: p.TimeLeft}
}

// Waiting is what the copying in waits for.
func (m *Mover) Waiting() wire.RebalanceWaiting {
	p := m.m.Progress()
	r := wire.RebalanceWaiting{Done: uint64(p.StretchDone), DoneBytes: p.StretchBytes}
	m.throttle.Lock()
	r.PausedBy, r.PausedAt = m.throttle.by, m.throttle.since
	m.throttle.Unlock()
	for _, w := range m.waits(&p) {
		r.Waits = append(r.Waits, wire.RebalanceWait{Why: uint8(w.Why), On: w.On, Copies: uint64(w.Copies), Partition: w.One, For: w.For})
	}
	return r
}

// waits is why copies do not come. While the disk is full nothing begins.
func (m *Mover) waits(p *rebalance.Progress) []rebalance.Wait {
	if m.paused() && p.Left > 0 && !p.Paused {
		return []rebalance.Wait{{Why: rebalance.WhyFull, Copies: p.Left}}
	}
	return m.m.Waits(func(p ring.PartitionID) bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		_, held := m.mu.waiting[p]
		return held
	})
}

// Moved is what rebalance.Mover says of it.
func (m *Mover) Moved() rebalance.Progress { return m.m.Progress() }

// Report adds what the heartbeat tells of the moving.
func (m *Mover) Report(t *vocab.ServerStats) {
	p := m.m.Progress()
	t.Left, t.LeftBytes, t.Rate = uint32(p.Left), p.LeftBytes, p.Rate
	t.MoveDone, t.MoveDoneBytes, t.MoveSeen, t.MoveLimit = uint64(p.StretchDone), p.StretchBytes, p.Seen, uint64(p.Limit)
	t.MoveAllowed, t.MoveHeld = p.Allowed.Rate, uint64(p.Allowed.By)
	for i, w := range m.waits(&p) {
		if t.Waiting += uint64(w.Copies); i == 0 {
			t.WaitingWhy, t.WaitingOn, t.WaitingSeconds = uint64(w.Why), uint64(w.On), uint64(w.For.Seconds())
		}
	}
}
