package seglog

import "slices"

// adds reports whether a batch makes the store larger.
func adds(ops []Op) bool {
	return slices.ContainsFunc(ops, func(o Op) bool { return o.Kind == Put || o.Kind == PutRow || o.Kind == PutMeta })
}

// reserveSegments are kept free for what frees space: the one that is written, its
// successor, and what a collection copies before it frees.
const reserveSegments = 4

// Reserve is how many bytes of the disk the store keeps for deletions, the next checkpoint
// and collection. With less than that left Apply refuses with ErrFull what adds; who wants to
// refuse earlier, and in better words, looks at the disk and stops above it.
func (s *Store) Reserve() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reserved()
}

func (s *Store) reserved() uint64 {
	return uint64(reserveSegments*s.opts.SegmentBytes + s.lastCkp + s.lastCkp/4)
}

// hasSpace reports whether the disk has more than what the store keeps for itself. The caller
// holds mu.
func (s *Store) hasSpace() bool {
	free, ok := s.fs.Free()
	return !ok || free >= s.reserved()
}

// checkSpace refuses a batch on a full disk. What frees space is refused as well when only that
// is left which a collection takes before it gives back. The caller holds mu.
func (s *Store) checkSpace(ops []Op) error {
	if !s.low {
		return nil
	}
	if s.low = !s.hasSpace(); !s.low {
		return nil
	}
	if free, _ := s.fs.Free(); adds(ops) || free < uint64(reserveSegments/2*s.opts.SegmentBytes) {
		return ErrFull
	}
	return nil
}
