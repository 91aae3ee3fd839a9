package replica

import (
	"slices"

	"viewring/internal/invariant"
)

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

// tooLarge reports whether a batch is: the names of its checks count, too.
func (r *Request) tooLarge(valueBytesMax int) bool {
	names := 0
	for i := range r.Checks {
		names += len(r.Checks[i].Key)
	}
	return writesTooLarge(r.Writes, names, valueBytesMax)
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
	keys = uniqueKeys(keys)
	items, ok := l.found(nil, keys, r)
	if !ok {
		return // from the start again when it can be read
	}
	found := make(map[Key]Item, len(keys))
	for i, key := range keys {
		found[key] = items[i]
	}
	version := Version{Term: l.part.term, Seq: l.part.log.last.Seq + 1}
	for i := range r.Checks {
		if have := found[r.Checks[i].Key].Version; have != r.Checks[i].Version {
			l.conclude(r, nil, Answer{Status: StatusCondFailed, Version: have, Number: int64(i)}, version)
			return
		}
	}
	writes := l.writesOf(r.Writes, func(k Key) Item { return found[k] }, version)
	l.conclude(r, writes, Answer{Status: StatusOK, Version: version}, version)
}

// uniqueKeys returns the keys in their order, each once.
func uniqueKeys(keys []Key) []Key {
	seen := make(map[Key]bool, len(keys))
	return slices.DeleteFunc(keys, func(k Key) bool {
		again := seen[k]
		seen[k] = true
		return again
	})
}

// writesOf makes the writes of an entry, where each key has what old says. What is absent is not
// deleted.
func (l *primary) writesOf(wanted []KeyWrite, old func(Key) Item, version Version) (writes []Write) {
	for i := range wanted {
		w := &wanted[i]
		before := old(w.Key)
		if w.Delete && before.Version.IsZero() {
			continue
		}
		out := Write{Key: w.Key, Before: before.Version, Shrinks: uint64(len(before.Value))}
		if !w.Delete {
			expiry := w.Expiry
			if w.TTL != 0 {
				expiry = l.core.deadline(w.TTL)
			}
			out.Item = AppendItem(make([]byte, 0, len(w.Value)+40), w.Key, Item{Version: version, Kind: KindValue, Expiry: expiry, Value: w.Value})
		}
		writes = append(writes, out)
	}
	return writes
}

// writesTooLarge reports whether the values of writes, or their names, are too long together: an
// entry is at most somewhat longer than that of one value.
func writesTooLarge(writes []KeyWrite, names, valueBytesMax int) bool {
	values := 0
	for i := range writes {
		names += len(writes[i].Key)
		values += len(writes[i].Value)
	}
	return values > valueBytesMax || names > BatchNamesMax
}
