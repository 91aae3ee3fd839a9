package replica

import "slices"

// Read takes a client's read. It comes out of a Ready once the key may be read,
// and is answered through Served.
func (c *Core) Read(at Instant, r Read) {
	c.enter(at)
	p := c.part(r.Partition)
	if p == nil || p.lead == nil {
		c.answerRead(&r, Answer{Status: c.notServing(p)})
		return
	}
	if !p.lead.serves() || p.lead.queues(r.Key) {
		c.enqueue(p, queued{since: at.Mono, read: &r})
		return
	}
	c.startRead(p, r)
}

// queues reports whether a write of a key waits for room: a read that comes after it
// must not overtake it, for one client may have sent both without waiting.
func (l *lead) queues(key Key) bool {
	for i := range l.queue {
		if w := l.queue[i].write; w != nil && w.touches(key) {
			return true
		}
	}
	return false
}

// touches reports whether a request may write a key.
func (r *Request) touches(key Key) bool {
	return r.Key == key || slices.ContainsFunc(r.Writes, func(w KeyWrite) bool { return w.Key == key })
}

// startRead lets a read go on once nothing uncommitted lies on its key and the
// partition may answer (rule 4).
func (c *Core) startRead(p *part, r Read) {
	l := p.lead
	if l.phase == mute {
		c.answerRead(&r, Answer{Status: StatusUnavailable})
		return
	}
	r.Confirmed, r.since = false, c.now.Mono
	if seq, uncommitted := l.pending[r.Key]; uncommitted {
		r.become(readBlocked)
		r.after = seq
		l.readers[r.Key] = append(l.readers[r.Key], r)
		return
	}
	r.Term = p.term
	if c.leased(p) {
		r.become(readFetching)
		c.out.Reads = grow(c.out.Reads, c.sizes.reads, r)
		return
	}
	r.become(readAsking)
	l.asks = append(l.asks, r)
	if len(l.question) == 0 {
		c.askConfirm(p)
	}
}

// readCommitted answers a read with what an entry wrote, in the moment in which
// the entry is committed.
func (c *Core) readCommitted(p *part, r *Read) {
	if !c.leased(p) {
		c.startRead(p, *r)
		return
	}
	if r.Item == nil {
		c.answerRead(r, Answer{Status: StatusNotFound})
		return
	}
	it, _, err := header(r.Item)
	c.fail("read entry", err)
	if c.expired(&it) {
		c.startRead(p, *r)
		return
	}
	pc := Piece{Item: it}
	pc.cut(r.Cut)
	c.answerRead(r, pc.answer())
}

// leased reports whether this primary may answer reads by itself (rule 3): it
// has enough copies, and every other acting or proposed replica promised to
// help nobody else, while knowing this term.
func (c *Core) leased(p *part) bool {
	if !p.enoughCopies() {
		return false
	}
	for _, f := range p.lead.followers {
		if !f.joint() {
			continue
		}
		q := c.peer(f.id)
		known := p.term <= q.promise.Epoch && q.promise.Epoch <= c.view.Epoch
		if !known || c.now.Mono >= q.promise.Until {
			return false
		}
	}
	return true
}

// askConfirm asks the view leader whether the term still stands, for all reads
// that arrived before now.
func (c *Core) askConfirm(p *part) {
	l := p.lead
	l.question, l.asks = l.asks, nil
	for i := range l.question {
		l.question[i].become(readAsked)
	}
	l.askedConfirm = c.now.Mono
	c.confirmToken++
	c.confirms[c.confirmToken] = p
	l.confirmToken = c.confirmToken
	c.out.ToLeader = append(c.out.ToLeader, LeaderRequest{Kind: AskConfirm, Partition: p.id, Term: p.term, Token: c.confirmToken})
}

// Confirmed takes the answer to AskConfirm; ok is false when the view leader
// could not be asked.
func (c *Core) Confirmed(at Instant, token uint64, ok bool) {
	c.enter(at)
	p := c.confirms[token]
	delete(c.confirms, token)
	if p == nil || p.lead == nil || p.lead.confirmToken != token {
		return
	}
	l := p.lead
	asked := l.question
	l.question = nil
	for i := range asked {
		r := &asked[i]
		if !ok {
			c.answerRead(r, Answer{Status: StatusUnavailable})
			continue
		}
		r.become(readFetching)
		r.Confirmed = true
		c.out.Reads = append(c.out.Reads, *r)
	}
	if len(l.asks) > 0 {
		c.askConfirm(p)
	}
}

// Served takes back reads with what the store had. at must be later than the
// fetching: the term, the lease and the key are looked at again, and what does
// not hold any more is read once more.
func (c *Core) Served(at Instant, rs []Read) {
	c.enter(at)
	for i := range rs {
		r := &rs[i]
		p := c.part(r.Partition)
		if p == nil || p.lead == nil {
			c.answerRead(r, Answer{Status: StatusMoved})
			continue
		}
		c.served(p, r)
	}
}

func (c *Core) served(p *part, r *Read) {
	l := p.lead
	again := r.Term != p.term || !l.serves()
	if !again && !r.Confirmed {
		again = !c.leased(p)
	}
	pc, err := r.found()
	// What was read may be an entry that is not committed yet: the write came
	// after the read was handed out.
	_, uncommitted := l.pending[r.Key]
	if uncommitted || pc.Version.Seq > p.commit {
		again = true
	}
	switch {
	case again:
		fresh := r.again()
		if !l.serves() {
			c.enqueue(p, queued{since: c.now.Mono, read: &fresh})
			return
		}
		c.startRead(p, fresh)
	case err != nil:
		fresh := r.again()
		c.awaitMend(p, r.Key, queued{since: c.now.Mono, read: &fresh})
	case !pc.Version.IsZero() && c.expired(&pc.Item):
		c.readExpired(p, r)
	default:
		a := pc.answer()
		a.Confirmed = r.Confirmed
		c.answerRead(r, a)
	}
}
