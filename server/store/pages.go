package store

import (
	"bytes"
	"fmt"

	"github.com/cespare/xxhash/v2"
	"github.com/cockroachdb/pebble/v2"

	"viewring/ring"
	"viewring/server/replica"
)

// pageBytesMax bounds the names of a page, and the values read for one.
const pageBytesMax = 4 << 20

// Names calls fn with up to limit of the names that the store holds, the user
// keys in the store's order and then the local ones. It returns the cursor of the
// next page, empty after the last; the first page's is empty too.
func (s *Store) Names(cursor []byte, limit int, fn func(local bool, name string)) (next []byte, err error) {
	size, count := 0, 0
	for _, span := range s.ranges(nsItem) {
		lower := span[0]
		if len(cursor) > 0 {
			lower = maxKey(lower, append(append([]byte{lower[0]}, cursor...), 0))
		}
		err := s.walk("names", lower, span[1], func(k []byte) (seek []byte, err error) {
			if len(k) < keyBytesMin {
				return nil, fmt.Errorf("%w: store key %x", replica.ErrCorrupt, k)
			}
			p, key := partitionIn(k), keyIn(k)
			if p != localPartition && key.Space() != replica.SpaceUser {
				// Only the first space is the users': on to the next slot.
				return s.appendItemKey(nil, p, replica.MakeKey(key.Slot()+1, 0, "")), nil
			}
			fn(p == localPartition, key.Name())
			if count, size = count+1, size+len(k); count >= limit || size >= pageBytesMax {
				next = bytes.Clone(k[1:])
				return span[1], nil
			}
			return nil, nil
		})
		if err != nil || next != nil {
			return next, err
		}
	}
	return nil, nil
}

// Copy is a stored user key, as its bytes are now.
type Copy struct {
	Name    string
	Version replica.Version
	Length  uint64 // of the value
	Sum     uint64 // xxhash64 of the value
	Corrupt bool   // the stored bytes fail their checksum; only Name is known
}

// Copies calls fn with up to limit of the user keys stored in partition p,
// recomputing each one's checksums. Cursors are as for Names.
func (s *Store) Copies(p ring.PartitionID, cursor []byte, limit int, fn func(Copy)) (next []byte, err error) {
	count, size := 0, 0
	err = s.Scan(p, replica.Key(cursor), func(key replica.Key, item []byte) bool {
		if key.Space() == replica.SpaceUser {
			fn(s.inspect(p, key, item))
			count++
		}
		size += len(key) + len(item)
		if count >= limit || size >= pageBytesMax {
			next = []byte(key)
			return false
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("copies of partition %d: %w", p, err)
	}
	return next, nil
}

func (s *Store) inspect(p ring.PartitionID, key replica.Key, item []byte) Copy {
	it, err := replica.DecodeItem(key, item)
	if err != nil {
		s.corruptions.Add(1)
		s.logger.Error("a stored value is damaged", "partition", p, "key", key.Name(), "err", err)
		return Copy{Name: key.Name(), Corrupt: true}
	}
	return Copy{Name: key.Name(), Version: it.Version, Length: uint64(len(it.Value)), Sum: xxhash.Sum64(it.Value)}
}

// Parts returns the partitions that any item is stored in, local names apart.
func (s *Store) Parts() (parts []ring.PartitionID, err error) {
	for _, span := range s.ranges(nsItem) {
		err := s.walk("partitions", span[0], span[1], func(k []byte) (seek []byte, err error) {
			p := partitionIn(k)
			if p != localPartition {
				parts = append(parts, p)
			}
			return appendPrefixEnd(nil, k[0], p), nil
		})
		if err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// walk calls fn with the store keys in [lower, upper): after each with the next one,
// or with the first from where fn wants to seek. The slice is valid during the call
// only.
func (s *Store) walk(what string, lower, upper []byte, fn func(k []byte) (seek []byte, err error)) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("%s: %w", what, s.tell(err))
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("%s: %w", what, s.tell(cerr))
		}
	}()
	for ok := it.First(); ok; {
		seek, err := fn(it.Key())
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case seek != nil:
			ok = it.SeekGE(seek)
		default:
			ok = it.Next()
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("%s: %w", what, s.tell(err))
	}
	return nil
}
