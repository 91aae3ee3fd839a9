package upkeep

import (
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wire"
	"viewring/rebalance"
	"viewring/ring"
	"viewring/server/replica"
)

// learnsFor is for how long a server that has asked for a page counts as one that copies from
// here.
const learnsFor = 2 * time.Second

// pacer keeps how fast this server may copy while it has clients, and who copies from it.
type pacer struct {
	in, out atomic.Uint64 // bytes copied since the start

	mu       sync.Mutex
	pace     rebalance.Pace                  // guarded by mu
	rate     uint64                          // at which others may copy from here; likewise
	own      uint64                          // at which this server may copy in; likewise
	in0      uint64                          // what in and out were at the sample before; likewise
	out0     uint64                          // likewise
	learners map[ring.ServerID]time.Duration // when they last had a page; likewise
}

// Sample is how clients fared since the sample before; Op are commands of theirs.
type (
	Sample = rebalance.Sample
	Op     = rebalance.Op
)

// Observe takes the next sample of how clients fare, which need not say what was copied.
func (m *Mover) Observe(s *Sample) {
	c := &m.pacer
	c.mu.Lock()
	in, out := c.in.Load(), c.out.Load()
	s.In, s.Out = in-c.in0, out-c.out0
	c.in0, c.out0 = in, out
	c.pace.Observe(s)
	before := c.own
	c.rate, c.own = c.pace.Out(), c.pace.In()
	own := c.own
	c.mu.Unlock()
	if own != before {
		m.m.SetOwn(own)
	}
}

// Paged notes a page that a lane is about to send, and has it say at what rate its receiver
// may ask for more. Builds of before leave that at 0, and do not look at it.
func (m *Mover) Paged(to ring.ServerID, page *replica.Message) {
	now, c := m.b.Now().Mono, &m.pacer
	c.out.Add(uint64(itemBytes(page)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.learners == nil {
		c.learners = make(map[ring.ServerID]time.Duration)
	}
	c.learners[to] = now
	page.Bytes = c.rate / uint64(c.countLearners(now))
}

// countLearners forgets who copies no more. The caller holds mu.
func (c *pacer) countLearners(now time.Duration) int {
	for id, at := range c.learners {
		if now-at > learnsFor {
			delete(c.learners, id)
		}
	}
	return max(1, len(c.learners))
}

// Copying reports whether something is copied to this server, or was lately from it.
func (m *Mover) Copying() bool {
	c := &m.pacer
	c.mu.Lock()
	c.countLearners(m.b.Now().Mono)
	gives := len(c.learners) > 0
	c.mu.Unlock()
	return gives || m.m.Progress().Left > 0
}

// handoffEveryHeld is how often acting sets change for what was copied, while copying is held
// back for clients. Copies are then made one by one, and each view costs every server and client
// a look at all partitions, and servers a sync: views would be most of what copying costs.
const handoffEveryHeld = 500 * time.Millisecond

// HandoffEvery is how often handoffs should be asked for that nobody waits for; 0: as usual.
func (m *Mover) HandoffEvery() time.Duration {
	if m.m.Sole() {
		return 0 // of a partition that has one copy left another counts as soon as can be
	}
	c := &m.pacer
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.countLearners(m.b.Now().Mono); c.rate == 0 || len(c.learners) == 0 {
		return 0
	}
	return handoffEveryHeld
}

// Pacing is how fast this server may copy now.
func (m *Mover) Pacing() wire.RebalancePacing {
	a := m.m.Progress().Allowed
	c := &m.pacer
	c.mu.Lock()
	defer c.mu.Unlock()
	c.countLearners(m.b.Now().Mono)
	return wire.RebalancePacing{Allowed: a.Rate, By: uint8(a.By), Gives: c.rate, Learners: uint64(len(c.learners))}
}

// itemBytes is how much a page brings.
func itemBytes(page *replica.Message) (n int) {
	for i := range page.Items {
		n += len(page.Items[i].Key) + len(page.Items[i].Item)
	}
	return n
}
