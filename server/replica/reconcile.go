package replica

import (
	"viewring/internal/invariant"
	"viewring/ring"
)

// onNewTerm answers a primary that wants to know where our log ends.
func (c *Core) onNewTerm(p *part, from ring.ServerID) {
	if p.role != roleBackup || p.state != whole || from != p.view.Primary() {
		return
	}
	p.stateOwed = true
	if p.quiet() {
		c.sendState(p)
	}
}

// sendState tells the primary where our log ends; all of it is durable.
func (c *Core) sendState(p *part) {
	if !p.quiet() {
		return
	}
	p.stateOwed = false
	c.send(p, p.view.Primary(), &Message{Type: MsgState, Flags: c.roomFlag(), Last: p.log.last, Commit: p.commit,
		Floor: p.floor, Digest: p.log.digest, History: p.log.history})
}

func (c *Core) onState(p *part, from ring.ServerID, m *Message) {
	if p.lead == nil || p.lead.phase != reconciling {
		return
	}
	f := p.lead.follower(from)
	if f == nil || !f.acting() || f.state != nil && m.Last.Compare(f.state.Last) < 0 {
		return
	}
	f.state, f.movedAt = m, c.now.Mono
	c.noteRoom(f, m.Flags)
	c.tryReconcile(p)
}

// tryReconcile brings all acting replicas to the longest log among them (rule
// 1). It is called whenever something that it waits for has happened.
func (c *Core) tryReconcile(p *part) {
	l := p.lead
	if l == nil || l.phase != reconciling || !p.quiet() {
		return
	}
	longest, heard := (*follower)(nil), true
	commit := p.commit
	for _, f := range l.followers {
		if !f.acting() {
			continue
		}
		if f.state == nil {
			heard = false
			continue
		}
		commit = max(commit, f.state.Commit)
		if f.state.Last.Compare(p.log.last) > 0 && (longest == nil || f.state.Last.Compare(longest.state.Last) > 0) {
			longest = f
		}
	}
	switch {
	case !heard:
		return
	case longest != nil:
		c.send(p, longest.id, &Message{Type: MsgSuffixAsk, Prev: p.log.last})
		return
	case p.log.last.Seq < commit:
		c.eject(p, c.cfg.Self) // our disk forgot what it acknowledged
		return
	case !c.levelFollowers(p, commit):
		return
	}
	c.settle(p)
}

// levelFollowers sends shorter acting replicas what they lack and reports
// whether there are none.
func (c *Core) levelFollowers(p *part, commit uint64) bool {
	level := true
	for _, f := range p.lead.followers {
		if !f.acting() || f.state.Last == p.log.last {
			continue
		}
		level = false
		if f.state.Last.Seq < commit || f.state.Last.Seq < p.floor {
			c.eject(p, f.id)
			continue
		}
		if m := c.suffix(p, f.state.Last); m != nil {
			c.send(p, f.id, m)
		}
	}
	return level
}

// settle notes that all acting replicas have the same durable log.
func (c *Core) settle(p *part) {
	l := p.lead
	l.become(settled)
	l.windowFirst = p.log.last.Seq + 1
	for _, f := range l.followers {
		if !f.acting() {
			continue
		}
		if f.state != nil {
			invariant.Check(f.state.Digest == p.log.digest, "I4",
				"partition %d term %d: %v has digest %x at %v, the primary %x", p.id, p.term, f.id, f.state.Digest, p.log.last, p.log.digest)
			f.matchDigest = f.state.Digest
			c.learnCommit(p, f.state.Commit) // below min-copies that is all we may call committed
		}
		f.match, f.next, f.movedAt = p.log.last.Seq, l.windowFirst, c.now.Mono
	}
	c.tryActivate(p)
}

// tryActivate lets a settled primary serve once no older lease can hold (I8).
func (c *Core) tryActivate(p *part) {
	l := p.lead
	if l == nil || l.phase != settled {
		return
	}
	if !c.startWaited() {
		return
	}
	for x, until := range p.holds {
		if c.now.Mono >= until {
			delete(p.holds, x)
		}
	}
	if len(p.holds) > 0 {
		return
	}
	// Durable on every acting replica, and enough of them: committed.
	committed := p.enoughCopies()
	if !c.loadRecords(p) {
		return
	}
	next := active
	if !committed && !c.pendTail(p) {
		if len(p.view.Acting) > 1 {
			return
		}
		next = mute // alone it goes on for those who come back: nobody knows what may be read
	}
	l.become(next)
	l.untold(c.now.Mono)
	if committed {
		p.commit = p.log.last.Seq
		c.answerCommitted(p)
	}
	c.considerHandoff(p)
	c.drainQueue(p)
}

// pendTail marks the keys of entries that too few copies hold, so that reads of
// them wait; false when it can't.
func (c *Core) pendTail(p *part) bool {
	err := c.rows(p, p.commit, p.log.last.Seq, func(row Row) bool {
		for _, k := range row.Keys {
			p.lead.pending[k] = row.Seq
		}
		return true
	})
	if err != nil {
		c.spoiled(p, unfit, "read index", err)
	}
	return err == nil
}

// rows calls fn with the index rows after < seq ≤ to, those of the batch being
// filled included, until it returns false.
func (c *Core) rows(p *part, after, to uint64, fn func(Row) bool) error {
	if after >= to {
		return nil
	}
	var bad error
	goOn := true
	err := c.st.Index(p.id, after, func(seq uint64, b []byte) bool {
		if seq > to {
			return false
		}
		row, err := decodeRow(seq, b)
		if err != nil {
			bad = err
			return false
		}
		goOn = fn(row)
		return goOn
	})
	if err == nil {
		err = bad
	}
	if err != nil || !goOn || c.batch == nil {
		return err
	}
	for i := range c.batch.Ops {
		o := &c.batch.Ops[i]
		if o.Kind != PutIndex || o.Partition != p.id || o.Seq <= after || o.Seq > to {
			continue
		}
		row, err := decodeRow(o.Seq, o.Value)
		if err != nil {
			return err
		}
		if !fn(row) {
			break
		}
	}
	return nil
}

// suffix builds what brings a log that ends at from to the head of ours. The
// log must be quiet: it is, while its partition reconciles.
func (c *Core) suffix(p *part, from Version) *Message {
	m := &Message{Type: MsgSuffix, Prev: from, Last: p.log.last, Commit: p.commit, Digest: p.log.digest, History: p.log.history}
	touched := make(map[Key]bool)
	err := c.rows(p, from.Seq, p.log.last.Seq, func(row Row) bool {
		m.Rows = append(m.Rows, row)
		for _, k := range row.Keys {
			touched[k] = true
		}
		return true
	})
	if err != nil {
		c.spoiled(p, unfit, "build suffix", err)
		return nil
	}
	for _, k := range sortedKeys(touched) {
		item, err := c.get(p, k)
		if err != nil {
			c.spoiled(p, unfit, "build suffix", err)
			return nil
		}
		m.Items = append(m.Items, PageItem{Key: k, Item: item})
	}
	return m
}

// onSuffixAsk serves the primary's wish for the end of our log.
func (c *Core) onSuffixAsk(p *part, from ring.ServerID, m *Message) {
	if p.role != roleBackup || from != p.view.Primary() || p.state != whole || !p.quiet() || m.Prev.Seq < p.floor {
		return
	}
	if s := c.suffix(p, m.Prev); s != nil {
		c.send(p, from, s)
	}
}

// onSuffix moves our log to the end of a longer one, in one batch.
func (c *Core) onSuffix(p *part, from ring.ServerID, m *Message) {
	fromPrimary := p.role == roleBackup && p.state == whole && from == p.view.Primary()
	toPrimary := p.lead != nil && p.lead.phase == reconciling && p.view.IsActing(from)
	if !fromPrimary && !toPrimary {
		return
	}
	if m.Prev == p.log.last && m.Last.Compare(p.log.last) > 0 && p.quiet() {
		c.applySuffix(p, m)
	}
	if fromPrimary && p.damage != unfit { // it would get the same suffix again, at once
		p.stateOwed = true
		if p.quiet() {
			c.sendState(p)
		}
	}
}

func (c *Core) applySuffix(p *part, m *Message) {
	for _, it := range m.Items {
		if _, err := c.get(p, it.Key); err != nil {
			c.spoiled(p, unfit, "read for replacement", err)
			return // what is replaced counts for the digest
		}
	}
	for _, it := range m.Items {
		if !c.replace(p, &p.log, it.Key, it.Item) {
			return
		}
		c.put(p, it.Key, it.Item, NotKnown)
		c.healed(p, it.Key)
	}
	for _, row := range m.Rows {
		c.putRow(p, row)
	}
	invariant.Check(p.log.digest == m.Digest, "I4", "partition %d term %d: digest %x after the suffix to %v, the source has %x",
		p.id, p.term, p.log.digest, m.Last, m.Digest)
	p.log.last, p.log.history = m.Last, m.History
	p.commit = max(p.commit, m.Commit)
	c.touch(p)
}

// replace accounts for item taking the place of what is stored at key.
func (c *Core) replace(p *part, log *logState, key Key, item []byte) bool {
	old, err := c.get(p, key)
	if err != nil {
		c.fail("read for replacement", err)
		return false
	}
	c.accountItems(log, key, old, item)
	return true
}

func (c *Core) accountItems(log *logState, key Key, old, item []byte) {
	var before, after Item
	var err error
	if old != nil {
		before, _, err = header(old)
		c.fail("read item", err)
	}
	if item != nil {
		after, _, err = header(item)
		c.fail("read item", err)
	}
	log.account(key, before.Version, after.Version, len(before.Value), len(after.Value))
}
