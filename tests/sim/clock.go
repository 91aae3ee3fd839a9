package sim

import (
	"math"
	"time"

	"viewring/server/replica"
)

// epoch0 is the true time at which every world begins, in unix milliseconds.
const epoch0 = 1_000_000_000_000

// wall is the true time; clients live by it, nearly.
func (w *world) wall() int64 { return epoch0 + w.now.Milliseconds() }

// clock is a server's: a monotonic one that runs at its own rate, and a wall clock
// that may be set.
type clock struct {
	base  time.Duration // monotonic, at since
	since time.Duration // true time of the last change of rate
	rate  float64
	off   []setting // how far the wall clock is ahead, in ms, since when
}

type setting struct {
	from time.Duration
	off  int64
}

const (
	rateMin = 0.9 // what the protocol allows
	rateMax = 1.1
)

func (c *clock) mono(now time.Duration) time.Duration {
	return c.base + time.Duration(float64(now-c.since)*c.rate)
}

func (c *clock) setRate(now time.Duration, rate float64) {
	c.base, c.since, c.rate = c.mono(now), now, rate
}

func (c *clock) wall(now time.Duration) int64 {
	return epoch0 + now.Milliseconds() + c.off[len(c.off)-1].off
}

func (c *clock) setWall(now time.Duration, off int64) { c.off = append(c.off, setting{now, off}) }

// wrong reports whether a clock was set wrong.
func (s setting) wrong() bool { return max(s.off, -s.off) > 1000 }

func (c *clock) wrong() bool { return c.off[len(c.off)-1].wrong() }

// reached reports whether the wall clock showed t at some moment until then; strict
// is to leave out the times when it was wrong.
func (c *clock) reached(t int64, until time.Duration, strict bool) bool {
	for i, s := range c.off {
		end := until
		if i+1 < len(c.off) {
			end = min(end, c.off[i+1].from)
		}
		if strict && s.wrong() {
			continue
		}
		if s.from <= until && epoch0+end.Milliseconds()+s.off >= t {
			return true
		}
	}
	return false
}

// sane draws how far a healthy wall clock is off, in ms.
func (w *world) sane() int64 { return int64(w.rng.IntN(400)) - 200 }

// mayExpire implements times: the clock of some server has reached expiry. One
// that is wrong does not count where its server can tell.
func (w *world) mayExpire(expiry int64, by time.Duration) bool {
	if by == never {
		by = w.now
	}
	for _, s := range w.servers {
		if s.clock.reached(expiry, by, w.strict) {
			return true
		}
	}
	return false
}

// mustExpire implements times: all servers are well, agree on the time and are past
// expiry. Before that one may not know whether its own clock is the one to trust.
func (w *world) mustExpire(expiry int64, since time.Duration) bool {
	return w.convergedAt > 0 && since >= w.convergedAt && epoch0+since.Milliseconds() > expiry+1000
}

// wrongClocks counts the servers whose wall clock is wrong; where none of them can
// tell, for it is the only one that is up, or because they are many, the run is
// not strict about who may let a key expire.
func (w *world) wrongClocks() {
	wrong, up := 0, 0
	for _, s := range w.servers {
		if s.clock.wrong() {
			wrong++
		}
	}
	for _, m := range w.leader.state.View().Members {
		if m.Up {
			up++
		}
	}
	if wrong > 1 || wrong == 1 && up < 2 {
		w.strict = false
	}
}

// clockSlack is what the time that a primary reckons a time to live from may be off
// the clocks of all servers, in ms: it goes by the median of what it heard of the
// others where its own is more than a second off.
const clockSlack = 1200

// clockHeardMax is for how long a primary goes by what it heard of another's clock: 3 s
// by its own monotonic one.
const clockHeardMax = 4 * time.Second

// expiryOf implements times. Relative to when a primary took the request up: to
// some server's clock between the call and the answer, or somewhat before.
func (w *world) expiryOf(r *record) span {
	if r.in.ttl == 0 {
		return at(r.in.expiry)
	}
	end := min(r.done, w.now)
	var lo, hi int64
	for _, s := range w.servers {
		l, h := s.clock.offIn(r.call-clockHeardMax, end)
		lo, hi = min(lo, l), max(hi, h)
	}
	from, to := epoch0+r.call.Milliseconds()+lo, epoch0+end.Milliseconds()+hi
	return span{max(1, from+r.in.ttl-clockSlack), max(1, to+r.in.ttl+clockSlack)}
}

// offIn is how far a wall clock was ahead in a time, at least and at most.
func (c *clock) offIn(from, to time.Duration) (lo, hi int64) {
	lo, hi = math.MaxInt64, math.MinInt64
	for i, s := range c.off {
		if s.from <= to && (i+1 == len(c.off) || c.off[i+1].from >= from) {
			lo, hi = min(lo, s.off), max(hi, s.off)
		}
	}
	if lo > hi {
		return 0, 0 // it was not there yet
	}
	return lo, hi
}

const sweepEvery = 500 * time.Millisecond

// sweep tells a server's lanes which keys are past their expiry by its clock, and at
// times one that is not: the core looks again.
func (s *server) sweep() {
	s.later(s.w.between(sweepEvery/2, sweepEvery), s.sweep)
	eager := int64(0)
	if s.w.chance(0.1) {
		eager = 1000
	}
	for _, name := range hotKeys {
		if !expires(name) {
			continue
		}
		key, p := userKey(name), s.w.partitionOf(name)
		item, err := s.disk.Get(p, key)
		if err != nil || item == nil {
			continue
		}
		if e := replica.ItemExpiry(item); e != 0 && e <= s.instant().Wall+eager {
			s.w.count("swept keys")
			s.lanes[int(p)%lanes].post(func(at replica.Instant, c *replica.Core) { c.Expire(at, p, key) })
		}
	}
}
