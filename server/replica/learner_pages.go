package replica

import (
	"slices"

	"viewring/ring"
)

// fetch asks for the next page: first along the cursor, then the missing keys.
func (c *Core) fetch(p *part) {
	l := p.learn
	if l.nonce != 0 || l.cursorDone && len(l.missing) == 0 {
		return
	}
	m := &Message{Type: MsgFetch, Seq: l.since, Cursor: l.cursor, Bytes: c.cfg.PageBytesMax}
	if l.cursorDone {
		m.Flags = flagKeys
		m.Keys = l.nextWanted()
		for _, k := range m.Keys {
			m.Seq = max(m.Seq, l.missing[k])
		}
	}
	l.nonce, l.patience = c.nextNonce(), learnRetryAfter
	m.Digest = l.nonce
	l.asked = m
	c.sendFetch(p)
}

// sendFetch sends the Fetch under way, perhaps again. It keeps its nonce: a page
// that only took long is as good as one asked for anew, and where every page takes
// longer than our patience none would be taken otherwise.
func (c *Core) sendFetch(p *part) {
	l := p.learn
	l.askedAt = c.now.Mono
	to := l.source
	if n := len(p.view.Acting); n > 0 && (l.failures > 0 || !p.view.IsActing(to)) {
		to = p.view.Acting[max(0, l.failures-1)%n] // the primary first
	}
	m := *l.asked
	c.send(p, to, &m)
}

// nextNonce returns a number that no start of this server used before.
func (c *Core) nextNonce() uint64 {
	c.nonces++
	return c.cfg.Incarnation<<32 | c.nonces
}

// nextWanted takes missing keys off the list; what the page does not settle is
// put back by onPage or by the retry.
func (l *learn) nextWanted() []Key {
	var keys []Key
	for len(l.wanted) > 0 && len(keys) < fetchKeysMax {
		k := l.wanted[0]
		l.wanted = l.wanted[1:]
		if _, ok := l.missing[k]; ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		l.wanted = sortedKeys(l.missing)
		n := min(len(l.wanted), fetchKeysMax)
		keys = slices.Clone(l.wanted[:n])
		l.wanted = l.wanted[n:]
	}
	return keys
}

// onPage takes what a source had at q.
func (c *Core) onPage(p *part, _ ring.ServerID, m *Message) {
	l := p.learn
	if l == nil || !l.copies() || l.nonce == 0 || m.Digest != l.nonce {
		return
	}
	l.nonce = 0
	if m.Flags&flagCorrupt != 0 || !intact(m.Items) {
		return // the retry asks another one
	}
	l.failures = 0
	for _, it := range m.Items {
		if !c.takePaged(p, it, m.Seq) {
			return
		}
	}
	if m.Flags&flagKeys == 0 {
		l.cursor = m.Cursor
		l.cursorDone = m.Flags&flagDone != 0
	}
	l.taken = max(l.taken, m.Seq)
	if m.Seq > m.Commit {
		l.loose = max(l.loose, m.Seq)
	}
	if c.stageFull(p) {
		return
	}
	c.fetch(p)
	c.checkReady(p)
}

func intact(items []PageItem) bool {
	for _, it := range items {
		if it.Item == nil {
			continue
		}
		if _, err := DecodeItem(it.Key, it.Item); err != nil {
			return false
		}
	}
	return true
}

// takePaged takes one item of a page at q, unless what is here is newer.
func (c *Core) takePaged(p *part, it PageItem, q uint64) bool {
	l := p.learn
	old, err := c.learned(p, it.Key)
	if err == nil {
		_, err = versionOf(old)
	}
	if isCorrupt(err) && l.phase == staging && c.mustKeep(p) {
		old, err = it.Item, nil // digest and counts stay as they are
		l.blind = true
	}
	if err != nil {
		c.startAgain(p, damaged, "read copy", err)
		return false
	}
	if need, ok := l.missing[it.Key]; ok {
		if q < need {
			l.wanted = append(l.wanted, it.Key)
			return true
		}
		delete(l.missing, it.Key)
	} else {
		have, _ := versionOf(old)
		if tomb := l.tombs[it.Key]; tomb.Compare(have) > 0 {
			have = tomb
		}
		item, _ := versionOf(it.Item)
		if item.Compare(have) <= 0 {
			return true
		}
	}
	c.take(p, it.Key, old, it.Item)
	if it.Key.Space() == SpaceUser { // what people count; request records come along
		c.moved.keys++
	}
	return true
}
