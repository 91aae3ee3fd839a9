package upkeep

import (
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

// heldFetch is an encoded Fetch and whom it asks.
type heldFetch struct {
	to  ring.ServerID
	buf []byte
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

func (c moverClock) Now() time.Duration                     { return c.now().Mono }
func (c moverClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

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
	f := heldFetch{to, replica.AppendMessage(frame.TakeBuffer(), msg)}
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

// queueLength is how many fetches wait.
func (m *Mover) queueLength() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.queue)
}

// takeFetch takes the first in the queue, as it is now.
func (m *Mover) takeFetch() heldFetch {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.mu.queue[0]
	m.mu.queue = m.mu.queue[1:]
	f := m.mu.waiting[p]
	delete(m.mu.waiting, p)
	return f
}

// RunFetches sends the fetches at the mover's pace, until the server stops.
func (m *Mover) RunFetches() {
	for {
		select {
		case <-m.wake:
		case <-m.b.Context.Done():
			return
		}
		for m.queueLength() > 0 {
			if m.m.Admit(m.b.Context, int(m.page.Load())) != nil {
				return
			}
			f := m.takeFetch()
			m.send(f.to, frame.MessagesIn(f.buf, 1))
		}
	}
}

// Arrived notes a page.
func (m *Mover) Arrived(msg *replica.Message) {
	n := 0
	for i := range msg.Items {
		n += len(msg.Items[i].Key) + len(msg.Items[i].Item)
	}
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
	for i, w := range m.waits(&p) {
		if t.Waiting += uint64(w.Copies); i == 0 {
			t.WaitingWhy, t.WaitingOn, t.WaitingSeconds = uint64(w.Why), uint64(w.On), uint64(w.For.Seconds())
		}
	}
}
