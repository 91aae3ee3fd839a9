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

// scanning is a scan under way. One goroutine has it. One with room keeps hold of the segments that it has read in: what it
// reads is all over the log, and the next item is likely to be in one of them. They are not freed meanwhile, so only scans that
// end soon do so.
type scanning struct {
	s     *Store
	room  func(n int) []byte // see ScanInto
	whole bool               // values are read, not only their heads
	near  stretch
	held  map[uint32]*segment
}

// heldMax bounds how many segments a scan holds.
const heldMax = 256

// segment returns that of an entry, until done is called with it.
func (in *scanning) segment(e *entry) (*segment, error) {
	if g := in.held[e.seg]; g != nil {
		return g, nil
	}
	g, err := in.s.segmentOf(e)
	if err != nil || in.room == nil {
		return g, err
	}
	if len(in.held) >= heldMax {
		in.end()
	}
	if in.held == nil {
		in.held = make(map[uint32]*segment)
	}
	in.held[e.seg] = g
	return g, nil
}

func (in *scanning) done(g *segment) {
	if in.room == nil {
		g.release()
	}
}

// end releases the segments that are held.
func (in *scanning) end() {
	for _, g := range in.held {
		g.release()
	}
	clear(in.held)
}

// bytes returns n bytes to read into.
func (in *scanning) bytes(n uint32) []byte {
	if in.room != nil {
		if b := in.room(int(n)); b != nil {
			return b[:n:n]
		}
	}
	return make([]byte, n)
}

// read reads the record of an item, as readEntry does.
func (in *scanning) read(e *entry) (r record, keyOK bool, err error) {
	if b := in.near.of(e); b != nil {
		return in.s.verify(b, e, kindItem)
	}
	g, err := in.segment(e)
	if err != nil {
		return r, false, err
	}
	defer in.done(g)
	return in.s.readIn(g, in.bytes(e.bytes()), e, kindItem)
}

// goOn reads the record of the first entry with those of the next ones that stand behind it. Where there are
// none, or they cannot be read, it reads nothing: each is then read for itself, and says what is wrong.
func (in *scanning) goOn(entries []entry) {
	first := &entries[0]
	if !in.whole || in.near.of(first) != nil {
		return
	}
	in.near = stretch{}
	n, records := uint32(0), 0
	for i := range entries {
		e := &entries[i]
		if e.seg != first.seg || e.off != first.off+n || n+e.bytes() > stretchBytesMax {
			break
		}
		n, records = n+e.bytes(), records+1
	}
	if records < 2 {
		return
	}
	g, err := in.segment(first)
	if err != nil {
		return
	}
	defer in.done(g)
	if b, err := g.read(in.bytes(n), first.off); err == nil {
		in.near = stretch{first.seg, first.off, b}
	}
}
