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
func (c *Core) onSubscribe(p *part, from ring.ServerID, m *Message) {
	l := p.lead
	if p.lead == nil || !l.serves() || !p.isWanted(from) || p.view.IsActing(from) {
		return
	}
	f := l.follower(from)
	if f != nil && (f.proposed() || m.Sub <= f.sub) {
		return // only a higher term ends a proposal; an older subscription is over
	}
	out := &Message{Type: MsgSubscribed, Sub: m.Sub, Seq: p.log.last.Seq, Last: p.log.last, Digest: p.log.digest,
		Commit: p.commit, History: p.log.history}
	common, ok := commonPoint(m.History, m.Last.Seq, p.log.history, p.log.last.Seq)
	base := ok && m.Flags&flagBase != 0 && common >= m.Floor
	switch {
	case base && m.Flags&flagReady != 0 && c.oneLog(p, from, m, common) && (l.phase == mute || m.Last.Seq > common):
		out.Flags, common = flagBase, p.log.last.Seq
	case !base || common < p.floor:
		out.Flags = flagFull
		if p.log.last.Seq == 0 {
			out.Flags |= flagDone // there is nothing to copy
		}
		// Rows of what may not be committed come along: the new copy may be a
		// primary before it is, and others may lack it.
		common = max(p.commit, p.floor)
	}
	c.addRows(p, out, common)
	l.dropFollower(from)
	l.addFollower(&follower{id: from, incarnation: c.incarnation(from), phase: followerSubscribed, sub: m.Sub, match: p.log.last.Seq,
		next: p.log.last.Seq + 1, movedAt: c.now.Mono})
	if len(l.window) == 0 {
		l.windowFirst = p.log.last.Seq + 1
	}
	c.send(p, from, out)
}

// addRows tells a learner what changed above the common point; all of it, where that is
// too much for one message or cannot be read.
func (c *Core) addRows(p *part, out *Message, common uint64) {
	out.Floor, out.Rows = common, nil
	bytes, full := 0, out.Flags&flagFull != 0
	err := c.rows(p, common, p.log.last.Seq, func(row Row) bool {
		out.Rows = append(out.Rows, row)
		bytes += rowsBytes(out.Rows[len(out.Rows)-1:])
		return full || bytes <= c.cfg.Limits.DeltaBytes
	})
	switch {
	case err != nil:
		c.spoiled(p, damaged, "read index", err)
		out.Flags, out.Floor, out.Rows = flagFull, p.log.last.Seq, nil
	case !full && bytes > c.cfg.Limits.DeltaBytes:
		out.Flags = flagFull
		c.addRows(p, out, max(p.commit, p.floor))
	}
}

// onFetch reads a page for a learner.
func (c *Core) onFetch(p *part, from ring.ServerID, m *Message) {
	if p.role != roleBackup && p.lead == nil || p.state != whole || p.log.last.Seq < m.Seq {
		return // it asks again
	}
	if p.dirty {
		c.deferred = append(c.deferred, deferredFetch{p: p, term: p.term, from: from, m: m})
		return
	}
	page := &Message{Type: MsgPage, Seq: p.log.last.Seq, Digest: m.Digest, Flags: m.Flags & flagKeys}
	var err error
	if m.Flags&flagKeys != 0 {
		err = c.pageKeys(p, m, page)
	} else {
		err = c.pageScan(p, m, page)
	}
	if err != nil && !isCorrupt(err) {
		c.fail("read page", err)
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
		c.send(p, from, page)
		return
	}
	if len(p.held) < heldPagesMax {
		p.held = append(p.held, heldPage{to: from, page: page})
	}
}

func isCorrupt(err error) bool { return errors.Is(err, ErrCorrupt) }

// pageKeys reads the keys that a learner asks for. Most of what changed long ago may be
// gone by now, request records above all: so names fill a page slowly.
func (c *Core) pageKeys(p *part, m, page *Message) error {
	bytes := uint64(0)
	var bad error
	for _, k := range m.Keys {
		item, err := c.get(p, k)
		if isCorrupt(err) {
			bad = err
			c.mendKey(p, k)
			continue
		}
		if err != nil {
			return err
		}
		page.Items = append(page.Items, PageItem{Key: k, Item: item})
		if bytes += uint64(len(k)/nameShare + len(item)); bytes >= min(m.Bytes, c.cfg.PageBytesMax) {
			break // the learner asks again for the rest
		}
	}
	return bad
}

// pageScan reads along the cursor, up to what cannot be read: nothing corrupt is
// copied.
func (c *Core) pageScan(p *part, m, page *Message) error {
	bytes := uint64(0)
	page.Flags |= flagDone
	page.Cursor = m.Cursor
	var bad error
	err := c.st.Scan(p.id, After(m.Cursor), func(key Key, item []byte) bool {
		if bytes >= min(m.Bytes, c.cfg.PageBytesMax) {
			page.Flags &^= flagDone
			return false
		}
		if _, bad = DecodeItem(key, item); bad != nil {
			c.mendKey(p, key)
			return false
		}
		page.Items = append(page.Items, PageItem{Key: key, Item: item})
		page.Cursor = key
		bytes += uint64(len(key) + len(item))
		return true
	})
	if isCorrupt(err) {
		c.spoil(p, damaged)
	}
	return errors.Join(err, bad)
}

// releaseHeld sends the pages whose state has become committed.
func (c *Core) releaseHeld(p *part) {
	kept := p.held[:0]
	for _, h := range p.held {
		if h.page.Seq <= p.commit {
			h.page.Commit = p.commit
			c.send(p, h.to, h.page)
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
func (c *Core) onStray(p *part, from ring.ServerID, m *Message) {
	if p.lead == nil || !p.lead.serves() || p.lead.proposes() || m.Seq != c.view.Epoch ||
		p.isWanted(from) || p.view.IsActing(from) || slices.Contains(p.view.Writable, from) {
		return
	}
	if !c.agreed(p) {
		return
	}
	c.send(p, from, &Message{Type: MsgPurge, Seq: c.view.Epoch})
}

// agreed reports whether acting = targets = W, with everything durable and
// equal at the head.
func (c *Core) agreed(p *part) bool {
	if !ring.SameServers(p.view.Acting, p.targets) || !ring.SameServers(p.view.Acting, p.view.Writable) || p.durable != p.log.last.Seq {
		return false
	}
	for _, f := range p.lead.followers {
		if f.acting() && (f.match != p.log.last.Seq || f.matchDigest != p.log.digest) {
			return false
		}
	}
	return true
}

func (c *Core) onPurge(p *part, from ring.ServerID, m *Message) {
	if p.role != roleNone || m.Seq != c.view.Epoch || from != p.view.Primary() || p.state == absent || slices.Contains(p.view.Writable, c.cfg.Self) {
		return
	}
	c.wipe(p)
}
