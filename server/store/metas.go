package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"viewring/ring"
	"viewring/server/replica"
)

// metaRow is a partition's meta. What cannot be read is nil.
type metaRow struct {
	p    ring.PartitionID
	meta []byte
}

// Metas implements replica.Storage.
func (s *Store) Metas(fn func(p ring.PartitionID, meta []byte) bool) error {
	rows, err := s.metas()
	if errors.Is(err, replica.ErrCorrupt) {
		rows, err = s.metasOneByOne(s.appendMetaKey)
	}
	if err != nil {
		return err
	}
	for i := range rows {
		if !fn(rows[i].p, rows[i].meta) {
			break
		}
	}
	return nil
}

// metas reads the metas, past the rows of the indexes that lie before each.
func (s *Store) metas() (rows []metaRow, err error) {
	for _, span := range s.ranges(nsIndex) {
		err := s.walk("metas", span[0], span[1], func(k []byte) (seek []byte, err error) {
			if len(k) != prefixBytes+8 {
				return nil, fmt.Errorf("%w: store key %x", replica.ErrCorrupt, k)
			}
			p := partitionIn(k)
			if binary.BigEndian.Uint64(k[prefixBytes:]) != metaSeq {
				return s.appendMetaKey(nil, p), nil
			}
			meta, err := s.get(k)
			rows = append(rows, metaRow{p, meta})
			return appendPrefixEnd(nil, k[0], p), err
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// metasOneByOne reads the metas, of which some cannot be read: newer versions of
// others may lie elsewhere.
func (s *Store) metasOneByOne(appendKey func(b []byte, p ring.PartitionID) []byte) (rows []metaRow, err error) {
	for p := ring.PartitionID(0); p < ring.Slots; p++ {
		meta, err := s.get(appendKey(nil, p))
		switch {
		case errors.Is(err, pebble.ErrNotFound):
			continue
		case err != nil && !errors.Is(err, replica.ErrCorrupt):
			return nil, fmt.Errorf("meta of partition %d: %w", p, err)
		}
		rows = append(rows, metaRow{p, meta})
	}
	return rows, nil
}

// get returns what is stored at a store key, nil with an error.
func (s *Store) get(k []byte) ([]byte, error) {
	b, closer, err := s.db.Get(k)
	if err != nil {
		return nil, s.tell(err)
	}
	b = bytes.Clone(b)
	if err := closer.Close(); err != nil {
		return nil, s.tell(err)
	}
	return b, nil
}

// appendOldMetaKey appends where folders of the first format have a meta.
func (s *Store) appendOldMetaKey(b []byte, p ring.PartitionID) []byte {
	ns := byte(nsOldMeta)
	if shelf := s.shelves.of(p); shelf > 0 {
		ns = nsShelf | shelf<<2 | byte(len(kinds))
	}
	return appendPrefix(b, ns, p)
}

// moveMetas brings the metas of a folder of the first format to where they are now,
// all in one batch that says so: a crash leaves them here or there.
func (s *Store) moveMetas() error {
	if s.shelves.metasMoved.Load() {
		return nil
	}
	rows, err := s.oldMetas()
	if errors.Is(err, replica.ErrCorrupt) {
		rows, err = s.metasOneByOne(s.appendOldMetaKey)
	}
	if err != nil {
		return fmt.Errorf("move metas: %w", err)
	}
	s.shelves.moving.Lock()
	defer s.shelves.moving.Unlock()
	s.shelves.metasMoved.Store(true)
	pb := s.db.NewBatch()
	err = errors.Join(pb.DeleteRange([]byte{nsOldMeta}, []byte{nsOldMeta + 1}, nil), pb.Set(shelfKey, s.shelves.value(), nil))
	for i := range rows {
		// What could not be read becomes a meta of no bytes, which can't be read either.
		err = errors.Join(err, pb.Set(s.appendMetaKey(nil, rows[i].p), rows[i].meta, nil),
			pb.Delete(s.appendOldMetaKey(nil, rows[i].p), nil))
	}
	if err == nil {
		err = s.write(pb)
	}
	if err != nil {
		return fmt.Errorf("move metas: %w", err)
	}
	if len(rows) > 0 {
		s.logger.Info("a data folder of the first format was brought up to date", "partitions", len(rows))
	}
	return nil
}

// oldMetas reads the metas of a folder of the first format; a new one has none.
func (s *Store) oldMetas() (rows []metaRow, err error) {
	err = s.walk("old metas", []byte{nsOldMeta}, []byte{nsOldMeta + 1}, func(k []byte) (seek []byte, err error) {
		if len(k) != prefixBytes {
			return nil, fmt.Errorf("%w: store key %x", replica.ErrCorrupt, k)
		}
		if p := partitionIn(k); s.shelves.of(p) == 0 {
			var meta []byte
			meta, err = s.get(k)
			rows = append(rows, metaRow{p, meta})
		}
		return nil, err
	})
	for p := range s.shelves.all() {
		if err != nil {
			break
		}
		var meta []byte
		if meta, err = s.get(s.appendOldMetaKey(nil, p)); err == nil {
			rows = append(rows, metaRow{p, meta})
		} else if errors.Is(err, pebble.ErrNotFound) {
			err = nil
		}
	}
	return rows, err
}
