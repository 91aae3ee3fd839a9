package replica

import (
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

// sequence adds an entry to the log: applied here, sent to every follower when
// the core is next asked for its Ready (rule 2). answer, if any, is given once
// the entry is committed.
func (c *Core) sequence(p *part, writes []Write, answer *Answer) {
	l := p.lead
	invariant.Check(p.enoughCopies(), "I3", "partition %d term %d: an entry with %d copies", p.id, p.term, len(p.view.Acting))
	e := &Entry{Version: Version{Term: p.term, Seq: p.log.last.Seq + 1}, Writes: writes}
	c.applyEntry(p, e)
	e.Digest = p.log.digest
	l.window = append(l.window, e)
	l.windowBytes += e.size()
	l.flightBytes += e.size()
	for i := range writes {
		l.pending[writes[i].Key] = e.Version.Seq
	}
	if answer != nil {
		l.waiting = append(l.waiting, waitingWrite{seq: e.Version.Seq, since: c.now.Mono, answer: *answer})
	}
	if !p.sending {
		p.sending = true
		c.toSend = append(c.toSend, p)
	}
}

// applyEntry puts an entry's writes, its row and the log's new head into the
// batch. The entry follows the head.
func (c *Core) applyEntry(p *part, e *Entry) {
	for i := range e.Writes {
		w := &e.Writes[i]
		var after Version
		var grows int
		if w.Item != nil {
			it, _, err := header(w.Item)
			c.fail("apply entry", err)
			after, grows = it.Version, len(it.Value)
		}
		p.log.account(w.Key, w.Before, after, int(w.Shrinks), grows)
		c.put(p, w.Key, w.Item, presence(w.Before))
		c.healed(p, w.Key)
	}
	p.log.advance(e.Version)
	c.putEntryRow(p, e)
	c.trimIndex(p, e)
	c.touch(p)
}

// rowBytesMore is about what a row takes on the disk besides its content, and keyBytesMore
// what a key does besides its value.
const (
	rowBytesMore = 60
	keyBytesMore = 64
)

// indexBytes is how much of the change index is kept: rows of more keys than a share of the
// partition's tell a returning server little that a full copy would not.
func (c *Core) indexBytes(p *part) int64 {
	return max(c.cfg.Limits.IndexBytes, (p.log.bytes+keyBytesMore*p.log.keys)/indexShare)
}

// trimIndex drops old rows after an entry: beyond a number of rows, and all but those of
// the last IndexKeys keys, or of the last indexBytes, whose rows are counted in pieces: what
// is kept is so much and a piece more at most.
func (c *Core) trimIndex(p *part, e *Entry) {
	limits := &c.cfg.Limits
	rows, due := limits.IndexRows, p.log.last.Seq%limits.IndexTrimEvery == 0
	p.rows++
	p.keys += len(e.Writes)
	p.rowBytes += int64(e.rowBytes() + rowBytesMore)
	if p.keys >= limits.IndexKeys/indexPieces || p.rowBytes >= c.indexBytes(p)/indexPieces {
		copy(p.pieces[1:], p.pieces[:])
		p.pieces[0] = p.rows
		p.rows, p.keys, p.rowBytes = 0, 0, 0
		if p.pieces[indexPieces-1] > 0 {
			kept := uint64(0)
			for _, n := range p.pieces {
				kept += n
			}
			rows, due = min(rows, kept), true
		}
	}
	if due && p.commit > rows && p.commit-rows > p.floor {
		p.floor = p.commit - rows
		c.op(StoreOp{Kind: TrimIndex, Partition: p.id, Seq: p.floor})
	}
}

// sendEntries sends each follower what it has not been sent.
func (c *Core) sendEntries(p *part) {
	l := p.lead
	if l == nil || l.phase == reconciling {
		return
	}
	for _, f := range l.followers {
		if f.next <= p.log.last.Seq {
			c.sendFrom(p, f)
		}
	}
}

// sendFrom sends a follower the entries from f.next on. One that needs what the
// window no longer has is told to subscribe again.
func (c *Core) sendFrom(p *part, f *follower) {
	l := p.lead
	if f.next < l.windowFirst {
		if !f.joint() {
			l.dropFollower(f.id)
			c.send(p, f.id, &Message{Type: MsgAppend, Flags: flagGap, Sub: f.sub})
		}
		return
	}
	m := &Message{Type: MsgAppend, Prev: c.versionAt(p, f.next-1), Commit: p.commit, Digest: p.log.digest, Last: p.log.last}
	m.Entries = append(m.Entries, l.window[f.next-l.windowFirst:]...)
	if f.match+1 == f.next {
		f.movedAt = c.now.Mono
	}
	f.next, f.told = p.log.last.Seq+1, p.commit
	c.send(p, f.id, m)
}

// versionAt returns the version of the entry with that seq, which history
// determines.
func (c *Core) versionAt(p *part, seq uint64) Version {
	hs := p.log.history
	for i := len(hs) - 1; i >= 0; i-- {
		if hs[i].First <= seq {
			return Version{Term: hs[i].Term, Seq: seq}
		}
	}
	return Version{Seq: seq}
}

// onAck notes how far a follower's log is durable.
func (c *Core) onAck(p *part, from ring.ServerID, m *Message) {
	if p.lead == nil || p.lead.phase == reconciling {
		return
	}
	l := p.lead
	f := l.follower(from)
	if f != nil && !f.acting() && m.Sub < f.sub {
		return // from before the learner subscribed again
	}
	if f == nil || !f.acting() && m.Sub > f.sub {
		// A learner that we dropped, or whose old Subscribe came late.
		if f == nil || !f.proposed() {
			l.dropFollower(from)
			c.send(p, from, &Message{Type: MsgAppend, Flags: flagGap, Sub: m.Sub})
		}
		return
	}
	c.noteRoom(f, m.Flags)
	switch {
	case m.Flags&flagReady != 0 && !f.acting() && !f.ready():
		f.become(followerReady)
		f.match = m.Seq // so far it told what it had, not what was durable
	case f.phase == followerSubscribed:
		f.become(followerBehind)
		f.match = min(f.match, m.Seq) // it is too high where its Subscribe came twice: it goes by the first answer
	}
	if m.Seq > f.match {
		f.match, f.movedAt, f.resends = m.Seq, c.now.Mono, 0
	}
	exact := f.acting() || m.Flags&flagReady != 0 // a learner's keep-alive has no digest
	if m.Seq == f.match && exact {
		f.matchDigest = m.Digest
	}
	invariant.Check(!exact || m.Seq != p.log.last.Seq || m.Digest == p.log.digest, "I4",
		"partition %d term %d: %v acknowledges %d with digest %x, the primary has %x", p.id, p.term, from, m.Seq, m.Digest, p.log.digest)
	if m.Flags&flagGap != 0 && f.next > m.Seq+1 && m.Seq >= f.match {
		c.resend(p, f)
	}
	c.advanceCommit(p)
	if f.ready() {
		c.considerHandoff(p)
	}
}

// advanceCommit commits what is durable everywhere (I3), answers it and lets
// the reads that waited for it go on.
func (c *Core) advanceCommit(p *part) {
	l := p.lead
	if l == nil || !l.serves() || !p.enoughCopies() {
		return
	}
	commit := p.durable
	for _, f := range l.followers {
		if f.joint() {
			commit = min(commit, f.match)
		}
	}
	if commit <= p.commit {
		return
	}
	invariant.Check(commit <= p.log.last.Seq, "I5", "partition %d: commit %d beyond the log's %d", p.id, commit, p.log.last.Seq)
	readers := c.release(p, commit)
	p.commit = commit
	l.untold(c.now.Mono)
	c.answerCommitted(p)
	for i := range readers {
		c.readCommitted(p, &readers[i])
	}
	c.trimWindow(p)
	c.releaseHeld(p)
	c.considerHandoff(p)
	c.retire(p)
	c.drainQueue(p)
}

// untold notes that the commit has moved. The next append tells it; only where none
// follows soon a notice is worth its own message.
func (l *lead) untold(now time.Duration) {
	if !l.notice {
		l.notice, l.noticeAt = true, now
	}
}

// answerCommitted answers the writes that are committed.
func (c *Core) answerCommitted(p *part) {
	l := p.lead
	n := 0
	for n < len(l.waiting) && l.waiting[n].seq <= p.commit {
		c.answer(l.waiting[n].answer)
		n++
	}
	l.waiting = l.waiting[n:]
}

// release drops the pending marks of the entries up to commit and returns the
// reads that waited for one of them, with what it wrote: under a stream of writes
// to one key a read would otherwise wait for a pause in it.
func (c *Core) release(p *part, commit uint64) []Read {
	l := p.lead
	var readers []Read
	for seq := max(p.commit+1, l.windowFirst); seq <= commit; seq++ {
		e := l.window[seq-l.windowFirst]
		l.flightBytes -= e.size()
		for i := range e.Writes {
			key := e.Writes[i].Key
			if l.pending[key] == seq {
				delete(l.pending, key)
			}
			readers = append(readers, l.releaseReaders(key, seq, e.Writes[i].Item)...)
		}
	}
	return readers
}

// releaseReaders takes those that wait for no later entry of their key than seq. Others
// came after that one, maybe from a client whose own write it is.
func (l *lead) releaseReaders(key Key, seq uint64, item []byte) (readers []Read) {
	waiting := l.readers[key]
	kept := waiting[:0]
	for _, r := range waiting {
		if r.after > seq {
			kept = append(kept, r)
			continue
		}
		r.Item = item
		readers = append(readers, r)
	}
	if len(kept) == 0 {
		delete(l.readers, key)
	} else {
		l.readers[key] = kept
	}
	return readers
}

// trimWindow drops the entries that every follower has, and for slow learners
// keeps no more than Limits.KeptBytes.
func (c *Core) trimWindow(p *part) {
	l := p.lead
	keep, pinned := p.commit+1, p.commit+1
	for _, f := range l.followers {
		keep = min(keep, f.match+1)
		if f.joint() {
			pinned = min(pinned, f.match+1)
		}
	}
	n := 0
	for n < len(l.window) {
		seq := l.windowFirst + uint64(n)
		if seq >= pinned || seq >= keep && l.windowBytes <= c.cfg.Limits.KeptBytes {
			break
		}
		l.windowBytes -= l.window[n].size()
		l.window[n] = nil
		n++
	}
	l.window = l.window[n:]
	l.windowFirst += uint64(n)
}

// eject asks the view leader to take a replica out; repeated while it is due.
func (c *Core) eject(p *part, id ring.ServerID) {
	l := p.lead
	if l.ejectedAt != 0 && c.now.Mono-l.ejectedAt < askAfter {
		return
	}
	l.ejectedAt = c.now.Mono
	c.askEject(p, id)
}

func (c *Core) askEject(p *part, id ring.ServerID) {
	c.out.ToLeader = append(c.out.ToLeader, LeaderRequest{Kind: AskEject, Partition: p.id, Term: p.term,
		Acting: []ring.Incarnated{{ID: id, Incarnation: c.incarnation(id)}}})
}
