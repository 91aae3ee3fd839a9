package replica

import (
	"slices"

	"viewring/ring"
)

// A member of W that returns while too few replicas act has a copy that must be
// kept: the partition may have to be restored from it. Nothing is sequenced
// meanwhile, so its log and that of the acting replicas are one log, cut off at
// different places. DESIGN.md, "Returning below min-copies".

// mustKeep reports whether our copy may be the one that the partition is restored
// from. Then a delta is staged whatever its size: below min-copies nothing new is
// sequenced, so it is no more than what was in flight.
func (c *Core) mustKeep(p *part) bool {
	return p.state == whole && !p.enoughCopies() && slices.Contains(p.view.Writable, c.cfg.Self)
}

// worthless reports whether nothing can be built upon our copy. One with a bad
// block is given up too, unless it must be kept.
func (c *Core) worthless(p *part) bool {
	return p.state != whole || p.damage == unfit || p.damage == damaged && !c.mustKeep(p)
}

// goesOn reports whether a member of W, while too few replicas act, has a log that
// begins with all of ours. It may act as it is: what it has above is no other log,
// it is the tail of this one, because nothing was sequenced since W could write.
func (c *Core) goesOn(p *part, from ring.ServerID, m *Message, common uint64) bool {
	if p.enoughCopies() && !c.cfg.Bugs.on(BugTailGoesOn) {
		return false
	}
	return common == p.log.last.Seq && m.Last.Seq > common && slices.Contains(p.view.Writable, from)
}
