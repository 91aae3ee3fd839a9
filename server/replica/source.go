package replica

import (
	"errors"
	"slices"

	"viewring/ring"
)

// heldPage is a page whose state its source does not know to be committed yet.
type heldPage struct {
	to   ring.ServerID
	page *Message
}

// deferredFetch is a Fetch that came while the partition's newest entries were
// in a batch not yet visible to Scan.
type deferredFetch struct {
	p    *part
	term uint64
	from ring.ServerID
	m    *Message
}

// onSubscribe makes a server that is wanted a follower, and tells it how much it must copy.
func (l *primary) onSubscribe(from ring.ServerID, m *Message) {
	if !l.serves() || !l.part.isWanted(from) || l.part.view.IsActing(from) {
		return
	}
	f := l.follower(from)
	if f != nil && (f.proposed() || m.Sub <= f.sub) {
		return // only a higher term ends a proposal; an older subscription is over
	}
	out := &Message{Type: MsgSubscribed, Sub: m.Sub, Seq: l.part.log.last.Seq, Last: l.part.log.last, Digest: l.part.log.digest,
		Commit: l.part.commit, History: l.part.log.history}
	common, ok := commonPoint(m.History, m.Last.Seq, l.part.log.history, l.part.log.last.Seq)
	base := ok && m.Flags&flagBase != 0 && common >= m.Floor
	switch {
	case base && m.Flags&flagReady != 0 && l.part.oneLog(from, m, common) && (l.phase == mute || m.Last.Seq > common):
		out.Flags, common = flagBase, l.part.log.last.Seq
	case !base || common < l.part.floor:
		out.Flags = flagFull
		if l.part.log.last.Seq == 0 {
			out.Flags |= flagDone // there is nothing to copy
		}
		// Rows of what may not be committed come along: the new copy may be a
		// primary before it is, and others may lack it.
		common = max(l.part.commit, l.part.floor)
	}
	l.addRows(out, common)
	l.dropFollower(from)
	l.addFollower(&follower{id: from, incarnation: l.core.incarnation(from), phase: followerSubscribed, sub: m.Sub, match: l.part.log.last.Seq,
		next: l.part.log.last.Seq + 1, movedAt: l.core.now.Mono})
	if len(l.window) == 0 {
		l.windowFirst = l.part.log.last.Seq + 1
	}
	l.part.send(from, out)
}

// addRows tells a learner what changed above the common point; all of it, where that is
// too much for one message or cannot be read.
func (l *primary) addRows(out *Message, common uint64) {
	out.Floor, out.Rows = common, nil
	bytes, full := 0, out.Flags&flagFull != 0
	err := l.part.rows(common, l.part.log.last.Seq, func(row Row) bool {
		out.Rows = append(out.Rows, row)
		bytes += rowsBytes(out.Rows[len(out.Rows)-1:])
		return full || bytes <= l.core.cfg.Limits.DeltaBytes
	})
	switch {
	case err != nil:
		l.part.spoiled(damaged, "read index", err)
		out.Flags, out.Floor, out.Rows = flagFull, l.part.log.last.Seq, nil
	case !full && bytes > l.core.cfg.Limits.DeltaBytes:
		out.Flags = flagFull
		l.addRows(out, max(l.part.commit, l.part.floor))
	}
}

// onFetch reads a page for a learner.
func (p *part) onFetch(from ring.ServerID, m *Message) {
	if p.role != roleBackup && p.lead == nil || p.state != whole || p.log.last.Seq < m.Seq {
		return // it asks again
	}
	if p.dirty {
		p.core.deferred = append(p.core.deferred, deferredFetch{p: p, term: p.term, from: from, m: m})
		return
	}
	page := &Message{Type: MsgPage, Seq: p.log.last.Seq, Digest: m.Digest, Flags: m.Flags & flagKeys}
	var err error
	if m.Flags&flagKeys != 0 {
		err = p.pageKeys(m, page)
	} else {
		err = p.pageScan(m, page)
	}
	if err != nil && !isCorrupt(err) {
		p.core.fail("read page", err)
		return
	}
	if err != nil {
		page.Flags &^= flagDone
	}
	if err != nil && len(page.Items) == 0 {
		page.Flags |= flagCorrupt // else what comes before the damage is a page too
	}
	// Below min-copies the tail can't be committed before a learner has it.
	if page.Seq <= p.commit || !p.enoughCopies() {
		page.Commit = p.commit
		p.send(from, page)
		return
	}
	if len(p.held) < heldPagesMax {
		p.held = append(p.held, heldPage{to: from, page: page})
	}
}

func isCorrupt(err error) bool { return errors.Is(err, ErrCorrupt) }

// pageKeys reads the keys that a learner asks for. Most of what changed long ago may be
// gone by now, request records above all: so a name counts less than a value.
func (p *part) pageKeys(m, page *Message) error {
	bytes := uint64(0)
	var bad error
	for _, k := range m.Keys {
		item, err := p.get(k)
		if isCorrupt(err) {
			bad = err
			p.repairer.begin(k)
			continue
		}
		if err != nil {
			return err
		}
		page.Items = append(page.Items, PageItem{Key: k, Item: item})
		if bytes += uint64(len(k)/nameShare + len(item)); bytes >= min(m.Bytes, p.core.cfg.PageBytesMax) {
			break // the learner asks again for the rest
		}
	}
	return bad
}

// pageScan reads along the cursor, up to what cannot be read: nothing corrupt is
// copied.
func (p *part) pageScan(m, page *Message) error {
	bytes := uint64(0)
	page.Flags |= flagDone
	page.Cursor = m.Cursor
	if p.core.cfg.PageRoom != nil {
		page.Room = p.core.cfg.PageRoom()
	}
	left := page.Room
	room := func(n int) []byte {
		if n > len(left) {
			return nil
		}
		b := left[:n:n]
		left = left[n:]
		return b
	}
	var bad error
	err := p.core.st.ScanInto(p.id, After(m.Cursor), room, func(key Key, item []byte) bool {
		if bytes >= min(m.Bytes, p.core.cfg.PageBytesMax) {
			page.Flags &^= flagDone
			return false
		}
		if _, bad = DecodeItem(key, item); bad != nil {
			p.repairer.begin(key)
			return false
		}
		page.Items = append(page.Items, PageItem{Key: key, Item: item})
		page.Cursor = key
		bytes += uint64(len(key) + len(item))
		return true
	})
	if isCorrupt(err) {
		p.spoil(damaged)
	}
	return errors.Join(err, bad)
}

// releaseHeld sends the pages whose state has become committed.
func (p *part) releaseHeld() {
	kept := p.held[:0]
	for _, h := range p.held {
		if h.page.Seq <= p.commit {
			h.page.Commit = p.commit
			p.send(h.to, h.page)
			continue
		}
		kept = append(kept, h)
	}
	p.held = kept
}

// onStray answers a server that has a copy and no part in the partition: it may
// delete it once the copies that the ring wants agree (rule 9, I9).
// Targets change without a new term, so both must speak of the same epoch: a
// Purge that comes late finds its receiver at another one.
func (l *primary) onStray(from ring.ServerID, m *Message) {
	if !l.serves() || l.proposes() || m.Seq != l.core.view.Epoch ||
		l.part.isWanted(from) || l.part.view.IsActing(from) || slices.Contains(l.part.view.Writable, from) {
		return
	}
	if !l.agreed() {
		return
	}
	l.part.send(from, &Message{Type: MsgPurge, Seq: l.core.view.Epoch})
}

// agreed reports whether acting = targets = W, with everything durable and
// equal at the head.
func (l *primary) agreed() bool {
	if !ring.SameServers(l.part.view.Acting, l.part.targets) || !ring.SameServers(l.part.view.Acting, l.part.view.Writable) || l.part.durable != l.part.log.last.Seq {
		return false
	}
	for _, f := range l.followers {
		if f.acting() && (f.match != l.part.log.last.Seq || f.matchDigest != l.part.log.digest) {
			return false
		}
	}
	return true
}

func (p *part) onPurge(from ring.ServerID, m *Message) {
	if p.role != roleNone || m.Seq != p.core.view.Epoch || from != p.view.Primary() || p.state == absent || slices.Contains(p.view.Writable, p.core.cfg.Self) {
		return
	}
	p.wipe()
}
