package seglog

import (
	"errors"
	"io/fs"
)

// free takes segments out of the log. Their files go when the log says durably that they
// have gone: else their absence would be damage.
func (s *Store) free(freed []*segment) error {
	s.mu.Lock()
	var full error
	for i, g := range freed {
		if full = s.sayFree(g); full != nil {
			for _, g := range freed[i:] {
				g.collected = false // for another time
				s.leaving -= g.size
			}
			freed = freed[:i]
			break
		}
		s.leaving -= g.size
		s.dropSegment(g) // the heads of later segments do not name it
	}
	s.mu.Unlock()
	if len(freed) > 0 {
		if err := s.barrier(); err != nil {
			return err
		}
	}
	for _, g := range freed {
		s.removeFile(g.number)
		s.stats.freed.Add(1)
	}
	return full
}

// sayFree appends the word that a segment is free. The caller holds mu.
func (s *Store) sayFree(g *segment) error {
	r := record{kind: kindFree, key: rowKey(bound{pos: uint64(g.number)})}
	if err := s.reserve(r.bytes(), 1); err != nil {
		return err
	}
	s.append(&r)
	s.work.Signal()
	return nil
}

// removeFile removes the file of a segment that is no more. If that fails it is for another
// time: at the latest the next start finds it in no list.
func (s *Store) removeFile(n uint32) {
	if err := s.fs.Remove(segmentName(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.opts.Logger.Warn("cannot remove the file of a freed segment", "segment", n, "err", err)
		s.mu.Lock()
		s.unremoved = append(s.unremoved, n)
		s.mu.Unlock()
	}
}

// removeAgain removes what could not be removed before.
func (s *Store) removeAgain() {
	s.mu.Lock()
	again := s.unremoved
	s.unremoved = nil
	s.mu.Unlock()
	for _, n := range again {
		s.removeFile(n)
	}
}
