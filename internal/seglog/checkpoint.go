package seglog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"viewring/internal/disk"
)

// A checkpoint is a file of chunks: length, checksum, content. Its name has the number
// of the first frame that is to be replayed after it.
const (
	checkpointPrefix  = "checkpoint-"
	checkpointNewName = "checkpoint" + newSuffix
	chunkHeadBytes    = 8
	chunkEntries      = 2048
)

// The first byte of a chunk says what it holds.
const (
	chunkStart     = 'S'
	chunkPartition = 'P'
	chunkItems     = 'I'
	chunkRows      = 'R'
	chunkEnd       = 'E'
)

const entryBytes = 24

func checkpointName(lsn uint64) string { return fmt.Sprintf("%s%020d", checkpointPrefix, lsn) }

// chunkWriter writes a checkpoint.
type chunkWriter struct {
	f      disk.File
	id     *identity
	buf    []byte
	at     int64
	synced int64
	count  uint32
	err    error
}

const (
	chunkBuffer = 1 << 20
	chunkSync   = 4 << 20 // is synced at a time: more would hold up the log's writes
)

// put writes a chunk. Its checksum holds at its place in this checkpoint only.
func (w *chunkWriter) put(lsn uint64, content []byte) {
	var h [chunkHeadBytes]byte
	le.PutUint32(h[:], uint32(len(content)))
	le.PutUint32(h[4:], w.id.chunkSum(lsn, w.count, content))
	w.count++
	w.buf = append(append(w.buf, h[:]...), content...)
	if len(w.buf) >= chunkBuffer {
		w.flush()
	}
}

func (w *chunkWriter) flush() {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.f.WriteAt(w.buf, w.at)
		w.at += int64(len(w.buf))
	}
	if w.err == nil && w.at-w.synced >= chunkSync {
		w.synced = w.at
		w.err = w.f.Sync()
	}
	w.buf = w.buf[:0]
}

func (id *identity) chunkSum(lsn uint64, count uint32, content []byte) uint32 {
	var b [12]byte
	le.PutUint64(b[:], lsn)
	le.PutUint32(b[8:], count)
	return crc32.Update(crc32.Update(id.seed, castagnoli, b[:]), castagnoli, content)
}

func (e *entry) append(b []byte) []byte {
	b = le.AppendUint64(b, e.pos)
	for _, n := range [...]uint32{e.check, e.seg, e.off, e.size} {
		b = le.AppendUint32(b, n)
	}
	return b
}

func readEntryBytes(b []byte) entry {
	return entry{pos: le.Uint64(b), check: le.Uint32(b[8:]), seg: le.Uint32(b[12:]), off: le.Uint32(b[16:]), size: le.Uint32(b[20:])}
}

// Checkpoint writes the index down, so that the next start reads it and only the log
// after it. Sets go on meanwhile: an entry may be as of any moment from the beginning
// to the end, and the replay of all frames since the beginning makes it right.
func (s *Store) Checkpoint() error {
	s.waitFor(s.background)
	defer s.background.unlock()
	if s.closing.Load() {
		return ErrClosed
	}
	s.sums.writesCkp.Store(true)
	defer s.sums.writesCkp.Store(false)
	for s.digGraves(4 * pageEntries) {
	}
	s.mu.Lock()
	if s.building != nil {
		s.full()
		s.work.Signal()
	}
	lsn, start := s.lsn, spot{s.nextNumber, 0}
	if s.cur != nil {
		start = spot{s.cur.number, s.cur.end}
	}
	first := s.encodeStart(lsn, start)
	since := s.sinceCkp
	s.sinceCkp = 0
	s.mu.Unlock()
	n, err := s.writeCheckpoint(lsn, first)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.sinceCkp += since
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	s.stats.checkpoints.Add(1)
	s.stats.ckpBytes.Add(n)
	s.lastCkp = n
	s.covered = start
	return nil
}

// writeCheckpoint writes the file of a checkpoint, which begins with first, and removes
// the older ones. It returns how long it is.
func (s *Store) writeCheckpoint(lsn uint64, first []byte) (bytes int64, err error) {
	f, err := s.fs.Create(checkpointNewName, 0, false)
	if err != nil {
		return 0, err
	}
	w := &chunkWriter{f: f, id: s.id}
	w.put(lsn, first)
	for n, p := range s.present() {
		if w.err != nil {
			break
		}
		s.writePartition(w, lsn, n, p)
	}
	w.put(lsn, []byte{chunkEnd})
	w.flush()
	err = w.err
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = s.barrier() // all that the entries speak of
	}
	if err == nil {
		err = s.fs.Rename(checkpointNewName, checkpointName(lsn))
	}
	if err != nil {
		_ = s.fs.Remove(checkpointNewName) // it is in nobody's way
		return 0, err
	}
	if err := s.fs.SyncDir(); err != nil {
		return 0, err
	}
	if err := s.removeCheckpoints(lsn); err != nil {
		s.opts.Logger.Warn("cannot remove old checkpoints", "err", err) // the next one removes them
	}
	return w.at, nil
}

// removeCheckpoints removes those that are older.
func (s *Store) removeCheckpoints(before uint64) error {
	names, err := s.fs.List()
	if err != nil {
		return fmt.Errorf("remove old checkpoints: %w", err)
	}
	for _, n := range names {
		if strings.HasPrefix(n, checkpointPrefix) && n < checkpointName(before) {
			if err := s.fs.Remove(n); err != nil {
				return fmt.Errorf("remove old checkpoints: %w", err)
			}
		}
	}
	return nil
}

// encodeStart is the first chunk: where the replay begins, and what of the segments
// their records do not say.
func (s *Store) encodeStart(lsn uint64, start spot) []byte {
	b := []byte{chunkStart}
	b = le.AppendUint64(b, lsn)
	b = le.AppendUint32(b, start.seg)
	b = le.AppendUint32(b, start.off)
	b = le.AppendUint32(b, s.nextNumber)
	b = le.AppendUint32(b, s.loss.Load())
	if s.lossOpen.Load() {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = s.lossAt.append(b)
	b = le.AppendUint32(b, s.prev.records)
	b = appendParts(b, s.prev.parts)
	var cur []uint16
	if s.cur != nil {
		for p := range s.cur.parts {
			cur = append(cur, p)
		}
	}
	slices.Sort(cur)
	b = appendParts(b, cur)
	for _, n := range s.numbers() {
		g := s.seg(n)
		for _, v := range [...]uint32{n, uint32(g.items), uint32(g.rows), uint32(g.dropRows), uint32(g.dropBytes), g.end} {
			b = le.AppendUint32(b, v)
		}
	}
	return b
}

func appendParts(b []byte, parts []uint16) []byte {
	b = le.AppendUint32(b, uint32(len(parts)))
	for _, p := range parts {
		b = le.AppendUint16(b, p)
	}
	return b
}

// writePartition writes a partition, some entries at a time: each time its lock is
// held for microseconds.
func (s *Store) writePartition(w *chunkWriter, lsn uint64, n uint16, p *partition) {
	p.mu.RLock()
	b := append([]byte{chunkPartition}, byte(n), byte(n>>8))
	b = le.AppendUint32(b, p.gen)
	b = p.state.append(b)
	r := stateOf(n, p)
	b = append(append(append(b, r.flags), r.key...), r.value...)
	gen := p.gen
	p.mu.RUnlock()
	w.put(lsn, b)
	s.writeTree(w, lsn, p, &p.items, []byte{chunkItems, byte(n), byte(n >> 8)}, gen)
	s.writeTree(w, lsn, p, &p.rows, []byte{chunkRows, byte(n), byte(n >> 8)}, gen)
}

func (s *Store) writeTree(w *chunkWriter, lsn uint64, p *partition, t *tree, kind []byte, gen uint32) {
	next := bound{}
	for w.err == nil {
		b := slices.Clone(kind)
		p.mu.RLock()
		f := t.seek(next)
		n := 0
		e := t.get(f)
		for ; e != nil && p.gen == gen && (n < chunkEntries || e.bound() == next); e = t.get(f) {
			b = e.append(b)
			next = e.bound()
			f = t.next(f)
			n++
		}
		more := e != nil && p.gen == gen
		if more {
			next = e.bound()
		}
		p.mu.RUnlock()
		if n > 0 {
			w.put(lsn, b)
		}
		if !more {
			return
		}
	}
}

// loadCheckpoint takes over the newest checkpoint that is sound. Without one the log is
// replayed from its beginning.
func (r *recovery) loadCheckpoint(names []string) error {
	newest := ""
	for _, n := range names {
		if strings.HasPrefix(n, checkpointPrefix) && !strings.HasSuffix(n, newSuffix) {
			newest = max(newest, n)
		}
	}
	if newest == "" {
		return nil
	}
	// An older one is no help: tombstones that only it needs may be gone.
	var lsn uint64
	_, err := fmt.Sscanf(newest[len(checkpointPrefix):], "%d", &lsn)
	if err != nil {
		err = fmt.Errorf("%w: its name: %w", ErrCorrupt, err)
	} else {
		err = r.readCheckpoint(newest, lsn, false)
	}
	switch {
	case errors.Is(err, ErrCorrupt) || errors.Is(err, ErrFormat):
		r.damage("the checkpoint is damaged; the index is made from the log", "checkpoint", newest, "err", err)
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", newest, err)
	}
	return r.readCheckpoint(newest, lsn, true)
}

// readCheckpoint verifies a checkpoint, or takes it over.
func (r *recovery) readCheckpoint(name string, lsn uint64, take bool) error {
	f, err := r.s.fs.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	size, err := f.Size()
	if err != nil {
		return err
	}
	r.s.lastCkp = size
	in := &chunkReader{id: r.s.id, lsn: lsn, r: io.NewSectionReader(f, 0, size), left: size}
	for {
		b, err := in.next()
		if err != nil {
			return err
		}
		if b[0] == chunkEnd {
			return nil
		}
		if !take {
			continue
		}
		if err := r.takeChunk(b); err != nil {
			return err
		}
	}
}

type chunkReader struct {
	id    *identity
	lsn   uint64
	r     io.Reader
	left  int64
	count uint32
	buf   []byte
}

// fill reads as much as b has. Its error wraps ErrCorrupt where that is not to be had.
func (in *chunkReader) fill(b []byte) error {
	_, err := io.ReadFull(in.r, b)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("chunk %d: %w", in.count, err)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || disk.Unreadable(err) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// next returns the next chunk, which is valid until the one after it is read.
func (in *chunkReader) next() ([]byte, error) {
	var h [chunkHeadBytes]byte
	if err := in.fill(h[:]); err != nil {
		return nil, err
	}
	n := int64(le.Uint32(h[:]))
	in.left -= chunkHeadBytes + n
	if n == 0 || in.left < 0 {
		return nil, fmt.Errorf("%w: chunk %d of %d bytes", ErrCorrupt, in.count, n)
	}
	in.buf = slices.Grow(in.buf[:0], int(n))[:n]
	if err := in.fill(in.buf); err != nil {
		return nil, err
	}
	if in.id.chunkSum(in.lsn, in.count, in.buf) != le.Uint32(h[4:]) {
		return nil, fmt.Errorf("%w: chunk %d: checksum", ErrCorrupt, in.count)
	}
	in.count++
	return in.buf, nil
}

func (r *recovery) takeChunk(b []byte) error {
	s := r.s
	switch b[0] {
	case chunkStart:
		r.takeStart(b[1:])
		r.ahead.from(r.start.seg)
	case chunkPartition:
		p := s.part(le.Uint16(b[1:]))
		p.gen = le.Uint32(b[3:])
		p.state = readEntryBytes(b[7:])
		b = b[7+entryBytes:]
		p.takeState(bound{le.Uint64(b[1:]), le.Uint32(b[9:])}, b[0], b[1+boundBytes:])
		if g := s.seg(p.state.seg); g != nil {
			s.lives(g, int64(p.state.bytes()))
		}
	case chunkItems, chunkRows:
		p := s.part(le.Uint16(b[1:]))
		t := &p.rows
		if b[0] == chunkItems {
			t = &p.items
		}
		s.countEntries(b[3:], t.items)
		t.load(b[3:])
	default:
		return fmt.Errorf("%w: chunk of kind %q", ErrFormat, b[0])
	}
	return nil
}

// countEntries counts entries of a checkpoint with their segments.
func (s *Store) countEntries(b []byte, items bool) {
	var recent [64]*segment // by the lowest bits of their numbers: the table takes longer
	live := int64(0)
	for ; len(b) >= entryBytes; b = b[entryBytes:] {
		e := readEntryBytes(b)
		slot := &recent[e.seg%uint32(len(recent))]
		g := *slot
		if g == nil || g.number != e.seg {
			if g = s.seg(e.seg); g == nil {
				continue
			}
			*slot = g
		}
		g.live += int64(e.bytes())
		live += int64(e.bytes())
		if items {
			g.liveItems++
		} else {
			g.liveRows++
		}
	}
	s.sums.live.Add(live)
}

// load adds the entries of a chunk. They lie behind all that there are; in a fuzzy checkpoint
// some may not. Pages are made full: what a start waits for is the kernel making them.
func (t *tree) load(b []byte) {
	pg, last := t.lastPage()
	for ; len(b) >= entryBytes; b = b[entryBytes:] {
		e := readEntryBytes(b)
		switch {
		case pg != nil && last.compare(e.bound()) > 0:
			t.insert(e)
			pg, last = t.lastPage()
		case pg == nil || pg.n == pageEntries:
			pg, last = t.addPage(e), e.bound()
		default:
			pg.e[pg.n] = e
			pg.n++
			t.count(1)
			last = e.bound()
		}
	}
}

func (r *recovery) takeStart(b []byte) {
	s := r.s
	r.expect = le.Uint64(b)
	s.lsn = r.expect
	r.start = spot{le.Uint32(b[8:]), le.Uint32(b[12:])}
	s.covered = r.start
	s.nextNumber = le.Uint32(b[16:])
	s.loss.Store(le.Uint32(b[20:]))
	s.lossOpen.Store(b[24] != 0)
	s.lossAt = readEntryBytes(b[25:])
	if g := s.seg(s.lossAt.seg); g != nil {
		s.lives(g, int64(s.lossAt.bytes()))
	}
	b = b[25+entryBytes:]
	s.prev.records = le.Uint32(b)
	var cur []uint16
	s.prev.parts, b = readParts(b[4:])
	cur, b = readParts(b)
	r.listed = make(map[uint32]bool)
	for ; len(b) >= 24; b = b[24:] {
		r.listed[le.Uint32(b)] = true
		if g := s.seg(le.Uint32(b)); g != nil {
			g.items, g.rows, g.dropRows = int(le.Uint32(b[4:])), int(le.Uint32(b[8:])), int(le.Uint32(b[12:]))
			g.end = le.Uint32(b[20:])
			s.buries(g, int64(le.Uint32(b[16:]))-g.dropBytes)
		}
	}
	if g := s.seg(r.start.seg); g != nil {
		for _, p := range cur {
			g.parts[p] = true
		}
	}
}

func readParts(b []byte) (parts []uint16, rest []byte) {
	n := int(le.Uint32(b))
	for i := range n {
		parts = append(parts, le.Uint16(b[4+2*i:]))
	}
	return parts, b[4+2*n:]
}
