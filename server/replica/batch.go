package replica

import "viewring/internal/invariant"

// checkKeys checks what whoever makes an OpBatch must see to. The names' and values'
// bytes are the client's, and answered.
func (r *Request) checkKeys() {
	seen, written, routed := make(map[Key]bool), make(map[Key]bool), false
	note := func(k Key) {
		invariant.Check(k.Slot() == r.Key.Slot(), "H29", "a batch of slots %d and %d", r.Key.Slot(), k.Slot())
		seen[k] = true
		routed = routed || k == r.Key
	}
	for i := range r.Checks {
		note(r.Checks[i].Key)
	}
	for i := range r.Writes {
		k := r.Writes[i].Key
		note(k)
		invariant.Check(!written[k], "H29", "a batch writes %v twice", k)
		written[k] = true
	}
	invariant.Check(routed, "H29", "a batch without the key that routed it")
	invariant.Check(len(seen) <= BatchKeysMax && len(r.Checks) <= BatchKeysMax, "H29", "a batch of %d keys and %d checks", len(seen), len(r.Checks))
}

// tooLarge reports whether a batch's values, or its names, are too long together: its
// entry is then at most somewhat longer than that of one value.
func (r *Request) tooLarge(valueBytesMax int) bool {
	names, values := 0, 0
	for i := range r.Checks {
		names += len(r.Checks[i].Key)
	}
	for i := range r.Writes {
		names += len(r.Writes[i].Key)
		values += len(r.Writes[i].Value)
	}
	return values > valueBytesMax || names > BatchNamesMax
}

// executeBatch evaluates an OpBatch at the head of the log (hole 29). Its writes are
// one entry: one seq, one row, one batch, on each replica all of them or none. A reader
// of any of its keys waits for that entry. Without writes the entry is empty: when it is
// committed, so is all before it, and this primary was still the primary.
func (l *primary) executeBatch(r *Request) {
	if r.tooLarge(l.core.cfg.ValueBytesMax) {
		l.core.answer(Answer{Token: r.Token, Status: StatusTooLarge})
		return
	}
	keys := make([]Key, 0, len(r.Checks)+len(r.Writes))
	for i := range r.Checks {
		keys = append(keys, r.Checks[i].Key)
	}
	for i := range r.Writes {
		keys = append(keys, r.Writes[i].Key)
	}
	found := make(map[Key]Item, len(keys))
	for _, key := range keys {
		if _, again := found[key]; again {
			continue
		}
		it, ok := l.present(key, r)
		if !ok {
			return // from the start again when it can be read
		}
		found[key] = it
	}
	for _, key := range keys { // all can be read: what is expired goes first, an entry each
		found[key] = l.live(key, found[key])
	}
	version := Version{Term: l.part.term, Seq: l.part.log.last.Seq + 1}
	for i := range r.Checks {
		if have := found[r.Checks[i].Key].Version; have != r.Checks[i].Version {
			l.conclude(r, nil, Answer{Status: StatusCondFailed, Version: have}, version)
			return
		}
	}
	var writes []Write
	for i := range r.Writes {
		w := &r.Writes[i]
		old := found[w.Key]
		if w.Delete && old.Version.IsZero() {
			continue
		}
		out := Write{Key: w.Key, Before: old.Version, Shrinks: uint64(len(old.Value))}
		if !w.Delete {
			if w.TTL != 0 {
				w.Expiry = l.core.deadline(w.TTL)
			}
			out.Item = AppendItem(make([]byte, 0, len(w.Value)+40), w.Key, Item{Version: version, Kind: KindValue, Expiry: w.Expiry, Value: w.Value})
		}
		writes = append(writes, out)
	}
	l.conclude(r, writes, Answer{Status: StatusOK, Version: version}, version)
}
