package seglog

// unreadEntries of the index are looked at while its lock is held, when records are sought
// that cannot be read.
const unreadEntries = 4096

// copyUnreadable notes as lost what the index has in some segments and no frame there: the
// frames are damaged, or the segments are missing. It walks through all of the index, in
// small steps.
func (s *Store) copyUnreadable(in ...*content) error {
	if len(in) == 0 {
		return nil
	}
	u := &unreadables{s: s, in: make(map[uint32]*content), known: make(map[spot]bool)}
	for _, c := range in {
		u.in[c.seg] = c
		for h, ok := c.locate(c.base); ok; h, ok = c.locate(h.off + uint32(h.bytes())) {
			slots, _ := c.slots(&h)
			for i := range slots {
				u.known[spot{c.seg, slots[i].off}] = true
			}
		}
	}
	s.mu.Lock()
	var err error
	if u.has(s.lossAt.place()) {
		err = s.putLoss()
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	for n, q := range s.present() {
		if err := u.state(n, q); err != nil {
			return err
		}
		for _, t := range []*tree{&q.items, &q.rows} {
			if err := u.tree(n, q, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// unreadables are records that the index has and no frame.
type unreadables struct {
	s     *Store
	in    map[uint32]*content // by segment
	known map[spot]bool       // records that frames have
}

func (u *unreadables) has(at spot) bool { return u.in[at.seg] != nil && !u.known[at] }

func (u *unreadables) state(n uint16, q *partition) error {
	s := u.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if !u.has(q.state.place()) {
		return nil
	}
	if err := s.reserve(align8(recordBytes+stateBytes+len(q.meta)), 1); err != nil {
		return err
	}
	s.putState(n)
	s.work.Signal()
	return nil
}

func (u *unreadables) tree(n uint16, q *partition, t *tree) error {
	for from, more := (bound{}), true; more; {
		var bad []placed
		var segs []uint32
		q.mu.RLock()
		f := t.seek(from)
		e := t.get(f)
		for i := 0; e != nil && (i < unreadEntries || e.bound() == from); i++ {
			if from = e.bound(); u.has(e.place()) {
				bad = append(bad, placed{slot{bound: from, size: e.bytes(), gen: q.gen, part: n, kind: t.kind()}, e.off})
				segs = append(segs, e.seg)
			}
			f = t.next(f)
			e = t.get(f)
		}
		if more = e != nil; more {
			from = e.bound()
		}
		q.mu.RUnlock()
		if err := u.move(bad, segs); err != nil {
			return err
		}
	}
	return nil
}

func (u *unreadables) move(bad []placed, segs []uint32) error {
	if len(bad) == 0 {
		return nil
	}
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	defer u.s.work.Signal()
	for i := range bad {
		if _, err := u.s.moveOne(u.in[segs[i]], &bad[i], false); err != nil {
			return err
		}
	}
	return nil
}
