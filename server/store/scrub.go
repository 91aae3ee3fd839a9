package store

import (
	"context"
	"fmt"

	"viewring/internal/seglog"
	"viewring/ring"
	"viewring/server/replica"
)

// Finding is something corrupt that a scrub met.
type Finding struct {
	Partition ring.PartitionID
	Key       replica.Key // "" where something of the partition cannot be read and it is not known what
	Err       error
}

// Scrub is the caller's side of a scrub.
type Scrub struct {
	// Pace is told of bytes that were read. Its error ends the scrub.
	Pace func(bytes int) error
	// Found is told of what is corrupt.
	Found func(Finding)
	// Item is told that another item is sound.
	Item func()
}

// Scrub reads all segments from the disk, one after the other, verifies every record that
// is needed, and reports what it finds. It may report items that have been overwritten
// since, so the caller must look again. It runs concurrently with everything else.
func (s *Store) Scrub(ctx context.Context, job *Scrub) error {
	found := func(f seglog.Finding) {
		p := ring.PartitionID(f.Part)
		switch {
		case p == nodePartition:
			if err := s.rewriteNode(); err != nil {
				s.logger.Error("cannot rewrite what the store keeps of itself", "err", err)
			}
		case p == localPartition || p < ring.Slots:
			job.Found(Finding{Partition: p, Key: replica.Key(f.Key), Err: tell(f.Err)})
		}
	}
	item := func(part uint16, key, value []byte) {
		if ring.PartitionID(part) == nodePartition {
			return // it has its own form
		}
		if _, err := replica.DecodeItem(replica.Key(key), value); err != nil {
			found(seglog.Finding{Part: part, Key: key, Err: err})
			return
		}
		job.Item()
	}
	if err := s.repairIdentity(); err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	err := s.log.Scrub(ctx, &seglog.Scrubbing{Pace: job.Pace, Found: found, Item: item})
	s.scrubbed.Store(s.Corruptions())
	if err != nil {
		return fmt.Errorf("scrub: %w", err)
	}
	return nil
}

// Verify reads all that a partition has, and returns an error that wraps
// replica.ErrCorrupt where not all of it can be read. pace is as a Scrub's.
func (s *Store) Verify(p ring.PartitionID, pace func(bytes int) error) error {
	var bad error
	err := s.Scan(p, replica.Cursor{}, func(key replica.Key, item []byte) bool {
		if _, bad = replica.DecodeItem(key, item); bad == nil {
			bad = pace(len(key) + len(item))
		}
		return bad == nil
	})
	if err == nil {
		err = bad
	}
	if err == nil {
		err = s.Index(p, 0, func(uint64, []byte) bool { return true })
	}
	if err != nil {
		return fmt.Errorf("verify partition %d: %w", p, err)
	}
	return nil
}
