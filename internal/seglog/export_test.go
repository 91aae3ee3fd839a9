package seglog

import "fmt"

// OpenFiles bounds how many files of segments are open.
func (o *Options) OpenFiles(n int) { o.openFiles = n }

// PartBytes lets parts be read by themselves of records of n bytes and more.
func (o *Options) PartBytes(n int) { o.partBytes = n }

// HashBits lets only so many bits of places count, so that keys collide.
func (o *Options) HashBits(n uint) { o.hashBits = n }

// Readers is how many reads of segments that there are are under way.
func (s *Store) Readers() (n int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.table.segs {
		n += g.refs.Load() - 1
	}
	return n
}

// Audit compares what is counted with what is there.
func (s *Store) Audit() error {
	for s.digGraves(1 << 20) {
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	type sums struct {
		live        int64
		items, rows int
	}
	found := make(map[uint32]*sums)
	at := func(n uint32) *sums {
		if found[n] == nil {
			found[n] = &sums{}
		}
		return found[n]
	}
	for i := range s.parts {
		p := s.parts[i].Load()
		if p == nil {
			continue
		}
		p.items.each(func(e *entry) { at(e.seg).items++; at(e.seg).live += int64(e.bytes()) })
		p.rows.each(func(e *entry) { at(e.seg).rows++; at(e.seg).live += int64(e.bytes()) })
		at(p.state.seg).live += int64(p.state.bytes())
		for _, t := range []*tree{&p.items, &p.rows} {
			if err := t.audit(); err != nil {
				return fmt.Errorf("partition %d: %w", i, err)
			}
		}
	}
	at(s.lossAt.seg).live += int64(s.lossAt.bytes())
	for n, g := range s.table.segs {
		f := at(n)
		if g.live != f.live || g.liveItems != f.items || g.liveRows != f.rows {
			return fmt.Errorf("segment %d: %d bytes, %d items and %d rows are counted, the index has %d, %d and %d", n,
				g.live, g.liveItems, g.liveRows, f.live, f.items, f.rows)
		}
		if g.items < g.liveItems || g.rows < g.liveRows {
			return fmt.Errorf("segment %d: %d items of which %d live, %d rows of which %d", n, g.items, g.liveItems, g.rows, g.liveRows)
		}
	}
	return s.auditSums()
}

// auditSums compares the sums with what all partitions and segments have.
func (s *Store) auditSums() error {
	want := s.Stats()
	want.Keys, want.Segments, want.DiskBytes, want.LiveBytes, want.Tombstones = 0, len(s.table.segs), 0, 0, 0
	for i := range s.parts {
		if p := s.parts[i].Load(); p != nil {
			want.Keys += p.items.n
		}
	}
	for _, g := range s.table.segs {
		want.DiskBytes += g.size
		want.LiveBytes += g.live
		want.Tombstones += g.dropBytes
	}
	got := s.Stats()
	if got.Keys != want.Keys || got.Segments != want.Segments || got.DiskBytes != want.DiskBytes || got.LiveBytes != want.LiveBytes ||
		got.Tombstones != want.Tombstones {
		return fmt.Errorf("the sums are %+v, what there is comes to %+v", got, want)
	}
	return nil
}

// audit looks at a tree's order and counts.
func (t *tree) audit() error {
	n, last := 0, bound{}
	for _, nd := range t.nodes {
		if len(nd.pages) == 0 || len(nd.pages) > nodePages || len(nd.pages) != len(nd.firsts) {
			return fmt.Errorf("a node of %d pages and %d bounds", len(nd.pages), len(nd.firsts))
		}
		for i, pg := range nd.pages {
			if pg.n == 0 || nd.firsts[i] != pg.e[0].bound() {
				return fmt.Errorf("a page of %d entries whose first is %v, not %v", pg.n, pg.e[0].bound(), nd.firsts[i])
			}
			for j := range pg.n {
				if b := pg.e[j].bound(); n > 0 && b.compare(last) < 0 {
					return fmt.Errorf("%v after %v", b, last)
				}
				last = pg.e[j].bound()
				n++
			}
		}
	}
	if n != t.n {
		return fmt.Errorf("%d entries, %d counted", n, t.n)
	}
	return nil
}

// LoadTree loads a tree with chunks of places as a checkpoint has them, looks at it, and
// returns what it has.
func LoadTree(chunks [][]uint64) (places []uint64, err error) {
	a := &arena{}
	defer a.close()
	t := &tree{arena: a}
	for _, c := range chunks {
		var b []byte
		for _, place := range c {
			e := entry{pos: place}
			b = e.append(b)
		}
		t.load(b)
	}
	t.each(func(e *entry) { places = append(places, e.pos) })
	return places, t.audit()
}

// CollectAll collects every segment but the newest, whatever is in them.
func (s *Store) CollectAll() error {
	for s.digGraves(1 << 20) {
	}
	s.mu.Lock()
	numbers := s.numbers()
	cur := s.cur
	s.mu.Unlock()
	for _, n := range numbers {
		s.mu.Lock()
		g := s.seg(n)
		s.mu.Unlock()
		if g == cur || g == nil {
			continue
		}
		if err := s.collect(g); err != nil {
			return err
		}
	}
	return nil
}

// CollectPaced does what is done in the background: it collects one segment at most, and its
// copies wait for batches.
func (s *Store) CollectPaced() error { return s.tidy(true) }

// Alone calls fn while nobody else can write.
func (s *Store) Alone(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}
