package store

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"viewring/ring"
	"viewring/server/replica"
)

// damagedIn returns the damaged partitions that a batch wipes.
func damagedIn(b *replica.Batch) (parts []ring.PartitionID) {
	for i := range b.Ops {
		if op := &b.Ops[i]; op.Kind == replica.WipePartition && op.Damaged {
			parts = append(parts, op.Partition)
		}
	}
	return parts
}

// cutOut gets rid of the bytes of damaged partitions, before a batch that wipes
// them. A deletion would leave the bad blocks where they are, for compactions to
// fail on for ever: an excise takes the ranges out of the tables. The partitions
// are forgotten first, durably, so that no crash leaves a meta that speaks for
// items which are gone; the batch that follows drops what an excise could not.
//
// It blocks its caller, who owns the partitions: what was written to the ranges
// meanwhile would be lost. The memtables are flushed before, because an excise
// that has to wait in line behind one, and then meets a bad block at the edge of
// its range, would hold up all later flushes.
func (s *Store) cutOut(parts []ring.PartitionID) error {
	pb := s.db.NewBatch()
	for _, p := range parts {
		if err := s.wipe(pb, p); err != nil {
			return err
		}
	}
	wait, err := s.apply(pb)
	if err == nil {
		err = wait()
	}
	if err != nil {
		return err
	}
	if err := s.db.Flush(); err != nil {
		s.logger.Warn("damaged partitions are deleted, their bytes stay in the tables", "partitions", parts, "err", err)
		return nil
	}
	for _, p := range parts {
		for _, ns := range []byte{nsItem, nsIndex} {
			span := pebble.KeyRange{Start: appendPrefix(nil, ns, p), End: appendPrefixEnd(nil, ns, p)}
			if err := s.db.Excise(context.Background(), span); err != nil {
				// The bad block holds a neighbour's rows too: that one is damaged as well.
				s.logger.Warn("a damaged partition is deleted, its bytes stay in their tables", "partition", p, "err", err)
			}
		}
	}
	return nil
}
