package seglog

// stateBytes is how long a partition's state is, without the meta: floor and generation of
// rows, which are its key, and the losses that it knows of.
const stateBytes = boundBytes + lossBytes

const lossBytes = 4

// stateOf is the state of a partition, as a record. All but the meta and lossBytes stands in
// the directory as well.
func stateOf(n uint16, p *partition) record {
	r := record{kind: kindState, part: n, gen: p.gen, key: rowKey(bound{p.floor, p.rowGen})}
	if p.meta != nil {
		r.flags |= stateMeta
	}
	if p.suspect {
		r.flags |= stateSuspect
	}
	if p.bad {
		r.flags |= stateBad
	}
	r.value = append(le.AppendUint32(nil, p.loss), p.meta...)
	return r
}

// takeState takes over what stateOf said. value is nil where it cannot be read.
func (p *partition) takeState(rows bound, bits uint8, value []byte) {
	p.floor, p.rowGen = rows.pos, rows.check
	p.suspect = p.suspect || bits&stateSuspect != 0
	p.meta, p.bad = nil, bits&stateBad != 0
	if len(value) < lossBytes {
		p.bad = p.bad || bits&stateMeta != 0
		return
	}
	p.loss = max(p.loss, le.Uint32(value))
	if bits&stateMeta != 0 {
		p.meta = append([]byte{}, value[lossBytes:]...)
	}
}

// apply carries out one operation: its record goes into the frame that grows, and the
// index says so. There is room in the frame. The caller holds mu.
func (s *Store) apply(o *Op) {
	p := s.part(o.Part)
	switch o.Kind {
	case Put:
		s.put(p, o)
	case Delete:
		s.delete(p, o)
	case PutRow:
		s.putRow(p, o)
	case Trim:
		s.trim(p, o.Seq)
		s.touch(p, o.Part)
	case Cut:
		s.cut(p, o)
	case PutMeta:
		p.mu.Lock()
		p.meta, p.bad = append(make([]byte, 0, len(o.Value)), o.Value...), false
		p.mu.Unlock()
		s.touch(p, o.Part)
	case Wipe:
		s.wipe(p)
		s.touch(p, o.Part)
	}
}

// touch lets the state of a partition be written with the batch.
func (s *Store) touch(p *partition, n uint16) {
	if !p.dirty {
		p.dirty = true
		s.dirty = append(s.dirty, n)
	}
}

func (s *Store) putState(n uint16) {
	p := s.part(n)
	s.dead(&p.state, kindState)
	r := stateOf(n, p)
	e := s.append(&r)
	p.dirty = false
	p.mu.Lock()
	p.state = e
	p.mu.Unlock()
}

// match finds the entry that a key has. others counts those of other keys with the
// same bound.
func (s *Store) match(p *partition, key []byte, b bound, known Presence) (at finger, found bool, others int) {
	count := 0
	var lost finger
	lostFound := false
	f := p.items.seek(b)
	for e := p.items.get(f); e != nil && e.bound() == b; f, e = p.items.next(f), p.items.get(p.items.next(f)) {
		count++
		if found {
			continue
		}
		if known == KnownPresent && !e.lost() {
			if n := p.items.get(p.items.next(f)); count == 1 && (n == nil || n.bound() != b) {
				return f, true, 0
			}
		}
		same, readable := s.isKey(e, key)
		switch {
		case same:
			at, found = f, true
		case !readable && !lostFound:
			lost, lostFound = f, true
		}
	}
	if !found && lostFound && known != KnownAbsent && count == 1 && !p.items.get(lost).shared() {
		at, found = lost, true // no other key was ever seen to have this bound
	}
	if found {
		count--
	}
	return at, found, count
}

// isKey reports whether the record of an entry is a key's; readable is false where
// that can't be told.
func (s *Store) isKey(e *entry, key []byte) (same, readable bool) {
	if e.lost() {
		return false, false
	}
	g := s.acquire(e.seg)
	if g == nil {
		return false, false
	}
	defer g.release()
	b := make([]byte, min(int(e.bytes()), recordBytes+len(key)))
	b, err := g.read(b, e.off)
	if err != nil {
		return false, false
	}
	if len(b) >= recordBytes && int(le.Uint32(b[16:])) > len(key) {
		// Longer: its checksum needs the rest.
		if b, err = g.read(make([]byte, e.bytes()), e.off); err != nil {
			return false, false
		}
	}
	r, _, ok := s.id.readHead(b, e.place())
	return ok && string(r.key) == string(key), ok
}

func (s *Store) put(p *partition, o *Op) {
	b := s.id.boundOf(o.Key)
	at, found, others := s.match(p, o.Key, b, o.Known)
	r := record{kind: kindItem, part: o.Part, gen: p.gen, key: o.Key, value: o.Value, bound: b, hashed: true}
	if others > 0 {
		r.flags |= flagCollides
	}
	e := s.append(&r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if found {
		old := p.items.get(at)
		s.dead(old, kindItem)
		*old = e
	} else {
		p.items.insert(e)
	}
	if others > 0 {
		p.items.share(b)
	}
}

// share notes that several keys have a bound.
func (t *tree) share(b bound) {
	f := t.seek(b)
	for e := t.get(f); e != nil && e.bound() == b; e = t.get(f) {
		e.size |= bitShare
		f = t.next(f)
	}
}

func (s *Store) delete(p *partition, o *Op) {
	b := s.id.boundOf(o.Key)
	at, found, others := s.match(p, o.Key, b, o.Known)
	if !found {
		return
	}
	r := record{kind: kindDelete, part: o.Part, gen: p.gen, key: o.Key, bound: b, hashed: true}
	if others > 0 {
		r.flags |= flagCollides
	}
	s.append(&r)
	s.dead(p.items.get(at), kindItem)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.items.remove(at)
}

func rowKey(b bound) []byte { return le.AppendUint32(le.AppendUint64(nil, b.pos), b.check) }

func (s *Store) putRow(p *partition, o *Op) {
	if o.Seq <= p.floor {
		panic("seglog: a row was admitted that lies below the floor")
	}
	e := s.append(&record{kind: kindRow, part: o.Part, gen: p.gen, key: rowKey(bound{o.Seq, p.rowGen}), value: o.Value})
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.rows.seek(bound{pos: o.Seq})
	if old := p.rows.get(f); old != nil && old.pos == o.Seq {
		s.dead(old, kindRow)
		*old = e
		return
	}
	p.rows.insert(e)
}

// trim drops rows with seq ≤ seq.
func (s *Store) trim(p *partition, seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.floor = max(p.floor, seq)
	for e := p.rows.get(finger{}); e != nil && e.pos <= p.floor; e = p.rows.get(finger{}) {
		s.dead(e, kindRow)
		p.rows.remove(finger{})
	}
}

// cut drops rows with seq > seq.
func (s *Store) cut(p *partition, o *Op) {
	if o.Seq < p.floor {
		// None is left, but in the log are some that were trimmed: a new generation.
		p.mu.Lock()
		p.floor, p.rowGen = o.Seq, p.rowGen+1
		s.bury(&p.rows)
		p.mu.Unlock()
		s.touch(p, o.Part)
		return
	}
	for {
		f := p.rows.seek(bound{pos: o.Seq + 1})
		e := p.rows.get(f)
		if e == nil || o.Seq == 1<<64-1 {
			return
		}
		s.append(&record{kind: kindDropRow, part: o.Part, gen: p.gen, key: rowKey(e.bound())})
		s.dead(e, kindRow)
		p.mu.Lock()
		p.rows.remove(f)
		p.mu.Unlock()
	}
}

// bury leaves what a tree has to be accounted for later: a partition may have millions
// of keys.
func (s *Store) bury(t *tree) {
	if t.n > 0 {
		s.graves = append(s.graves, *t)
		t.count(-t.n)
	}
	*t = tree{arena: t.arena, items: t.items}
}

// wipe drops everything of a partition by a new generation.
func (s *Store) wipe(p *partition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gen++
	s.bury(&p.items)
	s.bury(&p.rows)
	p.floor, p.rowGen, p.meta, p.suspect, p.bad = 0, 0, nil, false, false
	p.loss = s.loss.Load()
}

// kind is that of the records of its entries.
func (t *tree) kind() kind {
	if t.items {
		return kindItem
	}
	return kindRow
}

// digGraves accounts for some of what was wiped; more says that there is more.
func (s *Store) digGraves(n int) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n > 0 && len(s.graves) > 0 {
		t := &s.graves[len(s.graves)-1]
		last := len(t.nodes) - 1
		nd := t.nodes[last]
		pg := nd.pages[len(nd.pages)-1]
		for i := range pg.n {
			s.dead(&pg.e[i], t.kind())
		}
		n -= int(pg.n)
		t.n -= int(pg.n)
		t.dropPage(finger{last, len(nd.pages) - 1, 0})
		if len(t.nodes) == 0 {
			s.graves = s.graves[:len(s.graves)-1]
		}
	}
	return len(s.graves) > 0
}
