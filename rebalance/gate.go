package rebalance

import (
	"math"
	"slices"
	"sync"
	"time"

	"viewring/ring"
)

// Clock is the time as a Mover sees it: monotonic, from any origin.
type Clock interface{ Now() time.Duration }

// burst is how much unused rate is kept.
const burst = 100 * time.Millisecond

// strangerRate is the rate, in bytes/s, at which a source is asked that has not said yet what it can take.
const strangerRate = 4 << 20

// bucket is a token bucket of bytes. It goes into debt by one page and lets nothing through
// until that is paid, so that a page may be larger than the burst.
type bucket struct {
	rate   float64 // bytes/s; 0: no limit
	tokens float64 // bytes
	at     time.Duration
}

// refill adds what has come in since the last look.
func (b *bucket) refill(now time.Duration) {
	b.tokens += b.rate * (now - b.at).Seconds()
	b.tokens = min(b.tokens, b.rate*burst.Seconds())
	b.at = now
}

// set changes the rate. What was lent at another rate is paid for at the new one.
func (b *bucket) set(now time.Duration, rate float64) {
	b.refill(now)
	b.rate = rate
}

// wait is how long nothing passes.
func (b *bucket) wait(now time.Duration) time.Duration {
	if b.refill(now); b.rate == 0 || b.tokens >= 0 {
		return 0
	}
	return max(time.Duration(-b.tokens/b.rate*float64(time.Second)), time.Millisecond)
}

// take takes bytes. Without a limit nothing is lent: one that is set later starts even.
func (b *bucket) take(bytes float64) {
	if b.tokens -= bytes; b.rate == 0 {
		b.tokens = 0
	}
}

// gate lets fetches pass: at the rate that an operator has set, at that which this server's
// clients leave, and for each source at that which the source says.
type gate struct {
	clock Clock
	mu    struct {
		sync.Mutex
		paused  bool
		set     bucket
		own     bucket
		sources map[ring.ServerID]*bucket
		changed chan struct{} // closed when more may pass than was said
	}
}

func newGate(clock Clock, rate int64) *gate {
	g := &gate{clock: clock}
	g.mu.set = bucket{rate: float64(max(rate, 0)), at: clock.Now()}
	g.mu.own.at = clock.Now()
	g.mu.sources = make(map[ring.ServerID]*bucket)
	g.mu.changed = make(chan struct{})
	return g
}

// change lets set change one of the settings, and nobody else one meanwhile.
func (g *gate) change(set func(now time.Duration)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	set(g.clock.Now())
	close(g.mu.changed)
	g.mu.changed = make(chan struct{})
}

func (g *gate) setRate(rate int64) {
	g.change(func(now time.Duration) { g.mu.set.set(now, float64(max(rate, 0))) })
}

func (g *gate) setPaused(paused bool) {
	g.change(func(time.Duration) { g.mu.paused = paused })
}

func (g *gate) setOwn(rate uint64) {
	g.change(func(now time.Duration) { g.mu.own.set(now, float64(rate)) })
}

// hear notes what a source can take; 0: any rate.
func (g *gate) hear(source ring.ServerID, rate uint64) {
	g.mu.Lock()
	known := g.mu.sources[source] != nil && g.mu.sources[source].rate == float64(rate)
	g.mu.Unlock()
	if !known {
		g.change(func(now time.Duration) { g.source(now, source).set(now, float64(rate)) })
	}
}

// source is that of a server. The caller holds mu.
func (g *gate) source(now time.Duration, id ring.ServerID) *bucket {
	b := g.mu.sources[id]
	if b == nil {
		b = &bucket{rate: strangerRate, at: now}
		g.mu.sources[id] = b
	}
	return b
}

// roomy returns those of some sources that can take at least half as much as any of them.
func (g *gate) roomy(sources []ring.ServerID) []ring.ServerID {
	g.mu.Lock()
	defer g.mu.Unlock()
	rate := func(id ring.ServerID) float64 {
		if b := g.mu.sources[id]; b != nil && b.rate > 0 {
			return b.rate
		}
		return math.Inf(1) // any, or it has not said
	}
	most := 0.0
	for _, id := range sources {
		most = max(most, rate(id))
	}
	return slices.DeleteFunc(slices.Clone(sources), func(id ring.ServerID) bool { return rate(id) < most/2 })
}

// keep forgets all sources but some.
func (g *gate) keep(member func(ring.ServerID) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id := range g.mu.sources {
		if !member(id) {
			delete(g.mu.sources, id)
		}
	}
}

func (g *gate) paused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.paused
}

// rate is what an operator has set.
func (g *gate) rate() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int64(g.mu.set.rate)
}

// smallest is the lowest of the rates by which a source is asked; 0: any.
func (g *gate) smallest(source ring.ServerID) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	rate := 0.0
	for _, b := range []*bucket{&g.mu.set, &g.mu.own, g.source(g.clock.Now(), source)} {
		if b.rate > 0 && (rate == 0 || b.rate < rate) {
			rate = b.rate
		}
	}
	return rate
}

// take takes bytes of a source, or says how long to wait first: 0 when they are taken, below 0
// until something changes. What is urgent counts that many times less, but for what an operator
// has set.
func (g *gate) take(source ring.ServerID, bytes int, urgency float64) (wait time.Duration, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.paused {
		return -1, g.mu.changed
	}
	now := g.clock.Now()
	from := g.source(now, source)
	if wait = max(g.mu.set.wait(now), g.mu.own.wait(now), from.wait(now)); wait > 0 {
		return wait, g.mu.changed
	}
	g.mu.set.take(float64(bytes))
	g.mu.own.take(float64(bytes) / urgency)
	from.take(float64(bytes) / urgency)
	return 0, nil
}

// Allowed is at what rate a server may copy in, and who holds it back.
type Allowed struct {
	Rate uint64 // bytes/s; 0: any
	By   By
}

// By is who holds the copying in back. The numbers go over the wire: never use one again.
type By uint8

// Who holds it back.
const (
	ByNobody  By = 0
	ByRate    By = 1 // an operator, by a rate
	ByOwn     By = 2 // the clients of the server itself
	BySources By = 3 // the clients of those that it copies from
)

// allowed is what may be copied in from the sources that are asked, together.
func (g *gate) allowed(sources map[ring.ServerID]bool) Allowed {
	g.mu.Lock()
	defer g.mu.Unlock()
	var a Allowed
	less := func(rate float64, by By) {
		if rate > 0 && (a.Rate == 0 || uint64(rate) < a.Rate) {
			a = Allowed{Rate: uint64(rate), By: by}
		}
	}
	less(g.mu.set.rate, ByRate)
	less(g.mu.own.rate, ByOwn)
	sum := 0.0
	for id, asked := range sources {
		if b := g.mu.sources[id]; asked && (b == nil || b.rate == 0) {
			return a
		} else if asked {
			sum += b.rate
		}
	}
	less(sum, BySources)
	return a
}
