package store

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"viewring/ring"
)

// cutOut gets rid of the bytes of a damaged partition, before a batch that wipes
// it. A deletion would leave the bad block where it is, for compactions to fail
// on for ever: an excise takes the range out of the tables. The partition is
// forgotten first, durably, so that no crash leaves a meta that speaks for items
// which are gone; the batch that follows drops what an excise could not.
//
// It blocks its caller, who owns the partition: what was written to the range
// meanwhile would be lost. The memtables are flushed before, because an excise
// that has to wait in line behind one, and then meets a bad block at the edge of
// its range, would hold up all later flushes.
func (s *Store) cutOut(p ring.PartitionID) error {
	pb := s.db.NewBatch()
	if err := s.wipe(pb, p); err != nil {
		return err
	}
	wait, err := s.apply(pb)
	if err == nil {
		err = wait()
	}
	if err != nil {
		return err
	}
	if err := s.db.Flush(); err != nil {
		s.logger.Warn("a damaged partition is deleted, its bytes stay in their tables", "partition", p, "err", err)
		return nil
	}
	for _, ns := range []byte{nsItem, nsIndex} {
		span := pebble.KeyRange{Start: appendPrefix(nil, ns, p), End: appendPrefixEnd(nil, ns, p)}
		if err := s.db.Excise(context.Background(), span); err != nil {
			// The bad block holds a neighbour's rows too: that one is damaged as well.
			s.logger.Warn("a damaged partition is deleted, its bytes stay in their tables", "partition", p, "err", err)
		}
	}
	return nil
}
