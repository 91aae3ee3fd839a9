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
func (l *primary) considerHandoff() {
	if !l.serves() {
		return
	}
	for _, f := range l.followers {
		if f.proposed() && (l.proposedGone(f) || f.match+1 < f.next && l.core.now.Mono-f.movedAt > l.patience()) {
			l.eject(f.id) // this raises the term
			return
		}
	}
	want := l.wantedActing()
	if slices.Equal(want, l.part.view.Acting) {
		return
	}
	replaced, refused := want[0] != l.core.cfg.Self, !l.part.enoughCopies()
	if replaced && !refused && !l.core.handoffsDue && !l.quiesced() {
		return // with the others that wait for it
	}
	pr := make([]ring.Incarnated, len(want))
	durable := true
	for i, id := range want {
		pr[i] = ring.Incarnated{ID: id, Incarnation: l.core.incarnation(id)}
		if l.part.view.IsActing(id) {
			continue
		}
		f := l.follower(id)
		if !f.proposed() {
			f.become(followerProposed)
		}
		durable = durable && f.match >= l.part.commit
	}
	if !durable || l.handoffAskedAt != 0 && l.core.now.Mono-l.handoffAskedAt < askAfter {
		return
	}
	if replaced && !(l.core.claimTurn(l.part) && l.quiesce()) {
		return // asked for as soon as the writes under way are answered
	}
	l.handoffAskedAt = l.core.now.Mono
	for _, f := range l.followers {
		if f.phase == followerProposed && slices.Contains(want, f.id) {
			f.become(followerNamed)
		}
	}
	l.core.out.ToLeader = append(l.core.out.ToLeader, LeaderRequest{Kind: AskHandoff, Partition: l.part.id, Term: l.part.term, Acting: pr,
		CanWait: !replaced && !refused})
}

// wantedActing returns the targets when all of them are ready, else the acting
// replicas with those that are of the targets and returners. Who is or was the
// primary stays with them, behind them, until it owes no answer. One that retires
// is the last.
func (l *primary) wantedActing() []ring.ServerID {
	all := len(l.part.targets) > 0
	add := slices.Clip(l.part.view.Acting) // copied where it grows
	for i, id := range l.part.wanted {
		if !l.fitToAct(id) {
			all = all && i >= len(l.part.targets)
		} else if !l.part.view.IsActing(id) {
			add = append(add, id)
		}
	}
	switch {
	case l.stepsDown():
		return l.successors(add)
	case all:
		return l.withThoseWhoOwe(l.part.targets)
	}
	return add
}

// withThoseWhoOwe adds to the targets who acts and has answers to give, or will have.
func (l *primary) withThoseWhoOwe(targets []ring.ServerID) []ring.ServerID {
	want := slices.Clip(targets) // copied where it grows
	for _, id := range l.part.view.Acting {
		f := l.follower(id)
		if (f == nil || f.owes) && !slices.Contains(targets, id) { // f == nil: this server
			want = append(want, id)
		}
	}
	return want
}

// fitToAct reports whether a wanted server is up and has everything.
func (l *primary) fitToAct(id ring.ServerID) bool {
	m := l.core.view.Member(id)
	if m == nil || !m.Up || m.Status == ring.Draining {
		return false
	}
	if id == l.core.cfg.Self {
		return true
	}
	f := l.follower(id)
	if f == nil || f.incarnation != m.Incarnation {
		return false
	}
	if f.acting() {
		return !f.full // that one retires, and would not stay the primary
	}
	// From its proposal on the window is kept for it; it must reach back far enough,
	// unless what it lacks cannot be told and was not acknowledged.
	return f.ready() && (f.match+1 >= l.windowFirst || l.phase == mute)
}
