package store

import (
	"fmt"

	"viewring/internal/seglog"
	"viewring/ring"
	"viewring/server/replica"
)

var _ replica.Storage = (*Store)(nil)

// Get implements replica.Storage: the verified item at key, the caller's to keep.
func (s *Store) Get(p ring.PartitionID, key replica.Key) ([]byte, error) {
	item, ok, err := s.log.Get(uint16(p), bytesOf(key))
	if err != nil {
		return nil, tell(err)
	}
	if !ok {
		return nil, nil
	}
	if _, err := replica.DecodeItem(key, item); err != nil {
		s.met(p, key, err)
		return nil, fmt.Errorf("get %q of partition %d: %w", key, p, err)
	}
	return item, nil
}

// GetPart implements replica.Storage. Where not all is read the log's checksums alone vouch for
// the part: that of the item is over all of it.
func (s *Store) GetPart(p ring.PartitionID, key replica.Key, cut replica.Cut) (pc replica.Piece, item []byte, err error) {
	read, ok, err := s.log.GetPart(uint16(p), bytesOf(key), replica.ItemHeadBytesMax, func(head []byte, length int) (from, to int) {
		_, valueAt, err := replica.ItemHead(head)
		if err != nil {
			return 0, length // the whole of it says what is wrong
		}
		from, to = cut(length - valueAt)
		return valueAt + from, valueAt + to
	})
	switch {
	case err != nil:
		return pc, nil, tell(err)
	case !ok:
		return pc, nil, nil
	case read.Whole:
		item = read.Bytes
		if pc, err = replica.CutItem(key, item, cut); err != nil {
			s.met(p, key, err)
			return pc, nil, fmt.Errorf("get a part of %q of partition %d: %w", key, p, err)
		}
		return pc, item, nil
	}
	it, valueAt, err := replica.ItemHead(read.Head)
	if err != nil {
		panic("store: a part was read of an item without a head")
	}
	it.Value = read.Bytes
	return replica.Piece{Item: it, Length: read.Length - valueAt}, nil, nil
}

// met notes an item that fails its own checksum.
func (s *Store) met(p ring.PartitionID, key replica.Key, err error) {
	s.corruptions.Add(1)
	s.logger.Error("a stored value is damaged", "partition", p, "key", key.Name(), "err", err)
}

// Scan implements replica.Storage. It does not verify the items: whoever decodes
// them does.
func (s *Store) Scan(p ring.PartitionID, from replica.Cursor, fn func(key replica.Key, item []byte) bool) error {
	return tell(s.log.Scan(uint16(p), cursor(from), func(key, item []byte) bool { return fn(replica.Key(key), item) }))
}

// ScanInto implements replica.Storage.
func (s *Store) ScanInto(p ring.PartitionID, from replica.Cursor, room func(n int) []byte, fn func(key replica.Key, item []byte) bool) error {
	return tell(s.log.ScanInto(uint16(p), cursor(from), room, func(key, item []byte) bool { return fn(replica.Key(key), item) }))
}

// ScanKeys implements replica.Storage. It tells of all keys.
func (s *Store) ScanKeys(p ring.PartitionID, _ replica.Key, from replica.Cursor, fn func(key replica.Key) bool) error {
	return tell(s.log.ScanHeads(uint16(p), cursor(from), 0, func(key, _ []byte, _ int) bool { return fn(replica.Key(key)) }))
}

func cursor(from replica.Cursor) seglog.Cursor {
	c := seglog.Cursor{Place: from.Place}
	if from.Key != "" {
		c.Key = []byte(from.Key)
	}
	return c
}

// Index implements replica.Storage.
func (s *Store) Index(p ring.PartitionID, after uint64, fn func(seq uint64, row []byte) bool) error {
	return tell(s.log.Rows(uint16(p), after, fn))
}

// Metas implements replica.Storage.
func (s *Store) Metas(fn func(p ring.PartitionID, meta []byte) bool) error {
	for _, m := range s.log.Metas() {
		p := ring.PartitionID(m.Part)
		if p >= ring.Slots {
			continue
		}
		meta := m.Value
		if m.Suspect {
			meta = nil // it may be older than what was acknowledged
		}
		if !fn(p, meta) {
			return nil
		}
	}
	return nil
}
