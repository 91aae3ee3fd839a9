package replica

import (
	"time"

	"viewring/ring"
)

// A primary that is to give its partition to another one first lets what it has
// sequenced be committed: a write under way when its primary goes is answered
// "unknown", which only clients with request ids can mend. New writes wait for that
// moment; reads go on.

const (
	hushMax   = 80 * time.Millisecond // that writes wait for a change of primary
	hushesMax = 3                     // in one term: afterwards the change is asked for all the same
	turnsMax  = 64                    // partitions of a lane that change hands at once: each new term takes its time
)

// turn is a partition's in changing hands; over with its term, or after askAfter.
type turn struct {
	p     *part
	term  uint64
	until time.Duration
}

// takeTurn reports whether p may change hands now.
func (c *Core) takeTurn(p *part) bool {
	kept := c.turns[:0]
	mine := false
	for _, t := range c.turns {
		if t.term == t.p.term && c.now.Mono < t.until {
			kept = append(kept, t)
			mine = mine || t.p == p
		}
	}
	c.turns = kept
	if mine || len(kept) >= turnsMax {
		return mine
	}
	c.turns = append(c.turns, turn{p, p.term, c.now.Mono + askAfter})
	return true
}

// hush lets no new write be sequenced for a moment and reports whether none is
// under way, or that nobody wants to wait for it any longer.
func (c *Core) hush(p *part) bool {
	l := p.lead
	if c.now.Mono >= l.hushUntil && l.hushes < hushesMax {
		l.hushes++
		l.hushUntil = c.now.Mono + hushMax
	}
	return len(l.waiting) == 0 || !c.hushed(l)
}

func (c *Core) hushed(l *lead) bool { return c.now.Mono < l.hushUntil }

// retire has a draining or a full server leave the acting replicas of p: as soon as others
// are enough (hole 28), and as primary when its writes are answered.
func (c *Core) retire(p *part) {
	if !c.draining && !c.full || !p.view.IsActing(c.cfg.Self) {
		return
	}
	if c.othersUp(p) < int(p.view.MinCopies) {
		return
	}
	if p.retireAskedAt != 0 && c.now.Mono-p.retireAskedAt < askAfter {
		return
	}
	if !c.takeTurn(p) || p.lead != nil && p.lead.serves() && !c.hush(p) {
		return
	}
	p.retireAskedAt = c.now.Mono
	c.askEject(p, c.cfg.Self)
}

// othersUp counts the acting replicas but this one that are up.
func (c *Core) othersUp(p *part) (n int) {
	for _, id := range p.view.Acting {
		if m := c.view.Member(id); id != c.cfg.Self && m != nil && m.Up {
			n++
		}
	}
	return n
}

// drains reports whether the view wants this server to retire.
func (c *Core) drains() bool {
	m := c.view.Member(c.cfg.Self)
	return m != nil && m.Standing == ring.Draining
}

// startWaited reports whether all promises of an earlier start of this server have
// run out: before, it must serve nothing (rule 7).
func (c *Core) startWaited() bool {
	return c.cfg.Fresh || c.now.Mono >= c.startedAt+max(c.view.LeaseTTL, c.cfg.LeaseSeen)
}

// mayBeReady keeps a learner that would have to wait as primary from being made it:
// for as long as others suffice.
func (c *Core) mayBeReady(p *part) bool { return c.startWaited() || !p.enoughCopies() }
