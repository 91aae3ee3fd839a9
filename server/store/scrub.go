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
			err := s.scrubTable(ctx, job, tableName(t), t.Smallest.UserKey, end)
			if err != nil {
				return fmt.Errorf("scrub: %w", err)
			}
		}
	}
	return nil
}

// tableName is the name of the file that holds a table, or of which it is a part.
func tableName(t *pebble.SSTableInfo) string { return fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum)) }

// openTable opens a table's file, past the cache.
func (s *Store) openTable(ctx context.Context, name string) (*sstable.Reader, error) {
	f, err := blockFS{FS: s.fs}.Open(s.fs.PathJoin(s.dir, pebbleName, name), vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(ctx, readable, s.options.MakeReaderOptions())
	if err != nil {
		return nil, errors.Join(err, readable.Close())
	}
	return r, nil
}

// scrubTable reads the part of a file in [start, end).
func (s *Store) scrubTable(ctx context.Context, job *Scrub, name string, start, end []byte) error {
	r, err := s.openTable(ctx, name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // compacted meanwhile, and read for that
	case err == nil:
		defer r.Close() // read only
	case !pebble.IsCorruptionError(err):
		return err
	}
	for _, span := range s.spans(job.Only, start, end) {
		if err := s.scrubSpan(ctx, job, r, err, span[0], span[1]); err != nil {
			return err
		}
	}
	return nil
}

// spans returns the ranges of [start, end) that are to be read: by partition, so
// that what cannot be read is known by partition.
func (s *Store) spans(only []ring.PartitionID, start, end []byte) (out [][2][]byte) {
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
		for _, kind := range kinds {
			ns := s.namespace(kind, p)
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
	ns := at[0]
	kind, shelf := kindOf(ns)
	if ns == nsNode {
		if err := s.rewriteNode(); err != nil {
			return nil
		}
	}
	if !slices.Contains(kinds[:], kind) || namespace(kind, shelf) != ns {
		return []byte{ns + 1}
	}
	p := ring.PartitionID(0)
	if len(at) >= prefixBytes {
		p = partitionIn(at)
	}
	if s.live(ns, p) { // else it waits to be cut out, and nobody reads it
		job.Found(Finding{Partition: p, Err: err})
	}
	switch {
	case int64(p)+1 < s.partitionsMax() || p == localPartition:
		return appendPrefixEnd(nil, ns, p)
	case ns == nsItem:
		return appendPrefix(nil, ns, localPartition)
	}
	return []byte{ns + 1}
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
		case isItem(k) && s.live(k[0], partitionIn(k)):
			if _, err := replica.DecodeItem(keyIn(k), v); err != nil {
				job.Found(Finding{Partition: partitionIn(k), Key: keyIn(k), Err: err})
			}
		}
	}
	return reached, it.Error()
}
