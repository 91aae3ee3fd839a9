package replica

// Tick repeats what got no answer and ends what waited too long. It is called
// every 20–50 ms, and less often where nothing but promises came for seconds.
func (c *Core) Tick(at Instant) {
	c.enter(at)
	if c.view == nil {
		return
	}
	for _, p := range c.parts {
		if int(p.id) >= len(c.view.Partitions) {
			break
		}
		c.retire(p)
		c.offer(p)
		if len(p.mends) > 0 {
			c.tickMends(p)
		}
		if p.damage != sound {
			c.tickDamaged(p)
		}
		switch {
		case p.lead != nil:
			c.tickPrimary(p)
		case p.learn != nil && c.full:
			c.learnNoMore(p)
		case p.learn != nil:
			c.tickLearner(p)
		case p.role == roleNone && p.state == whole:
			c.tickStray(p)
		case p.role == rolePrimary || p.role == roleBackup && p.state != whole:
			c.tickUnfit(p)
		}
		if p.commit > p.commitSaved && c.now.Mono-p.savedAt >= commitSaveAfter && p.quiet() {
			c.touch(p)
		}
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
			c.onFetch(d.p, d.from, d.m)
		}
	}
}

func (c *Core) tickPrimary(p *part) {
	l := p.lead
	c.expireQueue(p)
	c.expireWaiting(p)
	if l.phase == reconciling {
		c.tickReconcile(p)
		return
	}
	if !l.serves() {
		c.tryActivate(p)
		return
	}
	c.drainQueue(p)
	tell := !l.notice || c.now.Mono-l.noticeAt >= noticeAfter
	for _, f := range l.followers {
		if c.tickFollower(p, f, tell) {
			return
		}
	}
	l.notice = l.notice && !tell
	c.considerHandoff(p)
	if c.now.Mono-l.collectedAt >= c.cfg.Limits.RecordGCEvery && p.enoughCopies() {
		l.collectedAt = c.now.Mono
		c.collectRecords(p)
	}
}

// tickReconcile asks again who has not answered, and gives up on who stays
// silent.
func (c *Core) tickReconcile(p *part) {
	l := p.lead
	if c.now.Mono-l.askedAt < askAfter {
		return
	}
	l.askedAt = c.now.Mono
	for _, f := range l.followers {
		if !f.acting() || f.state != nil && f.state.Last == p.log.last {
			continue
		}
		if c.now.Mono-f.movedAt > ejectAfter {
			c.eject(p, f.id)
		}
		c.send(p, f.id, &Message{Type: MsgNewTerm})
	}
	c.tryReconcile(p)
}

// tickFollower sends again what was not acknowledged, and the commit to who
// does not know it. It reports whether the follower is being ejected.
func (c *Core) tickFollower(p *part, f *follower, tell bool) bool {
	owed := f.match < f.next-1
	silent := c.now.Mono - f.movedAt
	ejecting := owed && (f.joint()) && silent > p.lead.patience()
	if ejecting {
		c.eject(p, f.id)
	}
	switch {
	case owed && silent > resendAfter && c.now.Mono-f.resentAt > resendAfter<<f.resends:
		c.resend(p, f)
	case tell && f.told < p.commit, f.full && c.now.Mono-f.askedRoomAt > resendAfter:
		// One that had no room may have some again: its word can have been lost, and
		// where writes are refused for it nothing else makes it speak.
		f.told, f.askedRoomAt = p.commit, c.now.Mono
		c.send(p, f.id, &Message{Type: MsgAppend, Prev: c.versionAt(p, f.next-1), Commit: p.commit, Digest: p.log.digest, Last: p.log.last})
	}
	return ejecting
}

// resend sends again what f did not acknowledge, at longer and longer intervals:
// what is large may just take long, and should not be in its own way. It says
// nothing of f: the time since f moved runs on.
func (c *Core) resend(p *part, f *follower) {
	silentSince := f.movedAt
	f.resentAt = c.now.Mono
	f.resends = min(f.resends+1, resendsMax)
	f.next = f.match + 1
	c.sendFrom(p, f)
	f.movedAt = silentSince
}

// expireQueue answers requests whose partition did not serve in time.
func (c *Core) expireQueue(p *part) {
	l := p.lead
	n := 0
	for n < len(l.queue) && c.now.Mono-l.queue[n].since > queueTTL {
		c.refuse(&l.queue[n], StatusUnavailable)
		n++
	}
	l.queue = l.queue[n:]
	if l.confirmToken != 0 && len(l.question) > 0 && c.now.Mono-l.askedConfirm > queueTTL {
		c.Confirmed(c.now, l.confirmToken, false)
	}
}

// expireWaiting answers writes and reads that wait for a commit which does not
// come. The writes may still take effect.
func (c *Core) expireWaiting(p *part) {
	l := p.lead
	kept := l.waiting[:0]
	for _, w := range l.waiting {
		if c.now.Mono-w.since > writeTTL {
			c.answer(Answer{Token: w.answer.Token, Status: StatusUnknown})
			continue
		}
		kept = append(kept, w)
	}
	l.waiting = kept
	if len(l.readers) == 0 {
		return
	}
	for _, key := range sortedKeys(l.readers) {
		kept := l.readers[key][:0]
		for _, r := range l.readers[key] {
			if c.now.Mono-r.since > queueTTL {
				c.answerRead(&r, Answer{Status: StatusUnavailable})
				continue
			}
			kept = append(kept, r)
		}
		if len(kept) == 0 {
			delete(l.readers, key)
		} else {
			l.readers[key] = kept
		}
	}
}

// tickUnfit asks to be taken out where we act without a whole copy, as after a
// disk was lost: nothing is served from it.
func (c *Core) tickUnfit(p *part) {
	if c.now.Mono-p.strayAt < strayAskEvery {
		return
	}
	p.strayAt = c.now.Mono
	c.askEject(p, c.cfg.Self)
}

// tickStray asks whether our copy, which no one wants any more, may go.
func (c *Core) tickStray(p *part) {
	if c.now.Mono-p.strayAt < strayAskEvery || p.view.Primary() == 0 {
		return
	}
	p.strayAt = c.now.Mono
	c.send(p, p.view.Primary(), &Message{Type: MsgStray, Seq: c.view.Epoch})
}
