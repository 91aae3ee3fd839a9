package replica

import (
	"viewring/internal/invariant"
	"viewring/ring"
)

// onNewTerm answers a primary that wants to know where our log ends.
func (p *part) onNewTerm(from ring.ServerID) {
	if p.role != roleBackup || p.state != whole || from != p.view.Primary() {
		return
	}
	p.stateOwed = true
	if p.quiet() {
		p.sendState()
	}
}

// sendState tells the primary where our log ends; all of it is durable.
func (p *part) sendState() {
	if !p.quiet() {
		return
	}
	p.stateOwed = false
	p.send(p.view.Primary(), &Message{Type: MsgState, Flags: p.core.roomFlag() | p.owesFlag(), Last: p.log.last, Commit: p.commit,
		Floor: p.floor, Bytes: p.stoppedFor(), Digest: p.log.digest, History: p.log.history})
}

func (l *primary) onState(from ring.ServerID, m *Message) {
	if l.phase != reconciling {
		return
	}
	f := l.follower(from)
	if f == nil || !f.acting() || f.state != nil && m.Last.Compare(f.state.Last) < 0 {
		return
	}
	f.state, f.movedAt = m, l.core.now.Mono
	f.note(m.Flags, l.core.now.Mono)
	l.noteStopped(m.Bytes)
	l.tryReconcile()
}

// tryReconcile brings all acting replicas to the longest log among them (rule
// 1). It is called whenever something that it waits for has happened.
func (l *primary) tryReconcile() {
	if l.phase != reconciling || !l.part.quiet() {
		return
	}
	longest, answered := (*follower)(nil), true
	commit := l.part.commit
	for _, f := range l.followers {
		if !f.acting() {
			continue
		}
		if f.state == nil {
			answered = false
			continue
		}
		commit = max(commit, f.state.Commit)
		if f.state.Last.Compare(l.part.log.last) > 0 && (longest == nil || f.state.Last.Compare(longest.state.Last) > 0) {
			longest = f
		}
	}
	switch {
	case !answered:
		return
	case longest != nil:
		l.part.send(longest.id, &Message{Type: MsgSuffixAsk, Prev: l.part.log.last})
		return
	case l.part.log.last.Seq < commit:
		l.eject(l.core.cfg.Self) // our disk forgot what it acknowledged
		return
	case !l.levelFollowers(commit):
		return
	}
	l.endReconcile()
}

// levelFollowers sends shorter acting replicas what they lack and reports
// whether there are none.
func (l *primary) levelFollowers(commit uint64) bool {
	level := true
	for _, f := range l.followers {
		if !f.acting() || f.state.Last == l.part.log.last {
			continue
		}
		level = false
		if f.state.Last.Seq < commit || f.state.Last.Seq < l.part.floor {
			l.eject(f.id)
			continue
		}
		if m := l.part.suffix(f.state.Last); m != nil {
			l.part.send(f.id, m)
		}
	}
	return level
}

// endReconcile notes that all acting replicas have the same durable log.
func (l *primary) endReconcile() {
	l.become(reconciled)
	l.windowFirst = l.part.log.last.Seq + 1
	for _, f := range l.followers {
		if !f.acting() {
			continue
		}
		if f.state != nil {
			invariant.Check(f.state.Digest == l.part.log.digest, "I4",
				"partition %d term %d: %v has digest %x at %v, the primary %x", l.part.id, l.part.term, f.id, f.state.Digest, l.part.log.last, l.part.log.digest)
			f.matchDigest = f.state.Digest
			l.part.learnCommit(f.state.Commit) // below min-copies that is all we may call committed
		}
		f.match, f.next, f.movedAt = l.part.log.last.Seq, l.windowFirst, l.core.now.Mono
	}
	l.tryActivate()
}

// tryActivate lets a reconciled primary serve once no older lease can hold (I8).
func (l *primary) tryActivate() {
	if l.phase != reconciled {
		return
	}
	if !l.core.startWaited() {
		return
	}
	for x, until := range l.part.holds {
		if l.core.now.Mono >= until {
			delete(l.part.holds, x)
		}
	}
	if len(l.part.holds) > 0 {
		return
	}
	// Durable on every acting replica, and enough of them: committed.
	committed := l.part.enoughCopies()
	if !l.loadRecords() {
		return
	}
	next := active
	if !committed && !l.pendTail() {
		if len(l.part.view.Acting) > 1 {
			return
		}
		next = mute // alone it goes on for those who come back: nobody knows what may be read
	}
	l.become(next)
	l.reportStop()
	l.untold(l.core.now.Mono)
	if committed {
		l.part.commit = l.part.log.last.Seq
	}
	l.beginFeed()
	l.watchers.beginAll()
	if committed {
		l.part.answerCommitted()
	}
	for _, f := range l.followers {
		if f.owes || l.core.isDraining(f.id) {
			l.tell(f) // who waits for that
		}
	}
	l.considerHandoff()
	l.drainQueue()
}

// pendTail marks the keys of entries that too few copies hold, so that reads of
// them wait; false when it can't.
func (l *primary) pendTail() bool {
	err := l.part.rows(l.part.commit, l.part.log.last.Seq, func(row Row) bool {
		for _, k := range row.Keys {
			l.pending[k] = row.Seq
		}
		return true
	})
	if err != nil {
		l.part.spoiled(unfit, "read index", err)
	}
	return err == nil
}

// rows calls fn with the index rows after < seq ≤ to, those of the batch being
// filled included, until it returns false.
func (p *part) rows(after, to uint64, fn func(Row) bool) error {
	if after >= to {
		return nil
	}
	var bad error
	goOn := true
	err := p.core.st.Index(p.id, after, func(seq uint64, b []byte) bool {
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
	if err != nil || !goOn || p.core.batch == nil {
		return err
	}
	for i := range p.core.batch.Ops {
		o := &p.core.batch.Ops[i]
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
func (p *part) suffix(from Version) *Message {
	m := &Message{Type: MsgSuffix, Prev: from, Last: p.log.last, Commit: p.commit, Digest: p.log.digest, History: p.log.history}
	touched := make(map[Key]bool)
	err := p.rows(from.Seq, p.log.last.Seq, func(row Row) bool {
		m.Rows = append(m.Rows, row)
		for _, k := range row.Keys {
			touched[k] = true
		}
		return true
	})
	if err != nil {
		p.spoiled(unfit, "build suffix", err)
		return nil
	}
	for _, k := range sortedKeys(touched) {
		item, err := p.get(k)
		if err != nil {
			p.spoiled(unfit, "build suffix", err)
			return nil
		}
		m.Items = append(m.Items, PageItem{Key: k, Item: item})
	}
	return m
}

// onSuffixAsk serves the primary's wish for the end of our log.
func (p *part) onSuffixAsk(from ring.ServerID, m *Message) {
	if p.role != roleBackup || from != p.view.Primary() || p.state != whole || !p.quiet() || m.Prev.Seq < p.floor {
		return
	}
	if s := p.suffix(m.Prev); s != nil {
		p.send(from, s)
	}
}

// onSuffix moves our log to the end of a longer one, in one batch.
func (p *part) onSuffix(from ring.ServerID, m *Message) {
	fromPrimary := p.role == roleBackup && p.state == whole && from == p.view.Primary()
	toPrimary := p.lead != nil && p.lead.phase == reconciling && p.view.IsActing(from)
	if !fromPrimary && !toPrimary {
		return
	}
	if m.Prev == p.log.last && m.Last.Compare(p.log.last) > 0 && p.quiet() {
		p.applySuffix(m)
	}
	if fromPrimary && p.damage != unfit { // it would get the same suffix again, at once
		p.stateOwed = true
		if p.quiet() {
			p.sendState()
		}
	}
}

func (p *part) applySuffix(m *Message) {
	for _, it := range m.Items {
		if _, err := p.get(it.Key); err != nil {
			p.spoiled(unfit, "read for replacement", err)
			return // what is replaced counts for the digest
		}
	}
	for _, it := range m.Items {
		if !p.replace(&p.log, it.Key, it.Item) {
			return
		}
		p.put(it.Key, it.Item, NotKnown)
		p.repairer.healed(it.Key)
	}
	for _, row := range m.Rows {
		p.putRow(row)
	}
	invariant.Check(p.log.digest == m.Digest, "I4", "partition %d term %d: digest %x after the suffix to %v, the source has %x",
		p.id, p.term, p.log.digest, m.Last, m.Digest)
	p.log.last, p.log.history = m.Last, m.History
	p.commit = max(p.commit, m.Commit)
	p.answerCommitted()
	p.touch()
}

// replace accounts for item taking the place of what is stored at key.
func (p *part) replace(log *logState, key Key, item []byte) bool {
	old, err := p.get(key)
	if err != nil {
		p.core.fail("read for replacement", err)
		return false
	}
	p.core.accountItems(log, key, old, item)
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
