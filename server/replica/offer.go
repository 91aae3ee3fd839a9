package replica

import (
	"slices"
	"time"

	"viewring/ring"
)

// damagedOffersAfter is how long a damaged copy leaves the offer to sound ones.
const damagedOffersAfter = 3 * time.Second

// offer asks the view leader to let this server act where nobody of acting is up
// and they are too few to have acknowledged anything since this copy acted (rule 8).
// A member of W keeps its copy whole meanwhile (mustKeep), and a delta replaces it in
// one batch. What nothing can be built on, or is not durable yet, is not offered.
func (p *part) offer() {
	if p.isActing() || !p.mustKeep() || slices.ContainsFunc(p.view.Acting, p.core.isUp) {
		p.lonelySince = 0
		return
	}
	if p.lonelySince == 0 {
		p.lonelySince = p.core.now.Mono
	}
	offered := p.damage == sound || p.damage == damaged && p.core.now.Mono-p.lonelySince >= damagedOffersAfter
	if !p.quiet() || !offered || p.offeredAt != 0 && p.core.now.Mono-p.offeredAt < askAfter {
		return
	}
	p.offeredAt = p.core.now.Mono
	p.core.out.ToLeader = append(p.core.out.ToLeader, LeaderRequest{Kind: AskRestore, Partition: p.id, Term: p.term})
}

func (c *Core) isUp(id ring.ServerID) bool {
	m := c.view.Member(id)
	return m != nil && m.Up
}
