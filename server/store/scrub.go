package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"viewring/ring"
	"viewring/server/replica"
)

// Finding is something corrupt that a scrub met.
type Finding struct {
	Partition ring.PartitionID
	Key       replica.Key // "" where a range of the partition cannot be read
	Err       error
}

// Scrub is what one look at everything needs.
type Scrub struct {
	// Only bounds it to these partitions; nil: everything.
	Only []ring.PartitionID
	// Pace is told of every item read, with its bytes. Its error ends the scrub.
	Pace func(bytes int) error
	// Found is told of what is corrupt.
	Found func(Finding)
}

// Scrub reads all tables from the disk, past the cache, which would hide what has
// become of the bytes below it; verifies every block and the checksum of every
// item; and tells what it finds. It may see items that have been overwritten
// since: whoever is told looks again. What is not in a table yet is in memory.
// It runs beside everything else.
func (s *Store) Scrub(ctx context.Context, job *Scrub) error {
	levels, err := s.db.SSTables()
	if err != nil {
		return fmt.Errorf("scrub: %w", s.tell(err))
	}
	for _, tables := range levels {
		for i := range tables {
			t := &tables[i]
			end := append(slices.Clone(t.Largest.UserKey), 0) // the bounds hold for a part of a file as well
			err := s.scrubTable(ctx, job, fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum)), t.Smallest.UserKey, end)
			if err != nil {
				return fmt.Errorf("scrub: %w", err)
			}
		}
	}
	return nil
}

// scrubTable reads the part of a file in [start, end).
func (s *Store) scrubTable(ctx context.Context, job *Scrub, name string, start, end []byte) error {
	f, err := blockFS{s.fs}.Open(s.fs.PathJoin(s.dir, pebbleName, name), vfs.SequentialReadsOption)
	if errors.Is(err, os.ErrNotExist) {
		return nil // compacted meanwhile, and read for that
	}
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(ctx, readable, s.options.MakeReaderOptions())
	if err == nil {
		defer r.Close() // read only
	}
	for _, span := range spans(job.Only, start, end) {
		if err := s.scrubSpan(ctx, job, r, err, span[0], span[1]); err != nil {
			return err
		}
	}
	return nil
}

// spans returns the ranges of [start, end) that are to be read: by partition, so
// that what cannot be read is known by partition.
func spans(only []ring.PartitionID, start, end []byte) (out [][2][]byte) {
	add := func(lower, upper []byte) {
		lower, upper = maxKey(lower, start), minKey(upper, end)
		if string(lower) < string(upper) {
			out = append(out, [2][]byte{lower, upper})
		}
	}
	if only == nil {
		add(start, end)
		return out
	}
	for _, p := range only {
		for _, ns := range []byte{nsItem, nsIndex, nsMeta} {
			add(appendPrefix(nil, ns, p), appendPrefixEnd(nil, ns, p))
		}
	}
	return out
}

func maxKey(a, b []byte) []byte {
	if string(a) > string(b) {
		return a
	}
	return b
}

func minKey(a, b []byte) []byte {
	if string(a) < string(b) {
		return a
	}
	return b
}

// scrubSpan reads [at, end) of a table, whose reader could perhaps not be made. A
// partition with a block that cannot be read is left at the block.
func (s *Store) scrubSpan(ctx context.Context, job *Scrub, r *sstable.Reader, bad error, at, end []byte) error {
	for string(at) < string(end) {
		if err := ctx.Err(); err != nil {
			return err
		}
		reached, err := at, bad
		if bad == nil {
			reached, err = s.scrubRows(job, r, at, end)
		}
		if err == nil {
			return nil
		}
		if err = s.tell(err); !errors.Is(err, replica.ErrCorrupt) {
			return err
		}
		// The block begins at the last row read, or after it: it may hold that
		// partition's rows, the next one's, or both.
		if at = s.foundRange(job, reached, err); at == nil {
			return nil
		}
	}
	return nil
}

// foundRange tells that what a store key's partition has after it cannot be read,
// and returns where the next partition begins.
func (s *Store) foundRange(job *Scrub, at []byte, err error) []byte {
	if len(at) == 0 {
		return nil
	}
	if at[0] == nsNode || len(at) < prefixBytes {
		if at[0] == nsNode {
			if err := s.Update(func(*Identity) {}); err != nil { // what it says is in memory
				return nil
			}
		}
		return []byte{at[0] + 1}
	}
	p := partitionIn(at)
	job.Found(Finding{Partition: p, Err: err})
	return appendPrefixEnd(nil, at[0], p)
}

// scrubRows reads [at, end) up to the first block that cannot be read, and returns
// how far it came.
func (s *Store) scrubRows(job *Scrub, r *sstable.Reader, at, end []byte) (reached []byte, err error) {
	it, err := r.NewIter(sstable.NoTransforms, nil, end, sstable.AssertNoBlobHandles)
	if err != nil {
		return at, err
	}
	defer it.Close() // its error is the one that it stopped with
	reached = slices.Clone(at)
	for kv := it.SeekGE(at, 0); kv != nil; kv = it.Next() {
		k := kv.K.UserKey
		reached = append(reached[:0], k...)
		v, _, err := kv.Value(nil)
		if err != nil {
			return reached, err
		}
		if err := job.Pace(len(k) + len(v)); err != nil {
			return reached, err
		}
		switch kind := kv.K.Kind(); {
		case kind != pebble.InternalKeyKindSet && kind != pebble.InternalKeyKindSetWithDelete:
		case k[0] == nsItem && len(k) >= keyBytesMin:
			if _, err := replica.DecodeItem(keyIn(k), v); err != nil {
				job.Found(Finding{Partition: partitionIn(k), Key: keyIn(k), Err: err})
			}
		}
	}
	return reached, it.Error()
}
