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
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{nsItem}, UpperBound: []byte{nsItem + 1}})
	if err != nil {
		return nil, fmt.Errorf("names: %w", s.tell(err))
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("names: %w", s.tell(cerr))
		}
	}()
	size, count := 0, 0
	ok := it.First()
	if len(cursor) > 0 {
		ok = it.SeekGE(append(append([]byte{nsItem}, cursor...), 0))
	}
	for ok {
		k := it.Key()
		if len(k) < keyBytesMin {
			return nil, fmt.Errorf("names: %w: store key %x", replica.ErrCorrupt, k)
		}
		p, key := partitionIn(k), keyIn(k)
		if p != localPartition && key.Space() != replica.SpaceUser {
			// Only the first space is the users': on to the next slot.
			ok = it.SeekGE(appendItemKey(nil, p, replica.MakeKey(key.Slot()+1, 0, "")))
			continue
		}
		fn(p == localPartition, key.Name())
		count, size = count+1, size+len(k)
		if count >= limit || size >= pageBytesMax {
			return bytes.Clone(k[1:]), nil
		}
		ok = it.Next()
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("names: %w", s.tell(err))
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
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{nsItem}, UpperBound: appendPrefix(nil, nsItem, localPartition)})
	if err != nil {
		return nil, fmt.Errorf("partitions: %w", s.tell(err))
	}
	defer func() {
		if cerr := it.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("partitions: %w", s.tell(cerr))
		}
	}()
	for ok := it.First(); ok; {
		p := partitionIn(it.Key())
		parts = append(parts, p)
		ok = it.SeekGE(appendPrefixEnd(nil, nsItem, p))
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("partitions: %w", s.tell(err))
	}
	return parts, nil
}
