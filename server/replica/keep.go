package replica

import (
	"slices"

	"viewring/ring"
)

// A member of W that returns while too few replicas act has a copy that must be
// kept: the partition may have to be restored from it. Nothing is sequenced
// meanwhile, so its log and that of the acting replicas are one log, cut off at
// different places. LEARNER.md, "Returning below min-copies".

// mustKeep reports whether our copy may be the one that the partition is restored
// from. Then a delta is staged whatever its size: below min-copies nothing new is
// sequenced, so it is no more than what was in flight.
func (p *part) mustKeep() bool {
	return p.state == whole && !p.enoughCopies() && slices.Contains(p.view.Writable, p.core.cfg.Self)
}

// worthless reports whether nothing can be built upon our copy. One with a bad
// block is given up too, unless it must be kept.
func (p *part) worthless() bool {
	return p.state != whole || p.damage == unfit || p.damage == damaged && !p.mustKeep()
}

// oneLog reports whether the log of a member of W, while too few replicas act, and
// ours are one log: neither has anything that the other one, where it is as long, has
// not. It may act as it is: nothing was sequenced since W could write, so what one has
// above the other is a tail that nobody acknowledged.
func (p *part) oneLog(from ring.ServerID, m *Message, common uint64) bool {
	if p.enoughCopies() {
		return false
	}
	return common == min(p.log.last.Seq, m.Last.Seq) && slices.Contains(p.view.Writable, from)
}
