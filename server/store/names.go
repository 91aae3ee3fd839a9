package store

import (
	"fmt"

	"viewring/ring"
	"viewring/server/replica"
)

// UserKeys calls fn with up to limit of the user keys of partition p above after, with
// their expiries as in replica.ItemExpiry. It returns where to go on; more is false
// after the last.
func (s *Store) UserKeys(p ring.PartitionID, after replica.Key, limit int, fn func(key replica.Key, expiry int64)) (next replica.Key, more bool, err error) {
	lower := s.appendItemKey(nil, p, after)
	if after != "" {
		lower = append(lower, 0) // the least key above
	}
	count, size := 0, 0
	err = s.iterate("user keys", lower, appendPrefixEnd(nil, s.namespace(nsItem, p), p), func(k, v []byte) (bool, error) {
		if len(k) < keyBytesMin {
			return false, fmt.Errorf("%w: store key %x", replica.ErrCorrupt, k)
		}
		key := keyIn(k)
		if key.Space() == replica.SpaceUser {
			fn(key, replica.ItemExpiry(v))
		}
		next = key
		count, size = count+1, size+len(k)+len(v)
		more = count >= limit || size >= pageBytesMax
		return !more, nil
	})
	return next, more, err
}
