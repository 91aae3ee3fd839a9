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
