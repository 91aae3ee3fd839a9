package lane

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"viewring/ring"
	"viewring/server/replica"
)

// rows is a Storage's items in a map, and counts what is read of them.
type rows struct {
	replica.Storage
	items map[string][]byte
	reads int
	scans int
}

func rowName(p ring.PartitionID, key replica.Key) string { return fmt.Sprint(p, key) }

func (r *rows) Get(p ring.PartitionID, key replica.Key) ([]byte, error) {
	r.reads++
	return bytes.Clone(r.items[rowName(p, key)]), nil
}

// GetPart reads by itself only what is not at the beginning, as of a long value.
func (r *rows) GetPart(p ring.PartitionID, key replica.Key, cut replica.Cut) (pc replica.Piece, item []byte, err error) {
	r.reads++
	item = bytes.Clone(r.items[rowName(p, key)])
	if pc, err = replica.CutItem(key, item, cut); item != nil && len(pc.Value) < pc.Length {
		item = nil
	}
	return pc, item, err
}

func (r *rows) apply(b *replica.Batch) {
	for i := range b.Ops {
		op := &b.Ops[i]
		switch op.Kind {
		case replica.PutItem:
			r.items[rowName(op.Partition, op.Key)] = bytes.Clone(op.Value)
		case replica.DeleteItem:
			delete(r.items, rowName(op.Partition, op.Key))
		case replica.WipePartition:
			for name := range r.items {
				if name[0] == rowName(op.Partition, "")[0] {
					delete(r.items, name)
				}
			}
		}
	}
}

// roles says of every partition whether it is served.
type roles bool

func (r roles) Serves(ring.PartitionID) bool { return bool(r) }

// TestItemCacheIsTheStore plays random batches and reads: whatever the cache
// answers is what the store has, and it stays within its limit.
func TestItemCacheIsTheStore(t *testing.T) {
	const partitions, keys, limit = 3, 20, 4 << 10
	under := &rows{items: make(map[string][]byte)}
	c := newItemCache(under, limit)
	rng := rand.New(rand.NewPCG(7, 7))
	asked := 0
	for range 20_000 {
		p := ring.PartitionID(rng.IntN(partitions))
		key := replica.MakeKey(uint16(p), replica.SpaceUser, fmt.Sprint("k", rng.IntN(keys)))
		c.serves = roles(p == 0 || rng.IntN(3) == 0) // the others' roles change, and what they have stays right
		op := replica.StoreOp{Partition: p, Key: key}
		switch n := rng.IntN(100); {
		case n < 60:
			asked++
			got, err := c.Get(p, key)
			if want := under.items[rowName(p, key)]; err != nil || !bytes.Equal(got, want) {
				t.Fatalf("the cache says %q, %v; the store has %q", got, err, want)
			}
			continue
		case n < 85:
			op.Kind, op.Value = replica.PutItem, fmt.Append(nil, key, rng.IntN(1000), string(make([]byte, rng.IntN(300))))
		case n < 99:
			op.Kind = replica.DeleteItem
		default:
			op.Kind = replica.WipePartition
		}
		b := &replica.Batch{Ops: []replica.StoreOp{op}}
		under.apply(b)
		c.wrote(b)
		if !c.served(p) {
			clear(op.Value) // a part of a frame, which may be used again
		}
		sum := 0
		for _, at := range c.lru.Keys() {
			item, _ := c.lru.Peek(at)
			sum += cost(at, item)
		}
		if c.bytes > limit || c.bytes != sum {
			t.Fatalf("%d bytes are counted, %d kept, at most %d are allowed", c.bytes, sum, limit)
		}
	}
	if under.reads == asked || c.lru.Len() == 0 {
		t.Errorf("%d of %d reads went to the store: nothing was kept", under.reads, asked)
	}
}

// TestItemCacheForgets: who looks for damage sees what the disk has.
func TestItemCacheForgets(t *testing.T) {
	under := &rows{items: make(map[string][]byte)}
	c := newItemCache(under, 1<<20)
	c.serves = roles(true)
	key, other := replica.MakeKey(1, replica.SpaceUser, "a"), replica.MakeKey(1, replica.SpaceUser, "b")
	for _, forget := range []func(){func() { c.forget(1, key) }, func() { c.forgetAll(1) }} {
		for _, k := range []replica.Key{key, other} {
			under.items[rowName(1, k)] = []byte("sound")
			_, _ = c.Get(1, k)
		}
		under.items[rowName(1, key)] = []byte("spoiled")
		forget()
		if got, _ := c.Get(1, key); string(got) != "spoiled" {
			t.Errorf("after being told to forget, the cache still says %q", got)
		}
		c.forgetAll(1)
	}
	if large := make([]byte, cachedItemBytesMax+1); true {
		under.items[rowName(1, key)] = large
		_, _ = c.Get(1, key)
		if c.lru.Contains(c.place(1, key)) {
			t.Errorf("an item of %d bytes is kept", len(large))
		}
	}
}

// TestItemCacheTakesInWhatIsServed: a value that was written is read from memory where it
// is served; a backup's takes no room, nor does what only servers read.
func TestItemCacheTakesInWhatIsServed(t *testing.T) {
	under := &rows{items: make(map[string][]byte)}
	c := newItemCache(under, 1<<20)
	write := func(space replica.Space, value string, s roles) replica.Key {
		key := replica.MakeKey(1, space, "a")
		b := &replica.Batch{Ops: []replica.StoreOp{{Kind: replica.PutItem, Partition: 1, Key: key, Value: []byte(value)}}}
		under.apply(b)
		c.serves = s
		c.wrote(b)
		return key
	}
	write(replica.SpaceUser, "a backup's", false)
	if _, err := c.Get(1, replica.MakeKey(1, replica.SpaceUser, "a learner's")); err != nil {
		t.Fatal(err)
	}
	under.reads = 0
	write(replica.SpaceSystem, "a request's", true)
	if c.bytes != 0 || c.lru.Len() != 0 {
		t.Errorf("%d items of %d bytes are kept that nobody reads here", c.lru.Len(), c.bytes)
	}
	for _, value := range []string{"first", "second, a longer one"} {
		key := write(replica.SpaceUser, value, true)
		if got, err := c.Get(1, key); err != nil || string(got) != value || under.reads != 0 {
			t.Errorf("after %q was written the cache says %q, %v, and the store was read %d times", value, got, err, under.reads)
		}
	}
	key := write(replica.SpaceUser, "written as a backup", false) // it lost its role; what it has stays right
	if got, err := c.Get(1, key); err != nil || string(got) != "written as a backup" {
		t.Errorf("the cache says %q, %v", got, err)
	}
}

// TestItemCacheLimitFalls drops what is too much, a bounded number of items at a time.
func TestItemCacheLimitFalls(t *testing.T) {
	under := &rows{items: make(map[string][]byte)}
	c := newItemCache(under, 10<<20)
	c.serves = roles(true)
	for i := range 4 * evictMax {
		_, _ = c.Get(1, replica.MakeKey(1, replica.SpaceUser, fmt.Sprint(i)))
	}
	const limit = 64 << 10
	for steps := 0; c.bytes > limit; steps++ {
		before := c.lru.Len()
		c.setLimit(limit)
		if gone := before - c.lru.Len(); gone == 0 || gone > evictMax {
			t.Fatalf("%d items went at once", gone)
		}
	}
	if c.lru.Len() == 0 {
		t.Error("nothing is kept")
	}
	// However small the items are, one of the longest finds room at once.
	c.setLimit(1 << 20)
	for i := range 10_000 {
		_, _ = c.Get(1, replica.MakeKey(1, replica.SpaceUser, fmt.Sprint(i)))
	}
	long := replica.MakeKey(1, replica.SpaceUser, "long")
	under.items[rowName(1, long)] = make([]byte, cachedItemBytesMax)
	if _, _ = c.Get(1, long); c.bytes > c.limit {
		t.Errorf("%d bytes are kept, at most %d are allowed", c.bytes, c.limit)
	}
}
