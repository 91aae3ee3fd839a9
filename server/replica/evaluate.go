package replica

import (
	"slices"

	"viewring/internal/invariant"
	"viewring/ring"
)

// Outcome is what an Evaluation comes to.
type Outcome struct {
	// More are further keys of the slot that it has to see, none of which it was shown: it is
	// called again with their items behind the others'. The rest of the Outcome does not count then.
	More []Key

	// Writes are all made, as one entry with one version, or none. No key is written twice,
	// each was shown, and Expiry and TTL are 0: what it writes stays.
	Writes []KeyWrite

	// Answer is recorded with the request id: Status, up to StatusFenced, Version, Number.
	Answer Answer
}

// Evaluation decides an OpEvaluate: found are the items at Keys and at all More, in their
// order, the zero Item for an absent key; version is what its writes will have, and now the
// primary's wall clock, unix milliseconds. It is called at the head of the log, perhaps
// more than once, and must depend on nothing but its arguments.
type Evaluation func(found []Item, version Version, now int64) Outcome

// Range is a page of the items whose keys begin with Prefix and go on, in the order of scans. An
// OpEvaluate may carry one: it is filled where the operation is evaluated, and counts once
// that is answered with StatusOK.
type Range struct {
	Prefix   Key    // slot, space and how the names begin
	From     Cursor // where the page begins
	ItemsMax int    // items that are told
	BytesMax int    // bytes of keys and items that are told, but for the last
	KeysMax  int    // keys that are looked at, also those of other prefixes that lie between
	ReadMax  int    // bytes of them all, but for the last

	// Head says how much is told of a value, bytes from its beginning. nil: the keys alone are told,
	// and nothing else is read. Where that is answered at once (ReadRange) changes of values may be under way:
	// whoever asks reads with it a key that is written by each entry by which a key of the range comes or goes.
	Head func(value []byte) int

	Items []RangeItem
	Next  Cursor // where the next page begins, if there is More
	More  bool
}

// RangeItem is an item of a Range.
type RangeItem struct {
	Key    Key
	Item   Item // its value as far as Head says; the zero Item where that is nil
	Length int  // of the whole value
}

// checkEvaluation checks what whoever makes an OpEvaluate must see to.
func (r *Request) checkEvaluation(keys []Key) {
	invariant.Check(len(keys) <= BatchKeysMax, "H31", "an evaluation of %d keys", len(keys))
	for _, k := range keys {
		invariant.Check(k.Slot() == r.Key.Slot(), "H31", "an evaluation of slots %d and %d", r.Key.Slot(), k.Slot())
	}
}

// sound reports whether an outcome is one of an evaluation that was shown keys. What a client
// asks for decides what an evaluation does, so a mistake in one must cost no more than that
// request: it is refused.
func (o *Outcome) sound(keys []Key) bool {
	if len(keys)+len(o.More) > BatchKeysMax {
		return false
	}
	for i, k := range o.More {
		if k.Slot() != keys[0].Slot() || slices.Contains(keys, k) || slices.Contains(o.More[:i], k) {
			return false
		}
	}
	for i := range o.Writes {
		w := &o.Writes[i]
		twice := slices.ContainsFunc(o.Writes[:i], func(other KeyWrite) bool { return other.Key == w.Key })
		if twice || !slices.Contains(keys, w.Key) || w.Expiry != 0 || w.TTL != 0 {
			return false
		}
	}
	return len(o.More) > 0 || o.Answer.Status >= StatusOK && o.Answer.Status <= StatusFenced
}

// executeEvaluation decides an OpEvaluate at the head of the log (hole 31): what it is shown
// is what its own entry follows, so nothing can come between its look and its writes.
func (l *primary) executeEvaluation(r *Request) {
	keys := slices.Clone(r.Keys)
	var found []Item
	for {
		var ok bool
		if found, ok = l.found(found, keys, r); !ok {
			return // from the start again when it can be read
		}
		version := Version{Term: l.part.term, Seq: l.part.log.last.Seq + 1}
		out := r.Evaluate(slices.Clone(found), version, l.core.now.Wall)
		if !out.sound(keys) {
			l.core.answer(Answer{Token: r.Token, Status: StatusBadOutcome})
			return
		}
		if len(out.More) > 0 {
			keys = append(keys, out.More...)
			continue
		}
		if r.Range != nil && !l.fillRange(r) {
			return
		}
		if writesTooLarge(out.Writes, 0, l.core.cfg.ValueBytesMax) {
			out.Writes, out.Answer = nil, Answer{Status: StatusTooLarge}
		}
		l.conclude(r, l.writesOf(out.Writes, func(k Key) Item { return found[slices.Index(keys, k)] }, version), out.Answer, version)
		return
	}
}

// found reads the keys that are not in found yet; what is expired goes first, an entry each.
// It is false when one of them can't be read: the request waits for that.
func (l *primary) found(found []Item, keys []Key, r *Request) ([]Item, bool) {
	for _, key := range keys[len(found):] {
		it, ok := l.present(key, r)
		if !ok {
			return nil, false
		}
		found = append(found, it)
	}
	for i, key := range keys {
		found[i] = l.live(key, found[i])
	}
	return found, true
}

// fillRange reads the range of a request at the head of the log; false when it can't.
func (l *primary) fillRange(r *Request) bool {
	bad, err := l.part.readRange(r.Range)
	switch {
	case bad != "":
		l.part.repairer.await(bad, queued{since: l.core.now.Mono, write: r})
	case isCorrupt(err):
		l.part.spoil(damaged)
		l.core.answer(Answer{Token: r.Token, Status: StatusCorrupt})
	case err != nil:
		l.core.fail("read range", err)
	default:
		return true
	}
	return false
}

// pager fills a Range.
type pager struct {
	*Range
	looked, read, told int
	last               Key // that was looked at
	bad                Key // an item that can't be read
}

// take looks at a key, if there is something, and at what is stored there, where that is read. It is false
// where the page is full.
func (pg *pager) take(key Key, there bool, stored []byte) bool {
	ours := there && len(key) > len(pg.Prefix) && key[:len(pg.Prefix)] == pg.Prefix
	if pg.looked >= pg.KeysMax || pg.read >= pg.ReadMax || ours && (pg.told >= pg.BytesMax || len(pg.Items) >= pg.ItemsMax) {
		pg.More = true
		return false
	}
	pg.looked, pg.read, pg.last = pg.looked+1, pg.read+len(key)+len(stored), key
	if !ours {
		return true
	}
	it := RangeItem{Key: key}
	if pg.Head != nil {
		item, err := DecodeItem(key, stored)
		if err != nil {
			pg.bad = key
			return false
		}
		it.Length = len(item.Value)
		item.Value = slices.Clone(item.Value[:min(it.Length, pg.Head(item.Value))])
		it.Item = item
	}
	pg.told += len(key) + len(it.Item.Value)
	pg.Items = append(pg.Items, it)
	return true
}

// scan calls fn with the keys of the range, and perhaps others, and with what is stored there, where that is read.
func (pg *pager) scan(p *part, fn func(key Key, stored []byte) bool) error {
	if pg.Head != nil {
		return p.core.st.Scan(p.id, pg.From, fn)
	}
	return p.core.st.ScanKeys(p.id, pg.Prefix, pg.From, func(key Key) bool { return fn(key, nil) })
}

// readRange fills a range as it is at the head of the log: what is stored, with what the
// batch being filled does to it. bad is a key whose item can't be read.
func (p *part) readRange(g *Range) (bad Key, err error) {
	start := PlaceOf(g.Prefix.Slot(), g.Prefix.Space())
	if g.From.Place < start {
		g.From = Cursor{Place: start}
	}
	g.Items, g.More, g.Next = nil, false, g.From
	pg := pager{Range: g}
	newer := p.newer(g)
	takeNewer := func() bool {
		key := newer[0]
		newer = newer[1:]
		item := p.core.overlay[itemID{p.id, key}]
		return pg.take(key, item != nil, item)
	}
	going := true
	err = pg.scan(p, func(key Key, stored []byte) bool {
		for going && len(newer) > 0 && ComparePlaces(newer[0], key) < 0 {
			going = takeNewer()
		}
		switch {
		case !going || key.Slot() != g.Prefix.Slot() || key.Space() != g.Prefix.Space():
			return false
		case len(newer) > 0 && newer[0] == key:
			going = takeNewer()
		default:
			going = pg.take(key, true, stored)
		}
		return going
	})
	for err == nil && going && len(newer) > 0 {
		going = takeNewer()
	}
	if pg.looked > 0 {
		g.Next = After(pg.last)
	}
	return pg.bad, err
}

// newer lists the keys of a range that the batch being filled writes, in the order of scans.
func (p *part) newer(g *Range) (keys []Key) {
	for id := range p.core.overlay {
		k := id.key
		if id.p == p.id && len(k) >= len(g.Prefix) && k[:len(g.Prefix)] == g.Prefix && g.From.Before(k) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, ComparePlaces)
	return keys
}

// ReadRange fills a range, and reads keys as ReadAll does, at one moment, where all of it can
// be answered at once. When it is not ok nothing is known, and an OpEvaluate that writes
// nothing tells.
func (c *Core) ReadRange(at Instant, id ring.PartitionID, keys []Key, g *Range) (items []Item, ok bool) {
	items, ok = c.ReadAll(at, id, keys)
	if !ok {
		return nil, false
	}
	p := c.part(id)
	if g.Head != nil && p.lead.changes(g.Prefix) {
		return nil, false
	}
	if bad, err := p.readRange(g); bad != "" || err != nil {
		return nil, false
	}
	for i := range g.Items {
		if it := &g.Items[i].Item; it.Version.Seq > p.commit || c.expired(it) {
			return nil, false
		}
	}
	return items, true
}

// changes reports whether something uncommitted lies on a key that begins with prefix.
func (l *primary) changes(prefix Key) bool {
	for key := range l.pending {
		if len(key) >= len(prefix) && key[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}
