package replica

import (
	"time"

	"viewring/ring"
)

// A primary that is to give its partition to another one first lets what it has
// sequenced be committed: a write under way when its primary goes is answered
// "unknown", and only a client with request ids may then try again. New writes wait for
// that moment; reads go on.

const (
	quiesceMax  = 80 * time.Millisecond // that writes wait for a change of primary
	quiescesMax = 3                     // in one term: afterwards the change is asked for all the same
	turnsMax    = 64                    // partitions of a lane that change hands at once: each new term takes its time
)

// turn is a partition's permission to change hands. It ends with the term, or after askAfter.
type turn struct {
	p     *part
	term  uint64
	until time.Duration
}

// claimTurn reports whether p may change hands now: no more than turnsMax of a lane do at a time.
func (c *Core) claimTurn(p *part) bool {
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

// quiesce lets no new write be sequenced for a moment and reports whether none is
// under way, or that nobody wants to wait for it any longer.
func (l *primary) quiesce() bool {
	if l.core.now.Mono >= l.quiesceUntil && l.pauses < quiescesMax {
		l.pauses++
		l.quiesceUntil = l.core.now.Mono + quiesceMax
	}
	return len(l.waiting) == 0 || !l.quiesced()
}

func (l *primary) quiesced() bool { return l.core.now.Mono < l.quiesceUntil }

// retire has a draining or a full server leave the acting replicas of p: as soon as others
// are enough (hole 28), and as primary when its writes are answered.
func (p *part) retire() {
	if !p.core.draining && !p.core.full || !p.view.IsActing(p.core.cfg.Self) {
		return
	}
	if p.othersUp() < int(p.view.MinCopies) {
		return
	}
	if p.retireAskedAt != 0 && p.core.now.Mono-p.retireAskedAt < askAfter {
		return
	}
	if !p.core.claimTurn(p) || p.lead != nil && p.lead.serves() && !p.lead.quiesce() {
		return
	}
	p.retireAskedAt = p.core.now.Mono
	p.askEject(p.core.cfg.Self)
}

// othersUp counts the acting replicas but this one that are up.
func (p *part) othersUp() (n int) {
	for _, id := range p.view.Acting {
		if m := p.core.view.Member(id); id != p.core.cfg.Self && m != nil && m.Up {
			n++
		}
	}
	return n
}

// drains reports whether the view wants this server to retire.
func (c *Core) drains() bool {
	m := c.view.Member(c.cfg.Self)
	return m != nil && m.Status == ring.Draining
}

// startWaited reports whether all promises of an earlier start of this server have
// run out: before, it must serve nothing (rule 7).
func (c *Core) startWaited() bool {
	return c.cfg.Fresh || c.now.Mono >= c.startedAt+max(c.view.LeaseTTL, c.cfg.LeaseSeen)
}

// mayBeReady keeps a learner that would have to wait as primary from being made it:
// for as long as others suffice.
func (p *part) mayBeReady() bool { return p.core.startWaited() || !p.enoughCopies() }
