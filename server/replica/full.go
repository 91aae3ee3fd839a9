package replica

import (
	"slices"
	"time"

	"viewring/ring"
)

// A server whose disk is nearly full gives its partitions to others where they
// suffice, as a draining one does, and learns nothing. Where it can't be done
// without, writes that add to the data are refused before they are sequenced; what
// is sequenced is still taken: that is what its reserve of room is for. Deletes and
// reads go on.

// fullPatience is how long writes go on while the full server's leaving is asked for.
const fullPatience = 5 * time.Second

// SetFull tells the core that this server's disk is nearly full, or is no longer.
func (c *Core) SetFull(at Instant, full bool) {
	c.enter(at)
	if full == c.full {
		return
	}
	c.full, c.fullSince = full, at.Mono
	if c.view == nil {
		return
	}
	for _, p := range c.parts {
		if int(p.id) >= len(c.view.Partitions) {
			break
		}
		switch {
		case p.learn != nil:
			p.learn.learnNoMore()
		case p.role == roleBackup && p.state == whole && p.quiet():
			p.sendAck(0)
		}
		p.retire()
	}
}

// learnNoMore ends the learning of p while the disk is full. A copy that is whole
// goes on for a while: a handoff to it may be under way.
func (l *learner) learnNoMore() {
	if !l.core.full {
		return
	}
	if (l.phase == swapping || l.phase == following || l.phase == announced) && l.core.now.Mono-l.core.fullSince < fullPatience {
		return
	}
	l.become(learnerOver)
	l.part.learn = nil
	if l.part.state == learning {
		l.part.wipe() // of no use unfinished, and it takes room
	}
}

// fullServer returns an acting or proposed replica of p that has no room for more and
// can't be done without, or 0.
func (l *primary) fullServer() ring.ServerID {
	var who ring.ServerID
	since := l.core.now.Mono
	up := l.part.othersUp()
	if l.core.full {
		who, since = l.core.cfg.Self, l.core.fullSince
	} else {
		up++
	}
	for _, f := range l.followers {
		if !f.full || !f.joint() {
			continue
		}
		who, since = f.id, min(since, f.fullSince)
		if m := l.core.view.Member(f.id); f.acting() && m != nil && m.Up {
			up--
		}
	}
	if up >= int(l.part.view.MinCopies) && l.core.now.Mono-since < fullPatience {
		return 0 // it is about to leave
	}
	return who
}

// refuseFull refuses a request that needs room where there is none.
func (l *primary) refuseFull(r *Request) bool {
	if r.Op == OpDelete || r.Op == OpEvaluate && r.Frees || r.Op == OpBatch && !slices.ContainsFunc(r.Writes, func(w KeyWrite) bool { return !w.Delete }) {
		return false
	}
	id := l.fullServer()
	if id == 0 {
		return false
	}
	l.core.answer(Answer{Token: r.Token, Status: StatusFull, Number: int64(id)})
	return true
}

// roomFlag is what this server says of its room with an Ack or a State.
func (c *Core) roomFlag() uint8 {
	if c.full {
		return flagNoRoom
	}
	return 0
}

// note notes what a follower says of its room, and of answers that it owes.
func (f *follower) note(flags uint8, now time.Duration) {
	f.owes = flags&flagOwes != 0
	if full := flags&flagNoRoom != 0; full != f.full {
		f.full, f.fullSince = full, now
	}
}
