package replica

import (
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

// sequence adds an entry to the log: applied here, sent to every follower when
// the core is next asked for its Ready (rule 2). answer, if any, is given once
// the entry is committed.
func (l *primary) sequence(writes []Write, answer *Answer) {
	invariant.Check(l.part.enoughCopies(), "I3", "partition %d term %d: an entry with %d copies", l.part.id, l.part.term, len(l.part.view.Acting))
	e := &Entry{Version: Version{Term: l.part.term, Seq: l.part.log.last.Seq + 1}, Writes: writes}
	l.part.applyEntry(e)
	e.Digest = l.part.log.digest
	l.window = append(l.window, e)
	l.windowBytes += e.size()
	l.flightBytes += e.size()
	for i := range writes {
		l.pending[writes[i].Key] = e.Version.Seq
	}
	if answer != nil {
		l.part.waiting = append(l.part.waiting, waitingWrite{seq: e.Version.Seq, since: l.core.now.Mono, answer: *answer})
	}
	if !l.part.sending {
		l.part.sending = true
		l.core.toSend = append(l.core.toSend, l.part)
	}
}

// applyEntry puts an entry's writes, its row and the log's new head into the
// batch. The entry follows the head.
func (p *part) applyEntry(e *Entry) {
	for i := range e.Writes {
		w := &e.Writes[i]
		var after Version
		var grows int
		if w.Item != nil {
			it, _, err := header(w.Item)
			p.core.fail("apply entry", err)
			after, grows = it.Version, len(it.Value)
		}
		p.log.account(w.Key, w.Before, after, int(w.Shrinks), grows)
		p.put(w.Key, w.Item, presence(w.Before))
		p.repairer.healed(w.Key)
	}
	p.log.advance(e.Version)
	p.putEntryRow(e)
	p.trimIndex(e)
	p.touch()
}

// rowBytesMore is about what a row takes on the disk besides its content, and keyBytesMore
// what a key does besides its value.
const (
	rowBytesMore = 60
	keyBytesMore = 64
)

// indexBytes is how much of the change index is kept: rows of more keys than a share of the
// partition's tell a returning server little that a full copy would not.
func (p *part) indexBytes() int64 {
	return max(p.core.cfg.Limits.IndexBytes, (p.log.bytes+keyBytesMore*p.log.keys)/indexShare)
}

// trimIndex drops old rows after an entry: beyond a number of rows, and all but those of
// the last IndexKeys keys, or of the last indexBytes, whose rows are counted in pieces: what
// is kept is so much and a piece more at most.
func (p *part) trimIndex(e *Entry) {
	limits := &p.core.cfg.Limits
	rows, due := limits.IndexRows, p.log.last.Seq%limits.IndexTrimEvery == 0
	p.index.rows++
	p.index.keys += len(e.Writes)
	p.index.bytes += int64(e.rowBytes() + rowBytesMore)
	if p.index.keys >= limits.IndexKeys/indexPieces || p.index.bytes >= p.indexBytes()/indexPieces {
		copy(p.index.pieces[1:], p.index.pieces[:])
		p.index.pieces[0] = p.index.rows
		p.index.rows, p.index.keys, p.index.bytes = 0, 0, 0
		if p.index.pieces[indexPieces-1] > 0 {
			kept := uint64(0)
			for _, n := range p.index.pieces {
				kept += n
			}
			rows, due = min(rows, kept), true
		}
	}
	if due && p.commit > rows && p.commit-rows > p.floor {
		p.floor = p.commit - rows
		p.core.op(StoreOp{Kind: TrimIndex, Partition: p.id, Seq: p.floor})
	}
}

// sendEntries sends each follower what it has not been sent.
func (l *primary) sendEntries() {
	if l.phase == reconciling {
		return
	}
	for _, f := range l.followers {
		if f.next <= l.part.log.last.Seq {
			l.sendFrom(f)
		}
	}
}

// sendFrom sends a follower the entries from f.next on. One that needs what the
// window no longer has is told to subscribe again.
func (l *primary) sendFrom(f *follower) {
	if f.next < l.windowFirst {
		if !f.joint() {
			l.dropFollower(f.id)
			l.part.send(f.id, &Message{Type: MsgAppend, Flags: flagGap, Sub: f.sub})
		}
		return
	}
	m := &Message{Type: MsgAppend, Prev: l.part.versionAt(f.next - 1), Commit: l.part.commit, Digest: l.part.log.digest, Last: l.part.log.last}
	m.Entries = append(m.Entries, l.window[f.next-l.windowFirst:]...)
	if f.match+1 == f.next {
		f.movedAt = l.core.now.Mono
	}
	f.next, f.told = l.part.log.last.Seq+1, l.part.commit
	l.part.send(f.id, m)
}

// versionAt returns the version of the entry with that seq, which history
// determines.
func (p *part) versionAt(seq uint64) Version {
	hs := p.log.history
	for i := len(hs) - 1; i >= 0; i-- {
		if hs[i].First <= seq {
			return Version{Term: hs[i].Term, Seq: seq}
		}
	}
	return Version{Seq: seq}
}

// onAck notes how far a follower's log is durable.
func (l *primary) onAck(from ring.ServerID, m *Message) {
	if l.phase == reconciling {
		return
	}
	f := l.follower(from)
	if f != nil && !f.acting() && m.Sub < f.sub {
		return // from before the learner subscribed again
	}
	if f == nil || !f.acting() && m.Sub > f.sub {
		// A learner that we dropped, or whose old Subscribe came late.
		if f == nil || !f.proposed() {
			l.dropFollower(from)
			l.part.send(from, &Message{Type: MsgAppend, Flags: flagGap, Sub: m.Sub})
		}
		return
	}
	f.note(m.Flags, l.core.now.Mono)
	switch {
	case m.Flags&flagReady != 0 && !f.acting() && !f.ready():
		f.become(followerReady)
		f.match = m.Seq // so far it told what it had, not what was durable
	case f.phase == followerSubscribed:
		f.become(followerBehind)
		f.match = min(f.match, m.Seq) // it is too high where its Subscribe came twice: it goes by the first answer
	}
	if m.Seq > f.match {
		f.match, f.movedAt, f.resends = m.Seq, l.core.now.Mono, 0
	}
	exact := f.acting() || m.Flags&flagReady != 0 // a learner's keep-alive has no digest
	if m.Seq == f.match && exact {
		f.matchDigest = m.Digest
	}
	invariant.Check(!exact || m.Seq != l.part.log.last.Seq || m.Digest == l.part.log.digest, "I4",
		"partition %d term %d: %v acknowledges %d with digest %x, the primary has %x", l.part.id, l.part.term, from, m.Seq, m.Digest, l.part.log.digest)
	if m.Flags&flagGap != 0 && f.next > m.Seq+1 && m.Seq >= f.match {
		l.resend(f)
	}
	l.advanceCommit()
	if f.ready() {
		l.considerHandoff()
	}
}

// advanceCommit commits what is durable everywhere (I3), answers it and lets
// the reads that waited for it go on.
func (l *primary) advanceCommit() {
	if !l.serves() || !l.part.enoughCopies() {
		return
	}
	commit := l.part.durable
	for _, f := range l.followers {
		if f.joint() {
			commit = min(commit, f.match)
		}
	}
	if commit <= l.part.commit {
		return
	}
	invariant.Check(commit <= l.part.log.last.Seq, "I5", "partition %d: commit %d beyond the log's %d", l.part.id, commit, l.part.log.last.Seq)
	readers, before := l.release(commit), l.part.commit
	l.part.commit = commit
	l.untold(l.core.now.Mono)
	l.tellCommitted(before)
	l.part.answerCommitted()
	for i := range readers {
		l.reads.readCommitted(&readers[i])
	}
	l.trimWindow()
	l.part.releaseHeld()
	l.considerHandoff()
	l.part.retire()
	l.drainQueue()
}

// untold notes that the commit has moved. The next append tells it; only where none
// follows soon a notice is worth its own message.
func (l *primary) untold(now time.Duration) {
	if !l.notice {
		l.notice, l.noticeAt = true, now
	}
}

// release drops the pending marks of the entries up to commit and returns the
// reads that waited for one of them, with what it wrote: under a stream of writes
// to one key a read would otherwise wait for a pause in it.
func (l *primary) release(commit uint64) []Read {
	var readers []Read
	for seq := max(l.part.commit+1, l.windowFirst); seq <= commit; seq++ {
		e := l.window[seq-l.windowFirst]
		l.flightBytes -= e.size()
		for i := range e.Writes {
			key := e.Writes[i].Key
			if l.pending[key] == seq {
				delete(l.pending, key)
			}
			readers = append(readers, l.reads.release(key, seq, e.Writes[i].Item)...)
		}
	}
	return readers
}

// trimWindow drops the entries that every follower has, and for slow learners
// keeps no more than Limits.KeptBytes.
func (l *primary) trimWindow() {
	keep, pinned := l.part.commit+1, l.part.commit+1
	for _, f := range l.followers {
		keep = min(keep, f.match+1)
		if f.joint() {
			pinned = min(pinned, f.match+1)
		}
	}
	n := 0
	for n < len(l.window) {
		seq := l.windowFirst + uint64(n)
		if seq >= pinned || seq >= keep && l.windowBytes <= l.core.cfg.Limits.KeptBytes {
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
func (l *primary) eject(id ring.ServerID) {
	if l.ejectedAt != 0 && l.core.now.Mono-l.ejectedAt < askAfter {
		return
	}
	l.ejectedAt = l.core.now.Mono
	l.part.askEject(id)
}

func (p *part) askEject(id ring.ServerID) {
	p.core.out.ToLeader = append(p.core.out.ToLeader, LeaderRequest{Kind: AskEject, Partition: p.id, Term: p.term,
		Acting: []ring.Incarnated{{ID: id, Incarnation: p.core.incarnation(id)}}})
}
