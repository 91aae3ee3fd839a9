package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"viewring/ring"
	"viewring/server/replica"
)

var _ replica.Storage = (*Store)(nil)

// keyBuffers are reused: a key passed to Pebble escapes to the heap.
var keyBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 256); return &b }}

// Get implements replica.Storage: the verified item at key, the caller's to keep.
func (s *Store) Get(p ring.PartitionID, key replica.Key) ([]byte, error) {
	buf := keyBuffers.Get().(*[]byte)
	defer keyBuffers.Put(buf)
	*buf = s.appendItemKey((*buf)[:0], p, key)
	stored, closer, err := s.db.Get(*buf)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %q of partition %d: %w", key, p, s.tell(err))
	}
	item := bytes.Clone(stored)
	if err := closer.Close(); err != nil {
		return nil, fmt.Errorf("get %q of partition %d: %w", key, p, s.tell(err))
	}
	if _, err := replica.DecodeItem(key, item); err != nil {
		s.corruptions.Add(1)
		s.logger.Error("a stored value is damaged", "partition", p, "key", key.Name(), "err", err)
		return nil, fmt.Errorf("get %q of partition %d: %w", key, p, err)
	}
	return item, nil
}

// Scan implements replica.Storage. It does not verify the items: whoever decodes
// them does.
func (s *Store) Scan(p ring.PartitionID, after replica.Key, fn func(key replica.Key, item []byte) bool) error {
	lower := s.appendItemKey(nil, p, after)
	if after != "" {
		lower = append(lower, 0) // the least key above
	}
	return s.iterate("scan", lower, appendPrefixEnd(nil, s.namespace(nsItem, p), p), func(k, v []byte) (bool, error) {
		if len(k) < keyBytesMin {
			return false, fmt.Errorf("%w: store key %x", replica.ErrCorrupt, k)
		}
		return fn(keyIn(k), bytes.Clone(v)), nil
	})
}

// Index implements replica.Storage.
func (s *Store) Index(p ring.PartitionID, after uint64, fn func(seq uint64, row []byte) bool) error {
	if after >= metaSeq-1 {
		return nil
	}
	return s.iterate("index", s.appendSeq(nil, p, after+1), s.appendMetaKey(nil, p), func(k, v []byte) (bool, error) {
		if len(k) != prefixBytes+8 {
			return false, fmt.Errorf("%w: store key %x", replica.ErrCorrupt, k)
		}
		return fn(binary.BigEndian.Uint64(k[prefixBytes:]), bytes.Clone(v)), nil
	})
}

// iterate calls fn with the rows in [lower, upper) until it returns false or an
// error. The slices are valid during the call only.
func (s *Store) iterate(what string, lower, upper []byte, fn func(k, v []byte) (bool, error)) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return fmt.Errorf("%s: %w", what, s.tell(err))
	}
	defer func() {
		cerr := it.Close()
		if err == nil && cerr != nil {
			err = fmt.Errorf("%s: %w", what, s.tell(cerr))
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("%s: %w", what, s.tell(err))
		}
		more, err := fn(it.Key(), v)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if !more {
			return nil
		}
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("%s: %w", what, s.tell(err))
	}
	return nil
}
