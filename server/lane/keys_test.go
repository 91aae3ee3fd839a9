package lane

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"viewring/ring"
	"viewring/server/replica"
)

// ScanKeys tells of all keys of a partition, as a store does.
func (r *rows) ScanKeys(p ring.PartitionID, _ replica.Key, from replica.Cursor, fn func(replica.Key) bool) error {
	r.scans++
	var keys []replica.Key
	for name := range r.items {
		if name[0] == rowName(p, "")[0] {
			keys = append(keys, replica.Key(name[1:]))
		}
	}
	slices.SortFunc(keys, replica.ComparePlaces)
	for _, k := range keys {
		if from.Before(k) && !fn(k) {
			break
		}
	}
	return nil
}

// page reads up to limit of the keys that begin with a prefix.
func page(st interface {
	ScanKeys(ring.PartitionID, replica.Key, replica.Cursor, func(replica.Key) bool) error
}, p ring.PartitionID, prefix replica.Key, from replica.Cursor, limit int) (keys []replica.Key) {
	_ = st.ScanKeys(p, prefix, from, func(key replica.Key) bool {
		if len(key) <= len(prefix) || key[:len(prefix)] != prefix {
			return key.Slot() == prefix.Slot()
		}
		if len(keys) == limit {
			return false
		}
		keys = append(keys, key)
		return true
	})
	return keys
}

// TestKeyListsAreTheStore plays random batches, and pages of lists from any place on: whatever is
// told is what the store has, and all that is kept stays within the limit.
func TestKeyListsAreTheStore(t *testing.T) {
	const partitions, keys, limit = 2, 30, 12 << 10
	under := &rows{items: make(map[string][]byte)}
	c := newItemCache(under, limit)
	rng := rand.New(rand.NewPCG(9, 9))
	slot := func(p ring.PartitionID) uint16 { return uint16(p)*7 + 1 }
	any := func() (ring.PartitionID, replica.Key, replica.Key) {
		p := ring.PartitionID(rng.IntN(partitions))
		dir := fmt.Sprint("/d", rng.IntN(3), "\x00")
		return p, replica.MakeKey(slot(p), replica.SpaceMeta, dir), replica.MakeKey(slot(p), replica.SpaceMeta, fmt.Sprint(dir, "n", rng.IntN(keys)))
	}
	asked := 0
	for step := range 20_000 {
		p, prefix, key := any()
		c.serves = roles(p == 0 || rng.IntN(3) == 0)
		op := replica.StoreOp{Partition: p, Key: key}
		switch n := rng.IntN(100); {
		case n < 40:
			asked++
			from := replica.Cursor{Place: replica.PlaceOf(slot(p), replica.SpaceMeta)}
			if rng.IntN(2) > 0 {
				_, _, other := any()
				from = replica.After(other)
				from.Place = replica.MakeKey(slot(p), replica.SpaceMeta, other.Name()).Place()
			}
			most := 1 + rng.IntN(keys+5)
			got := page(c, p, prefix, from, most)
			if want := page(under, p, prefix, from, most); !slices.Equal(got, want) {
				t.Fatalf("step %d: %q from %+v: the cache lists %q, the store has %q", step, prefix, from, got, want)
			}
			continue
		case n < 75:
			op.Kind, op.Value = replica.PutItem, []byte("v")
		case n < 99:
			op.Kind = replica.DeleteItem
		default:
			op.Kind = replica.WipePartition
		}
		if rng.IntN(50) == 0 {
			_, _ = c.Get(p, key)
		}
		b := &replica.Batch{Ops: []replica.StoreOp{op}}
		under.apply(b)
		c.wrote(b)
		sum := 0
		for _, at := range c.lists.lru.Keys() {
			l, _ := c.lists.lru.Peek(at)
			sum += l.bytes
		}
		if sum != c.lists.bytes || c.bytes+c.lists.bytes > limit {
			t.Fatalf("step %d: %d bytes of lists are counted, %d kept; with items %d of %d", step, c.lists.bytes, sum, c.bytes+c.lists.bytes, limit)
		}
	}
	if under.scans-asked > asked*3/4 { // each is one of the store too, to compare with
		t.Errorf("%d of %d lists went to the store: nothing was kept", under.scans-asked, asked)
	}
}
