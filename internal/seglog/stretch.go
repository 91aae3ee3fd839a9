package seglog

// stretchBytesMax is how much a scan reads at a time where records stand one behind the other in its
// order. Those do that came in pages of a scan, and their copies.
const stretchBytesMax = 64 << 10

// stretch is a part of a segment that was read at a time. The zero stretch is of none.
type stretch struct {
	seg, off uint32
	b        []byte
}

// of returns the bytes of an entry's record, nil where they are not in the stretch.
func (st *stretch) of(e *entry) []byte {
	if e.seg != st.seg || e.off < st.off || uint64(e.off-st.off)+uint64(e.bytes()) > uint64(len(st.b)) {
		return nil
	}
	at, n := e.off-st.off, e.bytes()
	return st.b[at : at+n : at+n]
}

// ahead reads the record of the first entry with those of the next ones that stand behind it. Where there are
// none, or they cannot be read, it reads nothing: each is then read for itself, and says what is wrong.
func (s *Store) ahead(entries []entry) stretch {
	first := &entries[0]
	n, records := uint32(0), 0
	for i := range entries {
		e := &entries[i]
		if e.seg != first.seg || e.off != first.off+n || n+e.bytes() > stretchBytesMax {
			break
		}
		n, records = n+e.bytes(), records+1
	}
	if records < 2 {
		return stretch{}
	}
	g, err := s.segmentOf(first)
	if err != nil {
		return stretch{}
	}
	defer g.release()
	b, err := g.read(make([]byte, n), first.off)
	if err != nil {
		return stretch{}
	}
	return stretch{first.seg, first.off, b}
}
