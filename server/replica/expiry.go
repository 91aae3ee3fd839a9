package replica

import (
	"slices"
	"time"

	"viewring/ring"
)

// Time to live. An item is past its expiry by the primary's wall clock, and only
// there: the primary logs a delete, and "absent" is answered when that delete is
// committed (hole 18). Replicas never expire alone, so a new primary whose clock
// lags cannot bring back what was said to be gone. A clock that disagrees with
// the other servers' expires nothing: what it would delete reads as alive.
const (
	clockOffMax       = time.Second            // off the median of the servers' clocks
	clockRoundTripMax = 500 * time.Millisecond // a slower answer says too little of the clock
	clockKeptMin      = 3 * time.Second        // a measurement of a clock counts for so long, or for L if that is longer
)

// clock is what a lane knows of another server's wall clock.
type clock struct {
	base       int64         // what it shows at instant 0 of our monotonic clock, unix ms; 0 = unknown
	measuredAt time.Duration // by our monotonic clock
}

// noteClock keeps what a promise said of its giver's clock.
func (q *peer) noteClock(pr *Promise) {
	if pr.ClockBase != 0 && pr.MeasuredAt >= q.clock.measuredAt {
		q.clock = clock{base: pr.ClockBase, measuredAt: pr.MeasuredAt}
	}
}

// forgetClocks drops the clocks of servers that the view has no longer up.
func (c *Core) forgetClocks() {
	for id, q := range c.peers {
		if m := c.view.Member(id); m == nil || !m.Up {
			q.clock = clock{}
		}
	}
}

// clockSane reports whether this server's wall clock is within clockOffMax of the
// median of all that are up. It must know more than half of them, itself
// included: a server that is cut off cannot tell whether it jumped. Clocks are
// compared by way of the monotonic clock, so a jump of our own shows at once.
func (c *Core) clockSane() bool {
	offsets, up := c.clockOffsets()
	if 2*len(offsets) <= up {
		return false
	}
	// Of an even number the two in the middle count half each: where two camps of
	// clocks are equally large, neither can know that it is right.
	median := (offsets[(len(offsets)-1)/2] + offsets[len(offsets)/2]) / 2
	return max(median, -median) <= clockOffMax.Milliseconds()
}

// clockOffsets returns, in order, how far the clocks that are known are ahead of
// this server's, in ms, its own 0 included; and how many servers are up.
func (c *Core) clockOffsets() (offsets []int64, up int) {
	up, offsets = 1, []int64{0}
	for i := range c.view.Members {
		m := &c.view.Members[i]
		if m.ID == c.cfg.Self || !m.Up {
			continue
		}
		up++
		q := c.peers[m.ID]
		if q != nil && q.clock.base != 0 && c.now.Mono-q.clock.measuredAt <= max(clockKeptMin, c.view.LeaseTTL) {
			offsets = append(offsets, q.clock.base+c.now.Mono.Milliseconds()-c.now.Wall)
		}
	}
	slices.Sort(offsets)
	return offsets, up
}

// deadline is the expiry of what lives for ttl ms from now: by this server's
// clock, or by the others' where it is off theirs. In doubt it is the later one.
func (c *Core) deadline(ttl int64) int64 {
	now := c.now.Wall
	offsets, _ := c.clockOffsets()
	if off := offsets[len(offsets)/2]; max(off, -off) > clockOffMax.Milliseconds() {
		now += off
	}
	return max(1, now+ttl)
}

// expired reports whether an item is past its expiry and our clock may say so.
func (c *Core) expired(it *Item) bool {
	return it.Expiry != 0 && it.Expiry <= c.now.Wall && c.clockSane()
}

// live returns the state of a key that a request at the head of the log meets:
// an expired item's delete is logged first, as an entry of its own, and the
// request meets an absent key.
func (l *primary) live(key Key, it Item) Item {
	if it.Version.IsZero() || !l.core.expired(&it) {
		return it
	}
	l.sequence([]Write{{Key: key, Before: it.Version, Shrinks: uint64(len(it.Value)), Expired: true}}, nil)
	return Item{}
}

// readExpired goes on with a read that met an expired item: it waits for the
// commit of the delete, like any reader.
func (rd *reader) readExpired(r *Read) {
	if !rd.part.enoughCopies() {
		rd.core.answerRead(r, Answer{Status: StatusTooFewCopies})
		return
	}
	rd.lead.expire(r.Key)
	rd.start(r.again())
}

// expire logs the delete of a key that is expired at the head of the log.
func (l *primary) expire(key Key) {
	stored, err := l.part.get(key)
	if err != nil || stored == nil {
		return // whoever reads it next says so
	}
	if it, err := DecodeItem(key, stored); err == nil {
		l.live(key, it)
	}
}

// Expire accepts the sweeper's word that a key's expiry has passed; the core looks
// again. It does nothing where writes would wait.
func (c *Core) Expire(at Instant, id ring.PartitionID, key Key) {
	c.enter(at)
	p := c.part(id)
	if p == nil || p.lead == nil || !p.enoughCopies() {
		return
	}
	if l := p.lead; !l.serves() || len(l.queue) > 0 || l.flightBytes > c.cfg.Limits.FlightBytes || l.quiesced() {
		return
	}
	p.lead.expire(key)
}

// ItemExpiry returns the expiry of an encoded item, of which the first ItemHeadBytesMax
// bytes suffice, without verifying it: unix milliseconds, 0 for one that has none or
// cannot be read.
func ItemExpiry(stored []byte) int64 {
	it, _, err := header(stored)
	if err != nil {
		return 0
	}
	return it.Expiry
}
