package replica

import "slices"

// fetch asks for the next page: first along the cursor, then the missing keys.
func (l *learner) fetch() {
	if l.nonce != 0 || l.cursorDone && len(l.missing) == 0 {
		return
	}
	m := &Message{Type: MsgFetch, Seq: l.since, Cursor: l.cursor, Bytes: l.core.cfg.PageBytesMax}
	if l.cursorDone {
		m.Flags = flagKeys
		m.Keys = l.nextWanted()
		for _, k := range m.Keys {
			m.Seq = max(m.Seq, l.missing[k])
		}
	}
	l.nonce, l.patience = l.core.nextNonce(), learnRetryAfter
	m.Digest = l.nonce
	l.asked = m
	l.sendFetch()
}

// sendFetch sends the Fetch under way, perhaps again. It keeps its nonce: a page
// that only took long is as good as one asked for anew, and where every page takes
// longer than our patience none would be taken otherwise.
func (l *learner) sendFetch() {
	l.askedAt = l.core.now.Mono
	to := l.source
	if n := len(l.part.view.Acting); n > 0 && (l.failures > 0 || !l.part.view.IsActing(to)) {
		to = l.part.view.Acting[max(0, l.failures-1)%n] // the primary first
	}
	m := *l.asked
	l.part.send(to, &m)
}

// nextNonce returns a number that no start of this server used before.
func (c *Core) nextNonce() uint64 {
	c.nonces++
	return c.cfg.Incarnation<<32 | c.nonces
}

// nextWanted removes missing keys from the list; what the page does not bring is
// put back by onPage or by the retry.
func (l *learner) nextWanted() []Key {
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

// onPage applies what a source had at q.
func (l *learner) onPage(m *Message) {
	if !l.copies() || l.nonce == 0 || m.Digest != l.nonce {
		return
	}
	l.nonce = 0
	if m.Flags&flagCorrupt != 0 || !intact(m.Items) {
		return // the retry asks another one
	}
	l.failures = 0
	scanned := m.Flags&flagKeys == 0
	for _, it := range m.Items {
		if !l.applyPaged(it, m.Seq, scanned) {
			l.ahead = aheadOf{} // a part of the page is here, and the cursor does not say so
			return
		}
	}
	if scanned {
		l.cursor = m.Cursor
		if l.cursorDone = m.Flags&flagDone != 0; l.cursorDone {
			l.ahead = aheadOf{}
		}
	}
	l.pagedTo = max(l.pagedTo, m.Seq)
	if m.Seq > m.Commit {
		l.uncommittedTo = max(l.uncommittedTo, m.Seq)
	}
	if l.stageFull() {
		return
	}
	l.fetch()
	l.checkReady()
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

// aheadOf is what is known of the keys behind the cursor of a full copy. The copy began empty, and pages come in the order of
// the cursor: so only live entries have brought any of these keys, and of all others nothing need be looked for.
type aheadOf struct {
	known bool // the keys that live entries brought are these
	live  map[Key]struct{}
}

// aheadMax bounds them: a copy may be paused for long.
const aheadMax = 4096

// note notes a key that a live entry brought or removed.
func (a *aheadOf) note(key Key) {
	switch {
	case !a.known:
		return
	case len(a.live) >= aheadMax:
		*a = aheadOf{}
		return
	case a.live == nil:
		a.live = make(map[Key]struct{})
	}
	a.live[key] = struct{}{}
}

// lacks reports that nothing can be here of a key that a page along the cursor brings.
func (a *aheadOf) lacks(key Key) bool {
	_, live := a.live[key]
	return a.known && !live
}

// applyPaged applies one item of a page at q, unless what is here is newer. scanned is said of a page along the cursor.
func (l *learner) applyPaged(it PageItem, q uint64, scanned bool) bool {
	var old []byte
	var err error
	if !scanned || !l.ahead.lacks(it.Key) {
		old, err = l.learned(it.Key)
	}
	if err == nil {
		_, err = versionOf(old)
	}
	if isCorrupt(err) && l.phase == staging && l.part.mustKeep() {
		old, err = it.Item, nil // digest and counts stay as they are
		l.digestUnknown = true
	}
	if err != nil {
		l.startAgain(damaged, "read copy", err)
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
	l.set(it.Key, old, it.Item)
	if it.Key.Space() == SpaceUser { // what people count; request records come along
		l.core.moved.keys++
	}
	return true
}
