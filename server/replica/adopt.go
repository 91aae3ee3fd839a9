package replica

import (
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

// Adopt makes the lane believe a newer view. promised is what Node.Raise
// returned for it; views come in order, each raised epoch once.
func (c *Core) Adopt(at Instant, v *ring.View, t *ring.Table, promised map[ring.ServerID]time.Duration) {
	c.enter(at)
	first := c.view == nil
	invariant.Check(first || v.Epoch > c.view.Epoch, "I6", "lane adopts epoch %d after another", v.Epoch)
	c.view, c.table = v, t
	c.forgetClocks()
	c.draining = c.isDraining(c.cfg.Self)
	for id := c.cfg.Lane; id < len(v.Partitions); id += c.cfg.Lanes {
		c.partAt(ring.PartitionID(id)).adopt(promised)
	}
}

func (p *part) adopt(promised map[ring.ServerID]time.Duration) {
	vp := &p.core.view.Partitions[p.id]
	old := p.view
	p.view, p.targets = vp, p.core.table.Targets(p.id)
	p.wanted = vp.Wanted(p.targets, p.core.view.Member)
	newTerm := old == nil || vp.Term != old.Term
	invariant.Check(old == nil || vp.Term >= old.Term, "I6", "partition %d: term fell from %d to %d", p.id, p.term, vp.Term)
	if newTerm {
		if old != nil {
			p.hold(old.Primary(), promised)
		}
		p.leaveTerm(vp.Primary() == p.core.cfg.Self)
		p.term = vp.Term
		p.forgetFormerLife()
	} else {
		invariant.Check(slices.Equal(vp.Acting, old.Acting), "I1", "partition %d: acting changed within term %d", p.id, p.term)
	}
	p.role = p.roleIn()
	if p.learn != nil && (p.role != roleLearner || newTerm) {
		p.learn.stopLearning(newTerm && p.role == roleLearner)
	}
	if newTerm {
		p.enterTerm()
	} else if p.lead != nil {
		p.lead.reviewFollowers()
	}
	p.retire()
	if p.state == learning && p.learn == nil && p.role != roleLearner {
		invariant.Check(!vp.IsActing(p.core.cfg.Self), "I4", "partition %d: acting in term %d with an unfinished copy", p.id, p.term)
		p.wipe()
	}
	if p.state == absent && p.damage == unfit && p.role == roleNone && !slices.Contains(vp.Writable, p.core.cfg.Self) {
		p.wipe() // a copy that cannot be loaded, and that nobody waits for
	}
}

// forgetFormerLife drops a copy from before an operator gave up the partition's
// data and it was made anew, before anything else is done with it: it has no
// common point with the new log, whatever their histories look like.
func (p *part) forgetFormerLife() {
	reset := p.view.ResetTerm
	invariant.Check(p.resetTerm <= reset, "I6", "partition %d: a copy of the life that began in term %d, the view has %d", p.id, p.resetTerm, reset)
	if p.resetTerm == reset {
		return
	}
	p.resetTerm = reset
	if p.state == absent && (p.damage == sound || p.term != reset) {
		return // of a copy that cannot be loaded nobody knows which life it is of
	}
	p.wipe()
	if p.learn != nil {
		p.learn.restart(learner{startOver: true})
	}
}

// hold keeps this server from serving p while the primary x of the term that
// ended may still count our promise.
func (p *part) hold(x ring.ServerID, promised map[ring.ServerID]time.Duration) {
	until, given := promised[x]
	if p.core.peer(x).done >= p.view.Term {
		return // it serves no older term any more
	}
	if x != p.core.cfg.Self && given && until > p.core.now.Mono {
		p.holds[x] = max(p.holds[x], until)
	}
}

func (p *part) roleIn() role {
	switch {
	case p.view.Primary() == p.core.cfg.Self:
		return rolePrimary
	case p.view.IsActing(p.core.cfg.Self):
		return roleBackup
	case p.isWanted(p.core.cfg.Self):
		return roleLearner
	}
	return roleNone
}

// leaveTerm answers what the ending term cannot finish. When this server stays
// primary requests go on that are not sequenced yet. Those that are go on where it
// still acts, for an acting replica undoes nothing, and the next activation commits
// its log: then they are answered (answers.go).
func (p *part) leaveTerm(staysPrimary bool) {
	l := p.lead
	p.lead = nil
	p.stateOwed = false
	p.held = nil
	p.retireAskedAt, p.successorBy, p.stoppedAt = 0, 0, 0
	unrepaired := p.repairer.drop()
	lives := p.view.ResetTerm == p.resetTerm // else its log is dropped
	if !lives || !p.view.IsActing(p.core.cfg.Self) {
		p.answerUnknown()
	}
	if l == nil {
		return
	}
	stopped := l.stoppedSince()
	l.become(termOver)
	keep := append(l.queue, unrepaired...)
	keep = append(keep, l.reads.drop()...)
	for i := range keep {
		keep[i].requeue()
	}
	if staysPrimary {
		p.lead = newPrimary(p)
		if p.core.feeding {
			p.lead.fed = l.fed
		}
		l.watchers.leave(p.lead)
		p.lead.queue, p.lead.stoppedAt = keep, stopped
		keep = nil
	} else {
		p.successorBy, p.stoppedAt = p.core.now.Mono+successorMax, stopped
	}
	l.watchers.leave(nil)
	if !staysPrimary || !lives {
		p.endFeed()
	}
	for i := range keep {
		p.core.refuse(&keep[i], StatusMoved)
	}
}

func sortedKeys[V any](m map[Key]V) []Key {
	keys := make([]Key, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// enterTerm takes up the role of the new term.
func (p *part) enterTerm() {
	if p.state == absent && p.damage == sound && len(p.view.Acting) == 1 && p.view.Primary() == p.core.cfg.Self && slices.Equal(p.view.Acting, p.view.Writable) {
		// The first server of a cluster acts on partitions that never held
		// anything: the empty log is whole. Nobody else acts without a copy.
		p.become(whole)
		p.touch()
	}
	if p.role != rolePrimary || p.state != whole {
		p.dropLead()
		return
	}
	if p.lead == nil {
		p.lead = newPrimary(p)
	}
	l := p.lead
	l.askedAt = p.core.now.Mono
	l.pending, l.reads.blocked = make(map[Key]uint64), make(map[Key][]Read)
	for _, id := range p.view.Acting[1:] {
		l.addFollower(&follower{id: id, incarnation: p.core.incarnation(id), phase: followerActing, movedAt: p.core.now.Mono})
		p.send(id, &Message{Type: MsgNewTerm})
	}
	l.tryReconcile()
}

// dropLead ends a primary that was to go on, and can't: its copy is not whole. What waited
// is answered.
func (p *part) dropLead() {
	l := p.lead
	if l == nil {
		return
	}
	p.lead = nil
	l.become(termOver)
	l.watchers.leave(nil)
	p.endFeed()
	p.answerUnknown()
	for i := range l.queue {
		p.core.refuse(&l.queue[i], StatusUnavailable)
	}
}

func (c *Core) incarnation(id ring.ServerID) uint64 {
	if m := c.view.Member(id); m != nil {
		return m.Incarnation
	}
	return 0
}

// reviewFollowers drops learners that the view no longer wants; a proposed one
// is ejected instead, because only a higher term ends a proposal.
func (l *primary) reviewFollowers() {
	for _, f := range slices.Clone(l.followers) {
		if f.joint() {
			continue
		}
		if m := l.core.view.Member(f.id); m == nil || !m.Up || m.Incarnation != f.incarnation || !l.part.isWanted(f.id) {
			l.dropFollower(f.id)
		}
	}
	l.considerHandoff()
}

// proposedGone reports whether a proposed replica can no longer take part.
func (l *primary) proposedGone(f *follower) bool {
	m := l.core.view.Member(f.id)
	return m == nil || !m.Up || m.Incarnation != f.incarnation || !l.part.isWanted(f.id)
}
