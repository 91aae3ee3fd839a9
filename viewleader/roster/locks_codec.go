package roster

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"viewring/internal/codec"
)

func (t *lockTable) append(b []byte) []byte {
	b = binary.AppendUvarint(b, t.token)
	b = binary.AppendUvarint(b, t.session)
	b = binary.AppendUvarint(b, uint64(len(t.sessions)))
	for _, id := range slices.Sorted(maps.Keys(t.sessions)) {
		b = binary.AppendUvarint(b, id)
		b = binary.AppendVarint(b, t.sessions[id].TTL)
		b = binary.AppendVarint(b, t.sessions[id].Delay)
	}
	b = binary.AppendUvarint(b, uint64(len(t.held)))
	for _, name := range slices.Sorted(maps.Keys(t.held)) {
		l := t.held[name]
		b = codec.AppendString(b, name)
		b = codec.AppendBool(b, l.Shared)
		b = binary.AppendUvarint(b, uint64(len(l.Holders)))
		for _, h := range l.Holders {
			b = appendOwner(b, h.owner)
			b = binary.AppendUvarint(b, h.Token)
			b = binary.AppendVarint(b, h.Since)
			b = binary.AppendVarint(b, h.Expires)
			b = codec.AppendBool(b, h.Lost)
		}
		b = binary.AppendUvarint(b, uint64(len(l.Waiters)))
		for _, w := range l.Waiters {
			b = appendOwner(b, w.owner)
			b = binary.AppendVarint(b, w.TTL)
			b = codec.AppendBool(b, w.Shared)
			b = codec.AppendBool(b, w.WaitInDeadlock)
		}
	}
	// The order in which a client came to wait decides what a cycle's report
	// names first, so it is kept too.
	b = binary.AppendUvarint(b, uint64(len(t.waiting)))
	for _, o := range slices.SortedFunc(maps.Keys(t.waiting), owner.compare) {
		b = appendOwner(b, o)
		b = binary.AppendUvarint(b, uint64(len(t.waiting[o])))
		for _, name := range t.waiting[o] {
			b = codec.AppendString(b, name)
		}
	}
	return b
}

func (o owner) compare(p owner) int {
	return cmp.Or(cmp.Compare(o.Client, p.Client), cmp.Compare(o.Session, p.Session))
}

func appendOwner(b []byte, o owner) []byte {
	return binary.AppendUvarint(codec.AppendString(b, o.Client), o.Session)
}

// readOwner reads what appendOwner wrote; before there were sessions, the client alone.
func readOwner(r *codec.Reader, format byte) owner {
	o := owner{Client: r.String()}
	if format > snapshotFormatThird {
		o.Session = r.Uvarint()
	}
	return o
}

func readLocks(r *codec.Reader, format byte) lockTable {
	t := newLockTable()
	t.token = r.Uvarint()
	if format > snapshotFormatThird {
		t.session = r.Uvarint()
		for range r.Count(3) {
			id := r.Uvarint()
			t.sessions[id] = newSession(r.Varint(), r.Varint())
		}
	}
	for range r.Count(6) {
		name := r.String()
		l := readLock(r, format)
		t.held[name] = l
		for i := range l.Holders {
			h := &l.Holders[i]
			t.holders++
			t.hold(name, h)
			if h.Expires != 0 {
				t.timed[name] = true
			}
		}
		for _, w := range l.Waiters {
			t.waiters++
			t.use(w.Session, name, 1)
		}
	}
	for range r.Count(2) {
		o := readOwner(r, format)
		for range r.Count(1) {
			t.waiting[o] = append(t.waiting[o], r.String())
		}
	}
	return t
}

func readLock(r *codec.Reader, format byte) *lock {
	l := &lock{}
	if format <= snapshotFormatThird {
		l.Holders = []holder{{owner: readOwner(r, format), Token: r.Uvarint(), Since: r.Varint(), Expires: r.Varint()}}
		for range r.Count(2) {
			l.Waiters = append(l.Waiters, waiter{owner: readOwner(r, format), TTL: r.Varint()})
		}
		return l
	}
	l.Shared = r.Bool()
	for range r.Count(6) {
		l.Holders = append(l.Holders, holder{owner: readOwner(r, format), Token: r.Uvarint(), Since: r.Varint(), Expires: r.Varint(), Lost: r.Bool()})
	}
	for range r.Count(5) {
		l.Waiters = append(l.Waiters, waiter{owner: readOwner(r, format), TTL: r.Varint(), Shared: r.Bool(), WaitInDeadlock: r.Bool()})
	}
	return l
}

// validRestored refuses what decodes but can't have been written.
func (t *lockTable) validRestored() error {
	places := 0
	for name, l := range t.held {
		if len(l.Holders) == 0 || len(l.Holders) > 1 && !l.Shared {
			return fmt.Errorf("%q has %d holders", name, len(l.Holders))
		}
		for _, w := range l.Waiters {
			if !slices.Contains(t.waiting[w.owner], name) {
				return fmt.Errorf("%q is in the queue of %q and does not wait", w.Client, name)
			}
		}
	}
	for o, names := range t.waiting {
		places += len(names)
		for _, name := range names {
			if t.held[name] == nil {
				return fmt.Errorf("%q waits for %q, which nobody holds", o.Client, name)
			}
		}
	}
	if places != t.waiters {
		return fmt.Errorf("%d places in queues, %d who wait", t.waiters, places)
	}
	return nil
}
