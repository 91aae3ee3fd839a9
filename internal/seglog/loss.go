package seglog

import "fmt"

// When records are lost of which nobody knows what partition they were of, it may have been
// any, also one of which nothing is here. Such a loss has a number. It is in the log, and
// each partition's state says up to which loss it was wiped since: so it is known for ever,
// also of partitions that are met later, in whatever order records were moved.

// LostAll reports whether records are lost of which nobody knows what partition they were
// of: it may have been any, also one that has nothing here. Reads say of all partitions but
// those that were wiped since that what they do not find may be lost. It stays so,
// over restarts, until ForgetLoss.
func (s *Store) LostAll() bool { return s.lossOpen.Load() }

// ForgetLoss is for who has dealt with what LostAll says: partitions of which nothing was
// here are taken for sound again. Those that are suspect stay so until they are wiped. It is
// durable on return.
func (s *Store) ForgetLoss() error {
	s.mu.Lock()
	err := s.Err()
	if s.closing.Load() {
		err = ErrClosed
	}
	if err == nil {
		s.lossOpen.Store(false)
		err = s.putLoss()
	}
	s.mu.Unlock()
	if err == nil {
		err = s.barrier()
	}
	if err != nil {
		return fmt.Errorf("forget what was lost: %w", err)
	}
	return nil
}

// suspicious reports whether a key that is not found may have been lost. The caller holds
// p.mu or Store.mu.
func (s *Store) suspicious(p *partition) bool {
	return p.suspect || s.lossOpen.Load() && p.loss < s.loss.Load()
}

// putLoss writes down what is known of losses. The caller holds mu.
func (s *Store) putLoss() error {
	r := record{kind: kindLoss, key: rowKey(bound{pos: uint64(s.loss.Load())})}
	if s.lossOpen.Load() {
		r.key = rowKey(bound{pos: uint64(s.loss.Load()), check: 1})
	}
	if err := s.reserve(r.bytes(), 1); err != nil {
		return err
	}
	s.dead(&s.lossAt, kindState)
	s.lossAt = s.append(&r)
	s.work.Signal()
	return nil
}

// loss takes over what the log says of a loss. One that was noticed in this replay is
// another.
func (r *recovery) loss(e entry, open bool) {
	s := r.s
	s.dead(&s.lossAt, kindState)
	s.lossAt = e
	n := uint32(e.pos)
	if n < s.loss.Load() {
		return
	}
	if r.noticed {
		s.loss.Store(n + 1)
		return
	}
	s.loss.Store(n)
	s.lossOpen.Store(open)
}
