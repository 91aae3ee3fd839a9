package server

import (
	"sync"
	"sync/atomic"
	"time"

	"viewring/rebalance"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/vocab"
)

// mover lets rebalance.Mover drive the lanes' learners, and holds back their
// fetches as it says. The questions are what is paced: pages come when asked for.
type mover struct {
	s     *Server
	m     *rebalance.Mover
	wake  chan struct{} // capacity 1: fetches wait
	freed chan struct{} // capacity 1: a transfer has given its place back
	page  atomic.Int64  // bytes of a page, lately

	mu struct {
		sync.Mutex
		line    []ring.PartitionID // in the order in which they came
		waiting map[ring.PartitionID]heldFetch
	}
}

// heldFetch is an encoded Fetch and whom it asks.
type heldFetch struct {
	to  ring.ServerID
	buf []byte
}

const (
	moverTickEvery = time.Second
	pageBytesGuess = 64 << 10 // of the first page
)

func newMover(s *Server) *mover {
	m := &mover{s: s, wake: make(chan struct{}, 1), freed: make(chan struct{}, 1)}
	m.page.Store(pageBytesGuess)
	m.mu.waiting = make(map[ring.PartitionID]heldFetch)
	m.m = rebalance.NewMover(rebalance.Config{Self: s.id, Rate: s.opts.RebalanceRate, Clock: moverClock{s}}, m)
	return m
}

// moverClock is the server's clock, for the mover.
type moverClock struct{ s *Server }

func (c moverClock) Now() time.Duration                     { return c.s.opts.Now().Mono }
func (c moverClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Learn implements rebalance.Learner.
func (m *mover) Learn(p ring.PartitionID, source ring.ServerID) {
	m.s.laneOf(p).inbox.put(event{kind: onLearn, partition: p, from: source})
}

// run gives the mover each view once the lanes have it in their inboxes.
func (m *mover) run() {
	tick := time.NewTicker(moverTickEvery)
	defer tick.Stop()
	for {
		adopted := m.s.views.next()
		k := m.s.views.current()
		if me := k.view.Member(m.s.id); me != nil && me.Up && me.Standing != ring.Draining && !m.s.full.Load() { // else the cores would not begin: wait for the view that says so
			m.m.Adopt(k.view, k.table)
		}
		select {
		case <-adopted:
		case <-tick.C:
			m.m.Tick()
		case <-m.freed: // Adopt has another take the place
		case <-m.s.ctx.Done():
			return
		}
	}
}

// fetch takes a fetch from a lane, which never waits for it. A partition has one
// in the line: a later one takes the place of the one before.
func (m *mover) fetch(to ring.ServerID, msg *replica.Message) {
	f := heldFetch{to, replica.AppendMessage(takeBuffer(), msg)}
	m.mu.Lock()
	if old, ok := m.mu.waiting[msg.Partition]; ok {
		giveBuffer(old.buf)
	} else {
		m.mu.line = append(m.mu.line, msg.Partition)
	}
	m.mu.waiting[msg.Partition] = f
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default: // told already
	}
}

// lineLength is how many fetches wait.
func (m *mover) lineLength() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.line)
}

// takeFetch takes the first in the line, as it is now.
func (m *mover) takeFetch() heldFetch {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.mu.line[0]
	m.mu.line = m.mu.line[1:]
	f := m.mu.waiting[p]
	delete(m.mu.waiting, p)
	return f
}

// runFetches sends the fetches at the mover's pace.
func (m *mover) runFetches() {
	for {
		select {
		case <-m.wake:
		case <-m.s.ctx.Done():
			return
		}
		for m.lineLength() > 0 {
			if m.m.Admit(m.s.ctx, int(m.page.Load())) != nil {
				return
			}
			f := m.takeFetch()
			m.s.peers.send(f.to, f.buf, 1)
		}
	}
}

// arrived notes a page.
func (m *mover) arrived(msg *replica.Message) {
	n := 0
	for i := range msg.Items {
		n += len(msg.Items[i].Key) + len(msg.Items[i].Item)
	}
	m.m.Copied(msg.Partition, n)
	m.page.Store((m.page.Load()*7 + int64(n)) / 8) // off by a page where links race: no harm
}

// whole notes that a partition's copy has everything. Lanes call it, so another
// transfer is begun by run: it may wait for a lane.
func (m *mover) whole(p ring.PartitionID) {
	m.m.Whole(p)
	select {
	case m.freed <- struct{}{}:
	default: // told already
	}
}

// report adds what the heartbeat tells of the moving.
func (m *mover) report(t *vocab.ServerStats) {
	p := m.m.Progress()
	t.Left, t.LeftBytes, t.Rate = uint32(p.Left), p.LeftBytes, p.Rate
}
