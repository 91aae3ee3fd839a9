package store

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"viewring/internal/seglog"
	"viewring/ring"
	"viewring/server/replica"
)

// pageBytesMax bounds the names of a page, and the values read for one.
const pageBytesMax = 4 << 20

// readBytesLeast is about what reading the head of a record costs, in bytes of a page.
const readBytesLeast = 512

// Heads calls fn with the keys of partition p from a cursor on, in the order of places,
// with their expiries as in replica.ItemExpiry, until fn returns false or a page has been
// read. It returns where to go on; more is false after the last.
func (s *Store) Heads(p ring.PartitionID, from replica.Cursor, fn func(key replica.Key, expiry int64) bool) (next replica.Cursor, more bool, err error) {
	size, last := 0, replica.Key("")
	err = s.log.ScanHeads(uint16(p), cursor(from), replica.ItemHeadBytesMax, func(k, head []byte, _ int) bool {
		key := replica.Key(k)
		last = key
		size += len(key) + readBytesLeast
		more = !fn(key, replica.ItemExpiry(head)) || size >= pageBytesMax
		return !more
	})
	return replica.After(last), more && err == nil, tell(err)
}

// KeysOf calls fn with the keys of one space of partition p. It looks at no others, but for one
// of each slot.
func (s *Store) KeysOf(p ring.PartitionID, space replica.Space, fn func(key replica.Key)) error {
	for at, more := replica.PlaceOf(0, space), true; more; {
		more = false
		err := s.log.ScanHeads(uint16(p), seglog.Cursor{Place: at}, 0, func(k, _ []byte, _ int) bool {
			key := replica.Key(k)
			if key.Space() == space {
				fn(key)
				return true
			}
			next := key.Slot()
			if key.Space() > space {
				next++
			}
			more = next < ring.Slots
			at = replica.PlaceOf(next, space)
			return false
		})
		if err != nil {
			return tell(err)
		}
	}
	return nil
}

// Names calls fn with up to limit of the names that the store holds, the user
// keys in the store's order and then the local ones. It returns the cursor of the
// next page, empty after the last; the first page's is empty too.
func (s *Store) Names(at []byte, limit int, fn func(local bool, name string)) (next []byte, err error) {
	from, key := nameCursor(at)
	count, size := 0, 0
	for _, part := range s.log.Parts() {
		p := ring.PartitionID(part)
		if p < from || p == nodePartition {
			continue
		}
		after := replica.Cursor{}
		if p == from {
			after = replica.After(key)
		}
		err := s.log.ScanHeads(part, cursor(after), 0, func(k, _ []byte, _ int) bool {
			key := replica.Key(k)
			if p != localPartition && key.Space() != replica.SpaceUser {
				return true
			}
			fn(p == localPartition, key.Name())
			if count, size = count+1, size+len(k); count >= limit || size >= pageBytesMax {
				next = append(binary.BigEndian.AppendUint16(nil, part), k...)
			}
			return next == nil
		})
		if err != nil || next != nil {
			return next, tell(err)
		}
	}
	return nil, nil
}

// nameCursor reads a cursor of Names. One that is none is the beginning.
func nameCursor(b []byte) (p ring.PartitionID, after replica.Key) {
	const least = 2 + 3 // a partition, and a key of no name
	if len(b) < least {
		return 0, ""
	}
	return ring.PartitionID(binary.BigEndian.Uint16(b)), replica.Key(b[2:])
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
func (s *Store) Copies(p ring.PartitionID, at []byte, limit int, fn func(Copy)) (next []byte, err error) {
	_, after := nameCursor(at)
	count, size := 0, 0
	err = s.Scan(p, replica.After(after), func(key replica.Key, item []byte) bool {
		if key.Space() == replica.SpaceUser {
			fn(s.inspect(p, key, item))
			count++
		}
		size += len(key) + len(item)
		if count >= limit || size >= pageBytesMax {
			next = append(binary.BigEndian.AppendUint16(nil, uint16(p)), key...)
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
		s.met(p, key, err)
		return Copy{Name: key.Name(), Corrupt: true}
	}
	return Copy{Name: key.Name(), Version: it.Version, Length: uint64(len(it.Value)), Sum: xxhash.Sum64(it.Value)}
}

// Parts returns the partitions that any item is stored in, local names apart.
func (s *Store) Parts() (parts []ring.PartitionID) {
	for _, p := range s.log.Parts() {
		if ring.PartitionID(p) < ring.Slots {
			parts = append(parts, ring.PartitionID(p))
		}
	}
	return parts
}
