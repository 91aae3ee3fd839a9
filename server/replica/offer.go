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
func (c *Core) offer(p *part) {
	if p.isActing() || !c.mustKeep(p) || slices.ContainsFunc(p.view.Acting, c.isUp) {
		p.lonelySince = 0
		return
	}
	if p.lonelySince == 0 {
		p.lonelySince = c.now.Mono
	}
	offered := p.damage == sound || p.damage == damaged && c.now.Mono-p.lonelySince >= damagedOffersAfter
	if !p.quiet() || !offered || p.offeredAt != 0 && c.now.Mono-p.offeredAt < askAfter {
		return
	}
	p.offeredAt = c.now.Mono
	c.out.ToLeader = append(c.out.ToLeader, LeaderRequest{Kind: AskRestore, Partition: p.id, Term: p.term})
}

func (c *Core) isUp(id ring.ServerID) bool {
	m := c.view.Member(id)
	return m != nil && m.Up
}
