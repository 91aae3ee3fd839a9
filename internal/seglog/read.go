package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Get returns the value at key, which is the caller's to keep; ok is false when there
// is none. Its errors wrap ErrCorrupt where that can't be told, or the value not be read.
func (s *Store) Get(part uint16, key []byte) (value []byte, ok bool, err error) {
	r, ok, err := s.get(part, key, func(e *entry) (record, bool, error) { return s.readEntry(e, kindItem) })
	return r.value, ok, err
}

// get finds the record of an item with what reads the record of an entry: readEntry, or what
// says the same of a part.
func (s *Store) get(part uint16, key []byte, read readFunc) (r record, ok bool, err error) {
	p := s.parts[part].Load()
	if p == nil {
		return r, false, s.absent()
	}
	b := s.id.boundOf(key)
	for tries := 0; ; tries++ {
		var few [4]entry
		p.mu.RLock()
		group := p.items.group(b, few[:0])
		gen, suspect, gone := p.gen, s.suspicious(p), s.gone.Load()
		p.mu.RUnlock()
		if gone {
			return r, false, ErrClosed
		}
		r, ok, err = find(group, gen, key, read)
		if errors.Is(err, errMoved) && tries < movedMax {
			continue
		}
		if err == nil && !ok && suspect {
			err = fmt.Errorf("%w: records of the partition are lost", ErrCorrupt)
		}
		if err != nil {
			return record{}, false, fmt.Errorf("get %q of partition %d: %w", key, part, err)
		}
		return r, ok, nil
	}
}

// errMoved says that a record was moved between the look into the index and the read.
var errMoved = fmt.Errorf("%w: the segment is gone", ErrCorrupt)

// movedMax is how often one look may find that what it wants has moved. More would be
// an entry that nobody moves.
const movedMax = 1000

// group appends the entries with one bound.
func (t *tree) group(b bound, out []entry) []entry {
	f := t.seek(b)
	for e := t.get(f); e != nil && e.bound() == b; e = t.get(f) {
		out = append(out, *e)
		f = t.next(f)
	}
	return out
}

// readFunc reads and verifies the record of an entry. keyOK says that its key holds, also
// beside an error.
type readFunc func(e *entry) (r record, keyOK bool, err error)

// find looks for a key among entries with its bound.
func find(group []entry, gen uint32, key []byte, read readFunc) (found record, ok bool, err error) {
	var bad error
	for i := range group {
		e := &group[i]
		if e.lost() {
			bad = fmt.Errorf("%w: it is lost", ErrCorrupt)
			continue
		}
		r, keyOK, err := read(e)
		if errors.Is(err, errMoved) {
			return found, false, err
		}
		switch {
		case err != nil && keyOK && !bytes.Equal(r.key, key): // another's
		case err != nil:
			bad = err
		case bytes.Equal(r.key, key) && r.gen == gen && !e.doubted():
			return r, true, nil
		case bytes.Equal(r.key, key):
			return found, false, fmt.Errorf("%w: a later record may be lost", ErrCorrupt)
		}
	}
	return found, false, bad
}

// readEntry reads and verifies the record of an entry. keyOK says that its key holds,
// also beside an error.
func (s *Store) readEntry(e *entry, want kind) (r record, keyOK bool, err error) {
	g, err := s.segmentOf(e)
	if err != nil {
		return r, false, err
	}
	defer g.release()
	return s.readIn(g, make([]byte, e.bytes()), e, want)
}

// readIn is readEntry of an entry in a segment that is held, into b.
func (s *Store) readIn(g *segment, b []byte, e *entry, want kind) (r record, keyOK bool, err error) {
	b, err = g.read(b, e.off)
	if errors.Is(err, errMoved) {
		return r, false, err
	}
	if err != nil && len(b) < recordBytes {
		s.damage.Add(1)
		return r, false, err
	}
	return s.verify(b, e, want)
}

// verify reads the record of an entry from its bytes, as readEntry does.
func (s *Store) verify(b []byte, e *entry, want kind) (r record, keyOK bool, err error) {
	r, keyOK, ok := s.id.readRecord(b, e.place())
	if !ok || r.kind != want {
		s.damage.Add(1)
		return r, keyOK && r.kind == want, fmt.Errorf("%w: record of %d bytes at %d of segment %d", ErrCorrupt, e.bytes(), e.off, e.seg)
	}
	return r, true, nil
}

// absent is the error of a read in a partition that nothing is known of: none, unless the
// store is closed, or what it had may be lost.
func (s *Store) absent() error {
	switch {
	case s.gone.Load():
		return ErrClosed
	case s.lossOpen.Load():
		return fmt.Errorf("%w: records of any partition are lost", ErrCorrupt)
	}
	return nil
}

// isMissing reports whether a segment was there and is lost.
func (s *Store) isMissing(n uint32) bool {
	s.table.RLock()
	defer s.table.RUnlock()
	return s.table.missing[n]
}

// Cursor is a place in a partition's order of pages: after the keys of lower places,
// and after Key among those of the same place. The zero Cursor is the beginning. It
// means the same in every store.
type Cursor struct {
	Place uint64
	Key   []byte // nil: before all keys of the place
}

// After is the cursor that goes on after a key.
func (s *Store) After(key []byte) Cursor { return Cursor{s.id.boundOf(key).pos, key} }

// Parts returns the partitions that have items.
func (s *Store) Parts() (parts []uint16) {
	for n, p := range s.present() {
		p.mu.RLock()
		if p.items.n > 0 {
			parts = append(parts, n)
		}
		p.mu.RUnlock()
	}
	return parts
}

// scanEntries is how many entries are taken from the index at a time.
const scanEntries = 256

// Scan calls fn with a partition's items from a cursor on, in the order of places and,
// within one, of keys, until fn returns false. What is changed meanwhile is told as
// it is before or after. The slices are fn's to keep. Of an item whose value fails its
// checksum, and whose key does not, the value is told as it is, or as nil: whoever needs it
// verifies it. One whose key cannot be read ends the scan with an error that wraps
// ErrCorrupt.
func (s *Store) Scan(part uint16, from Cursor, fn func(key, value []byte) bool) error {
	return s.ScanInto(part, from, nil, fn)
}

// ScanInto is Scan, which reads into what room returns: that many bytes, nil where there is none. The slices are in it. A nil
// room has none. With one the scan is to end soon: it holds segments.
func (s *Store) ScanInto(part uint16, from Cursor, room func(n int) []byte, fn func(key, value []byte) bool) error {
	return s.scan(part, from, wholeValue, room, func(r *record, _ int) bool { return fn(r.key, r.value) })
}

// ScanHeads is Scan, but of each value only the first n bytes are read, and not verified.
// bytes is the length of the record on the disk.
func (s *Store) ScanHeads(part uint16, from Cursor, n int, fn func(key, head []byte, bytes int) bool) error {
	return s.scan(part, from, n, nil, func(r *record, bytes int) bool { return fn(r.key, r.value, bytes) })
}

// wholeValue lets whole values be read.
const wholeValue = -1

// scan calls fn with records and their lengths on the disk.
func (s *Store) scan(part uint16, from Cursor, n int, room func(n int) []byte, fn func(r *record, bytes int) bool) error {
	p := s.parts[part].Load()
	if p == nil {
		return s.absent()
	}
	in := scanning{s: s, room: room, whole: n == wholeValue}
	defer in.end()
	var items []found // of one place
	for at, more := from.Place, true; more; {
		p.mu.RLock()
		some := p.items.places(at, scanEntries)
		gen, suspect, gone := p.gen, s.suspicious(p), s.gone.Load()
		p.mu.RUnlock()
		if gone {
			return ErrClosed
		}
		if suspect {
			return fmt.Errorf("scan of partition %d: %w: records of it are lost", part, ErrCorrupt)
		}
		more = false
		for i := range some {
			place := some[i].pos
			if i > 0 && some[i-1].pos == place {
				continue
			}
			in.goOn(some[i:])
			var err error
			items, err = in.readGroup(items[:0], some[i:], part, gen, place, n)
			if errors.Is(err, errMoved) {
				items, err = in.readPlace(part, p, place, n)
			}
			if err != nil {
				return fmt.Errorf("scan of partition %d: %w", part, err)
			}
			for i := range items {
				if place == from.Place && from.Key != nil && bytes.Compare(items[i].key, from.Key) <= 0 {
					continue
				}
				if !fn(&items[i].record, items[i].bytes) {
					return nil
				}
			}
			at, more = place+1, place != 1<<64-1
		}
	}
	return nil
}

// places returns about n entries from a place on, all of each place.
func (t *tree) places(at uint64, n int) (out []entry) {
	f := t.seek(bound{pos: at})
	for e := t.get(f); e != nil && (len(out) < n || e.pos == out[len(out)-1].pos); e = t.get(f) {
		out = append(out, *e)
		f = t.next(f)
	}
	return out
}

// found is a record with its length on the disk.
type found struct {
	record
	bytes int
}

// readPlace reads the items of a place, in the order of their keys.
func (in *scanning) readPlace(part uint16, p *partition, place uint64, n int) (items []found, err error) {
	for tries := 0; ; tries++ {
		p.mu.RLock()
		group := p.items.places(place, 1)
		gen, gone := p.gen, in.s.gone.Load()
		p.mu.RUnlock()
		if gone {
			return nil, ErrClosed
		}
		in.near = stretch{}
		items, err = in.readGroup(nil, group, part, gen, place, n)
		if !errors.Is(err, errMoved) || tries >= movedMax {
			return items, err
		}
	}
}

// readGroup appends the items of entries that have one place.
func (in *scanning) readGroup(items []found, group []entry, part uint16, gen uint32, place uint64, n int) ([]found, error) {
	for i := range group {
		e := &group[i]
		if e.pos != place {
			break
		}
		if e.lost() || e.doubted() {
			return nil, fmt.Errorf("%w: an item is lost", ErrCorrupt)
		}
		var r record
		var err error
		if n == wholeValue {
			var keyOK bool
			if r, keyOK, err = in.read(e); keyOK {
				err = nil // its value is for others to verify
			}
		} else {
			r, err = in.s.readEntryHead(e, n)
		}
		if err != nil {
			return nil, err
		}
		if r.gen == gen && r.part == part {
			items = append(items, found{r, int(e.bytes())})
		}
	}
	if len(items) > 1 {
		slices.SortFunc(items, func(a, b found) int { return bytes.Compare(a.key, b.key) })
	}
	return items, nil
}

// headGuess is how long a key is taken to be before it is known.
const headGuess = 64

// readEntryHead reads the record of an entry up to the first n bytes of its value.
func (s *Store) readEntryHead(e *entry, n int) (r record, err error) {
	g, err := s.segmentOf(e)
	if err != nil {
		return r, err
	}
	defer g.release()
	b, err := g.read(make([]byte, min(int(e.bytes()), recordBytes+headGuess+n)), e.off)
	if err != nil {
		return r, err
	}
	if len(b) >= recordBytes {
		if need := min(int(e.bytes()), recordBytes+int(le.Uint32(b[16:]))+n); need > len(b) {
			if b, err = g.read(make([]byte, need), e.off); err != nil {
				return r, err
			}
		}
	}
	r, length, ok := s.id.readHead(b, e.place())
	if !ok || r.kind != kindItem {
		s.damage.Add(1)
		return r, fmt.Errorf("%w: record of %d bytes at %d of segment %d", ErrCorrupt, e.bytes(), e.off, e.seg)
	}
	rest := b[recordBytes+len(r.key):]
	r.value = rest[:min(len(rest), length, n)]
	return r, nil
}

// segmentOf acquires the segment of an entry.
func (s *Store) segmentOf(e *entry) (*segment, error) {
	g := s.acquire(e.seg)
	if g == nil && s.gone.Load() {
		return nil, ErrClosed
	}
	if g == nil && s.isMissing(e.seg) {
		return nil, fmt.Errorf("%w: segment %d is missing", ErrCorrupt, e.seg)
	}
	if g == nil {
		return nil, errMoved
	}
	return g, nil
}

// Rows calls fn with the rows with seq > after, in order, until it returns false.
func (s *Store) Rows(part uint16, after uint64, fn func(seq uint64, row []byte) bool) error {
	p := s.parts[part].Load()
	if p == nil {
		return s.absent()
	}
	for tries := 0; after < 1<<64-1; {
		p.mu.RLock()
		some := p.rows.places(after+1, scanEntries)
		suspect, gone := s.suspicious(p), s.gone.Load()
		p.mu.RUnlock()
		if gone {
			return ErrClosed
		}
		if suspect {
			return fmt.Errorf("rows of partition %d: %w: records of it are lost", part, ErrCorrupt)
		}
		if len(some) == 0 {
			return nil
		}
		for i := range some {
			e := &some[i]
			if e.lost() || e.doubted() {
				return fmt.Errorf("row %d of partition %d: %w", e.pos, part, ErrCorrupt)
			}
			r, _, err := s.readEntry(e, kindRow)
			if tries++; errors.Is(err, errMoved) && tries < movedMax {
				break // look again
			}
			if err != nil {
				return fmt.Errorf("row %d of partition %d: %w", e.pos, part, err)
			}
			if !fn(e.pos, r.value) {
				return nil
			}
			after, tries = e.pos, 0
		}
	}
	return nil
}

// Meta is a partition's meta.
type Meta struct {
	Part    uint16
	Value   []byte // nil: it cannot be read
	Suspect bool   // items or rows may be lost, and nobody knows which
}

// Metas returns the metas of all partitions that have one, or had one that cannot be read.
func (s *Store) Metas() (out []Meta) {
	for n, p := range s.present() {
		p.mu.RLock()
		if suspect := s.suspicious(p); p.meta != nil || p.bad || suspect {
			out = append(out, Meta{Part: n, Value: p.meta, Suspect: suspect})
		}
		p.mu.RUnlock()
	}
	return out
}
