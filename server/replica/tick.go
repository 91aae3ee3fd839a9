package replica

import (
	"cmp"
	"time"
)

// SetHandoffEvery sets how often primaries ask to be replaced; 0: as often as by default.
func (c *Core) SetHandoffEvery(every time.Duration) { c.handoffEvery = cmp.Or(every, handoffEvery) }

// Tick repeats what got no answer and ends what waited too long. It is called
// every 20–50 ms, and less often where nothing but promises came for seconds.
func (c *Core) Tick(at Instant) {
	c.enter(at)
	if c.view == nil {
		return
	}
	every := c.handoffEvery
	if c.draining || c.full {
		every = handoffEvery // who goes is waited for
	}
	period := int64(c.now.Mono / every)
	c.handoffsDue, c.handoffPeriod = period != c.handoffPeriod, period
	defer func() { c.handoffsDue = false }()
	for _, p := range c.parts {
		if int(p.id) >= len(c.view.Partitions) {
			break
		}
		p.tick()
	}
}

// tick has whoever keeps the part repeat what got no answer.
func (p *part) tick() {
	p.expireWaiting()
	p.retire()
	p.offer()
	if len(p.repairer.repairs) > 0 {
		p.repairer.tick()
	}
	if p.damage != sound {
		p.tickDamaged()
	}
	switch {
	case p.lead != nil:
		p.lead.tick()
	case p.learn != nil && p.core.full:
		p.learn.learnNoMore()
	case p.learn != nil:
		p.learn.tick()
	case p.role == roleNone && p.state == whole:
		p.tickStray()
	case p.role == rolePrimary || p.role == roleBackup && p.state != whole:
		p.tickUnfit()
	}
	if p.commit > p.commitSaved && p.core.now.Mono-p.savedAt >= commitSaveAfter && p.quiet() {
		p.touch()
	}
}

// enter begins every call: the batch of the Ready before is visible now.
func (c *Core) enter(at Instant) {
	c.now = at
	if len(c.deferred) == 0 || c.batch != nil {
		return
	}
	fetches := c.deferred
	c.deferred = nil
	for _, d := range fetches {
		if d.term == d.p.term {
			d.p.onFetch(d.from, d.m)
		}
	}
}

// tickUnfit asks to be taken out where we act without a whole copy, as after a
// disk was lost: nothing is served from it.
func (p *part) tickUnfit() {
	if p.core.now.Mono-p.strayAt < strayAskEvery {
		return
	}
	p.strayAt = p.core.now.Mono
	p.askEject(p.core.cfg.Self)
}

// tickStray asks whether our copy, which no one wants any more, may go.
func (p *part) tickStray() {
	if p.core.now.Mono-p.strayAt < strayAskEvery || p.view.Primary() == 0 {
		return
	}
	p.strayAt = p.core.now.Mono
	p.send(p.view.Primary(), &Message{Type: MsgStray, Seq: p.core.view.Epoch})
}
