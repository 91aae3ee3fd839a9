package seglog

import "slices"

// slot replays one record.
func (r *recovery) slot(c *content, g *segment, p *placed) {
	s := r.s
	if p.kind == kindFree {
		return
	}
	if p.kind == kindLoss {
		s.account(g, &p.slot)
		r.loss(entry{pos: p.pos, seg: g.number, off: p.off, size: p.size}, p.check != 0)
		return
	}
	q := s.part(p.part)
	if p.gen > q.gen {
		s.wipe(q)
		q.gen = p.gen
	}
	s.account(g, &p.slot)
	e := entry{pos: p.pos, check: p.check, seg: g.number, off: p.off, size: p.size}
	if p.flags&flagDoubt != 0 {
		e.size |= bitDoubt
	}
	if p.gen < q.gen {
		s.deadAdded(&e, p.kind)
		return // wiped
	}
	switch p.kind {
	case kindItem:
		r.item(q, c, e, p)
	case kindDelete:
		if f, ok := r.sameKey(q, c, &e, p); ok {
			s.dead(q.items.get(f), kindItem)
			q.items.remove(f)
		}
	case kindLost:
		e.size |= bitLost
		r.item(q, c, e, p)
	case kindRow, kindDropRow:
		r.row(q, e, p.kind)
	case kindState:
		r.state(q, c, e, p)
	}
}

// deadAdded takes back that a record which was just accounted for lives.
func (s *Store) deadAdded(e *entry, k kind) {
	switch k {
	case kindItem, kindLost:
		s.dead(e, kindItem)
	case kindRow, kindState:
		s.dead(e, k)
	}
}

// sameKey finds the entry that a record replaces. Only where keys collide must those
// be read.
func (r *recovery) sameKey(q *partition, c *content, e *entry, p *placed) (at finger, ok bool) {
	f := q.items.seek(e.bound())
	x := q.items.get(f)
	if x == nil || x.bound() != e.bound() {
		return f, false
	}
	if p.flags&flagCollides == 0 {
		// It was the only one. Others with its bound are gone: what is said of them later says so.
		for {
			n := q.items.next(f)
			y := q.items.get(n)
			if y == nil || y.bound() != e.bound() {
				return f, true
			}
			r.s.dead(y, kindItem)
			q.items.remove(n)
			f = q.items.seek(e.bound())
		}
	}
	// The checkpoint may have this very record, also one that cannot be read.
	for g, y := f, x; y != nil && y.bound() == e.bound(); g, y = q.items.next(g), q.items.get(q.items.next(g)) {
		if y.place() == e.place() {
			return g, true
		}
	}
	rec, _, ok := c.id.readHead(c.at(p.off), e.place())
	if !ok {
		return f, false
	}
	for ; x != nil && x.bound() == e.bound(); x = q.items.get(f) {
		if same, _ := r.s.isKey(x, rec.key); same {
			return f, true
		}
		f = q.items.next(f)
	}
	return f, false
}

func (r *recovery) item(q *partition, c *content, e entry, p *placed) {
	if f, ok := r.sameKey(q, c, &e, p); ok {
		old := q.items.get(f)
		r.s.dead(old, kindItem)
		*old = e
	} else {
		q.items.insert(e)
	}
	if p.flags&flagCollides != 0 {
		q.items.share(e.bound())
	}
}

func (r *recovery) row(q *partition, e entry, k kind) {
	if e.check > q.rowGen {
		q.rowGen = e.check
		r.s.bury(&q.rows)
	}
	if e.check < q.rowGen {
		r.s.deadAdded(&e, k)
		return
	}
	f := q.rows.seek(bound{pos: e.pos})
	old := q.rows.get(f)
	found := old != nil && old.pos == e.pos
	if found {
		r.s.dead(old, kindRow)
	}
	switch {
	case k == kindRow && found:
		*old = e
	case k == kindRow:
		q.rows.insert(e)
	case found:
		q.rows.remove(f)
	}
}

// state takes over a partition's state.
func (r *recovery) state(q *partition, c *content, e entry, p *placed) {
	r.s.dead(&q.state, kindState)
	q.state = e
	was := q.suspect
	rec, _, ok := c.id.readRecord(c.at(p.off), e.place())
	if !ok || rec.kind != kindState {
		rec.value = nil
		r.damage("a partition's state is damaged", "segment", e.seg, "at", e.off)
	}
	q.takeState(p.bound, p.flags, rec.value)
	if q.suspect && !was {
		q.doubt() // what was lost, and where, may be known no more
	}
	if q.floor > 0 {
		r.s.trim(q, q.floor)
	}
	for x := q.rows.get(finger{}); x != nil && x.check < q.rowGen; x = q.rows.get(finger{}) {
		r.s.bury(&q.rows) // all have the same generation
	}
}

// lost notes that count frames of a segment, -1 for nobody knows, cannot be read, and
// nothing in them. parts are the partitions that they may be of, nil where that is to
// be found out.
func (r *recovery) lost(seg uint32, what string, count int64, parts []uint16) {
	if parts == nil {
		h := r.heads[seg+1]
		if h == nil || h.prev != seg {
			r.damage(what, "segment", seg, "frames", count, "partitions", "any")
			r.suspectAll()
			return
		}
		parts = h.parts
	}
	r.damage(what, "segment", seg, "frames", count, "partitions", len(parts))
	for _, p := range parts {
		r.suspect(p)
	}
}

func (r *recovery) suspectAll() {
	for n := range r.s.present() {
		r.suspect(n)
	}
	r.noticed = true
	r.s.loss.Add(1)
	r.s.lossOpen.Store(true)
}

// suspect notes that any record of a partition may have been followed by one that is lost.
func (r *recovery) suspect(n uint16) {
	q := r.s.part(n)
	q.suspect = true
	if r.hurt == nil {
		r.hurt = make(map[uint16]bool)
	}
	r.hurt[n] = true
	q.doubt()
}

func (p *partition) doubt() {
	p.items.each(func(e *entry) { e.size |= bitDoubt })
	p.rows.each(func(e *entry) { e.size |= bitDoubt })
}

// each calls fn with every entry.
func (t *tree) each(fn func(e *entry)) {
	for _, nd := range t.nodes {
		for _, pg := range nd.pages {
			for i := range pg.n {
				fn(&pg.e[i])
			}
		}
	}
}

// sweep ends the replay. A record that moved is found where it went; what still points
// into a segment that was freed is a leftover of two keys whose hashes collide, or damage.
func (r *recovery) sweep() {
	s := r.s
	for n, q := range s.present() {
		dangling := 0
		look := func(e *entry) {
			if !e.lost() && e.size&bitShare == 0 && s.seg(e.seg) == nil && !s.table.missing[e.seg] {
				e.size |= bitLost
				dangling++
			}
		}
		q.items.each(look)
		q.rows.each(look)
		if r.dropLeftovers(q); dangling > 0 {
			r.damage("the index points to segments that are no more", "partition", n, "keys", dangling)
		}
	}
}

// dropLeftovers removes entries of freed segments whose bound several keys have had:
// the replay could not tell which of them had moved.
func (r *recovery) dropLeftovers(q *partition) {
	f := finger{}
	for e := q.items.get(f); e != nil; e = q.items.get(f) {
		if e.size&bitShare != 0 && r.s.seg(e.seg) == nil && !r.s.table.missing[e.seg] {
			b := e.bound()
			q.items.remove(f)
			f = q.items.seek(b)
			continue
		}
		f = q.items.next(f)
	}
}

// persistFindings makes durable what was found of damage, and then ends segments that a crash or
// damage left without an end: that they have none would be news each time.
func (r *recovery) persistFindings() error {
	s := r.s
	if n := len(r.headless); n > 0 && r.headless[n-1] == s.cur {
		if err := r.leave(); err != nil { // a head of its own keeps what is known of it
			return err
		}
	}
	if len(r.hurt) > 0 || r.noticed {
		if err := r.saveSuspects(); err != nil {
			return err
		}
	}
	var missing []*content
	for n := range s.table.missing {
		missing = append(missing, &content{id: s.id, seg: n})
	}
	if err := s.copyUnreadable(missing...); err != nil {
		return err
	}
	if err := s.barrier(); err != nil {
		return err
	}
	for _, g := range r.headless {
		if s.seg(g.number) != g {
			continue // it was freed
		}
		if err := s.collect(g); err != nil {
			return err
		}
	}
	for _, g := range r.open {
		if s.seg(g.number) != g {
			continue
		}
		f := &frame{seg: g, off: g.end, lsn: g.endLSN, flags: frameSeal, buf: s.buffers.take(headBytes)[:headBytes]}
		if err := s.write(f); err != nil {
			return err
		}
	}
	return nil
}

// leave lets the log go on in a new segment.
func (r *recovery) leave() error {
	s := r.s
	s.mu.Lock()
	s.cur.over = true
	err := s.reserve(0, 0)
	s.work.Signal()
	s.mu.Unlock()
	return err
}

func (r *recovery) saveSuspects() error {
	s := r.s
	var parts []uint16
	for p := range r.hurt {
		parts = append(parts, p)
	}
	slices.Sort(parts)
	s.mu.Lock()
	if r.noticed {
		if err := s.putLoss(); err != nil {
			s.mu.Unlock()
			return err
		}
	}
	for _, n := range parts {
		p := s.part(n)
		if err := s.reserve(align8(recordBytes+stateBytes+len(p.meta)), 1); err != nil {
			s.mu.Unlock()
			return err
		}
		s.putState(n)
	}
	s.work.Signal()
	s.mu.Unlock()
	return s.barrier()
}
