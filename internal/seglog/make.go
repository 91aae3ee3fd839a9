package seglog

import "fmt"

// tailPart of a segment is what may lie idle behind its seal.
const tailPart = 8

// cutOff gives back the space behind a seal of n bytes where that is much: values of more
// than half a segment would let half of the disk lie idle, and no collection could help.
// That the store was closed may still have to be taken back there.
func (s *Store) cutOff(f *frame, n int) {
	g, end := f.seg, int64(f.off)+int64(n)
	s.mu.Lock()
	much := g.size-end > g.size/tailPart
	s.mu.Unlock()
	if !much || f.flags&frameClose != 0 {
		return
	}
	if err := g.mem.file.Truncate(end); err != nil {
		s.opts.Logger.Warn("cannot free the space behind the end of a segment", "segment", g.number, "err", err)
		return
	}
	s.mu.Lock()
	if s.seg(g.number) == g { // else it is gone, and was counted as it was
		s.sums.disk.Add(end - g.size)
	}
	g.size = end
	s.mu.Unlock()
}

// makeSegment gives a segment its file: with the head in it before it has its name,
// and with its name before a frame of it is durable.
func (s *Store) makeSegment(f *frame) error {
	g := f.seg
	var made preallocated
	select {
	case made = <-s.preallocated:
		if g.size != made.size {
			_ = made.file.Close() // an empty file
			_ = s.fs.Remove(made.name)
			made.file = nil
		}
	default:
	}
	if made.file == nil {
		made.name = segmentNewName
		var err error
		if made.file, err = s.fs.Create(made.name, g.size, false); err != nil {
			return err
		}
	}
	file := made.file
	err := file.WriteSync(f.head.encode(s.id), 0)
	if err == nil {
		err = s.fs.Rename(made.name, segmentName(g.number))
	}
	if err == nil {
		err = file.Close() // what it was opened as has a name no more
	}
	if err == nil {
		err = s.fs.SyncDir()
	}
	if err == nil {
		err = s.noteBegun()
	}
	if err != nil {
		return err
	}
	g.mem.Lock()
	g.mem.named = true
	g.mem.Unlock()
	return g.pin()
}

// sealReserve is what is kept free behind a frame of so many records: for a seal, which names
// its partitions, and for a second one, which takes back that the store was closed.
func sealReserve(records int) int { return 2 * frameBytes(0, 0, records) }

// begunName is that of an empty file which says that there was a segment: where there is none,
// all are lost.
const begunName = "BEGUN"

func (s *Store) noteBegun() error {
	if s.begun {
		return nil
	}
	f, err := s.fs.Create(begunName, 0, false)
	if err == nil {
		err = f.Close()
	}
	if err == nil {
		err = s.fs.SyncDir()
	}
	s.begun = err == nil
	return err
}

// runPreallocate keeps a file ready for the next segment, so that no write waits for it, and has
// the kernel read those that are full.
func (s *Store) runPreallocate() {
	for n := 0; ; n++ {
		var size int64
		select {
		case size = <-s.wantPreallocated:
		case n := <-s.warm:
			if f, err := s.files.get(n); err == nil { // else it is gone already
				f.Warm()
				s.files.put(f)
			}
			continue
		case <-s.quit:
			return
		}
		if len(s.preallocated) > 0 {
			continue
		}
		name := fmt.Sprintf("spare-%d%s", n, newSuffix)
		if f, err := s.fs.Create(name, size, s.opts.Zeroed); err == nil {
			s.preallocated <- preallocated{f, name, size} // it does not block: nobody else puts one there
		}
	}
}
