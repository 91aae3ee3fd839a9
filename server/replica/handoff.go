package replica

import (
	"slices"

	"viewring/ring"
)

// considerHandoff proposes a new acting set when a target has become ready, or
// when all have and others can go (rule 6). Whoever it adds is proposed from then
// on: commits and leases are joint, and only a higher term ends that. What is
// asked for may change with the targets: an older request that arrives late names
// acting and proposed replicas alone, and all of them hold everything.
func (c *Core) considerHandoff(p *part) {
	l := p.lead
	if l == nil || !l.serves() {
		return
	}
	for _, f := range l.followers {
		if f.proposed() && (c.proposedGone(p, f) || f.match+1 < f.next && c.now.Mono-f.movedAt > l.patience()) {
			c.eject(p, f.id) // this raises the term
			return
		}
	}
	want := c.wantedActing(p)
	if slices.Equal(want, p.view.Acting) {
		return
	}
	pr := make([]ring.Incarnated, len(want))
	durable := true
	for i, id := range want {
		pr[i] = ring.Incarnated{ID: id, Incarnation: c.incarnation(id)}
		if p.view.IsActing(id) {
			continue
		}
		f := l.follower(id)
		if !f.proposed() {
			f.become(followerProposed)
		}
		durable = durable && f.match >= p.commit
	}
	if !durable || l.handoffAskedAt != 0 && c.now.Mono-l.handoffAskedAt < askAfter {
		return
	}
	if want[0] != c.cfg.Self && !(c.takeTurn(p) && c.hush(p)) {
		return // asked for as soon as the writes under way are answered
	}
	l.handoffAskedAt = c.now.Mono
	for _, f := range l.followers {
		if f.phase == followerProposed && slices.Contains(want, f.id) {
			f.become(followerNamed)
		}
	}
	c.out.ToLeader = append(c.out.ToLeader, LeaderRequest{Kind: AskHandoff, Partition: p.id, Term: p.term, Acting: pr})
}

// wantedActing returns the targets when all of them are ready, else the acting
// replicas with those that are of the targets and returners; nil when there is
// nothing to gain.
func (c *Core) wantedActing(p *part) []ring.ServerID {
	all := len(p.targets) > 0
	add := slices.Clip(p.view.Acting) // copied where it grows
	for i, id := range p.wanted {
		if !c.fitToAct(p, id) {
			all = all && i >= len(p.targets)
		} else if !p.view.IsActing(id) {
			add = append(add, id)
		}
	}
	if all {
		return p.targets
	}
	return add
}

// fitToAct reports whether a wanted server is up and has everything.
func (c *Core) fitToAct(p *part, id ring.ServerID) bool {
	m := c.view.Member(id)
	if m == nil || !m.Up || m.Standing == ring.Draining {
		return false
	}
	if id == c.cfg.Self {
		return true
	}
	f := p.lead.follower(id)
	if f == nil || f.incarnation != m.Incarnation {
		return false
	}
	if f.acting() {
		return true
	}
	// From its proposal on the window is kept for it; it must reach back far enough,
	// unless what it lacks cannot be told and was not acknowledged.
	return f.ready() && (f.match+1 >= p.lead.windowFirst || p.lead.phase == mute)
}
