package replica

import (
	"slices"
	"time"

	"viewring/ring"
)

// A primary that gives its partition to another one goes on acting until it has answered
// what it sequenced (answers.go): so no client is told "unknown" for it. It lets few writes
// be under way then, for the others have to take them up before the next primary serves.
// New ones wait for a moment; reads go on.

const (
	quiesceMax   = 25 * time.Millisecond  // that writes wait for a change of primary, once in a term
	turnsMax     = 64                     // partitions of a lane that change hands at once: each new term takes its time
	successorMax = 500 * time.Millisecond // that who was the primary leaves its successor to begin to serve, before it goes
	stepDownMax  = ejectAfter             // that a new primary has to begin to serve, before it goes all the same
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

// quiesce reports whether no write is under way. While one is, it lets no new one be sequenced for a moment, once, and then
// reports that the moment is over. Where none is, the writes of the next milliseconds are few: they go on, and are answered
// after the change, which costs less than to have all wait for the view.
func (l *primary) quiesce() bool {
	if len(l.part.waiting) == 0 {
		return true
	}
	if l.quiesceUntil == 0 {
		l.quiesceUntil = l.core.now.Mono + quiesceMax
	}
	return !l.quiesced()
}

func (l *primary) quiesced() bool { return l.core.now.Mono < l.quiesceUntil }

// retires reports whether this server is to leave the acting replicas of p: it drains or is
// full, and others are enough (hole 28).
func (p *part) retires() bool {
	return (p.core.draining || p.core.full) && p.view.IsActing(p.core.cfg.Self) && p.othersUp() >= int(p.view.MinCopies)
}

// retire has a draining or a full server leave the acting replicas of p. A primary becomes a
// backup first, by a handoff (wantedActing), and leaves when it owes no answer any more.
func (p *part) retire() {
	now := p.core.now.Mono
	switch {
	case !p.retires(), p.retireAskedAt != 0 && now-p.retireAskedAt < askAfter:
		return
	case p.lead != nil && p.lead.stepsDown():
		return
	case p.lead == nil && (len(p.waiting) > 0 || now < p.successorBy):
		return
	case !p.core.claimTurn(p) || p.lead != nil && p.lead.serves() && !p.lead.quiesce():
		return
	}
	p.retireAskedAt = now
	p.askEject(p.core.cfg.Self)
}

// stepsDown reports whether a primary that retires leaves its place to a successor first,
// or to one that is still learning. It can't where a replica is down, or nobody else would
// stay the primary; and one that does not begin to serve in time goes without.
func (l *primary) stepsDown() bool {
	if !l.part.retires() || !l.serves() && l.core.now.Mono-l.began > stepDownMax {
		return false
	}
	if !allOf(l.part.view.Acting, l.core.isUp) {
		return false
	}
	comes := func(id ring.ServerID) bool {
		return !l.part.view.IsActing(id) && l.core.isUp(id) && !l.core.isDraining(id)
	}
	return slices.ContainsFunc(l.part.view.Acting, l.fitToLead) || slices.ContainsFunc(l.part.wanted, comes)
}

func allOf(ids []ring.ServerID, is func(ring.ServerID) bool) bool {
	return !slices.ContainsFunc(ids, func(id ring.ServerID) bool { return !is(id) })
}

// fitToLead reports whether another acting replica would stay the primary.
func (l *primary) fitToLead(id ring.ServerID) bool {
	f := l.follower(id)
	return f != nil && f.acting() && !f.full && !l.core.isDraining(id)
}

// successors are acting replicas in the order in which they stay when this one steps down: it
// is the last, unless nobody else is fit yet.
func (l *primary) successors(acting []ring.ServerID) []ring.ServerID {
	if !slices.ContainsFunc(acting, l.fitToLead) {
		return acting
	}
	rank := func(id ring.ServerID) int {
		switch {
		case id == l.core.cfg.Self:
			return 2
		case l.fitToLead(id):
			return 0
		}
		return 1
	}
	acting = slices.Clone(acting)
	slices.SortStableFunc(acting, func(a, b ring.ServerID) int { return rank(a) - rank(b) })
	return acting
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

// isDraining reports whether the view wants a server to retire.
func (c *Core) isDraining(id ring.ServerID) bool {
	m := c.view.Member(id)
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
