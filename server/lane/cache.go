package lane

import (
	"bytes"
	"math"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"viewring/ring"
	"viewring/server/replica"
)

// itemCache is the Storage that a lane's core reads: the store, with the items that
// were read lately kept in memory, least recently used first to go. It needs no
// lock of its own and is never behind: only who has the lane's turn reads its
// partitions' items, and the lane alone writes them, in batches that it passes to
// wrote before the core or anyone else asks again.
//
// An item comes in by being read, also when there is none, and by being written where
// it is served, so that the first read after a write, which went to the disk past the
// kernel's cache, is not the disk's. (A primary reads what it replaces, so what it writes
// is nearly always here already.) A backup's writes, which nobody reads here, cost a look
// each and take no room, nor do a learner's looks at what it copies over.
type itemCache struct {
	replica.Storage
	serves servers // nil until there is a core: nothing is kept
	lru    *simplelru.LRU[itemPlace, []byte]
	lists  keyLists
	bytes  int // of all that lru has
	looks  uint
	finds  uint
	limit  int          // falls as the index grows; what is above it goes in steps
	parts  []cachedPart // by partition; grows
}

// servers knows which partitions' items are read here.
type servers interface {
	Serves(p ring.PartitionID) bool
}

// cachedPart is what is kept of a partition.
type cachedPart struct {
	lists int    // of keys
	wipes uint32 // places from before the last wipe are found no more
	count int    // of all its places: most partitions' items are not read here, and cost no further look
}

// itemPlace is where an item is stored.
type itemPlace struct {
	partition ring.PartitionID
	wipes     uint32
	key       replica.Key
}

// What an entry counts besides its key and item, and the longest item kept.
const (
	cachedItemBytes    = 200
	cachedItemBytesMax = 64 << 10
)

// evictMax is how many items go at a time: more than the longest one takes the place of,
// so that the limit holds, and so few that nobody waits long when it falls.
const evictMax = 1024

func newItemCache(st replica.Storage, limit int64) *itemCache {
	c := &itemCache{Storage: st, limit: int(limit)}
	c.lru, _ = simplelru.NewLRU(math.MaxInt, func(at itemPlace, item []byte) {
		c.bytes -= cost(at, item)
		c.parts[at.partition].count--
	})
	c.lists.lru, _ = simplelru.NewLRU(math.MaxInt, func(at itemPlace, l *keyList) {
		c.lists.bytes -= l.bytes
		c.parts[at.partition].lists--
	})
	return c
}

func cost(at itemPlace, item []byte) int { return cachedItemBytes + len(at.key) + len(item) }

func (c *itemCache) place(p ring.PartitionID, key replica.Key) itemPlace {
	return itemPlace{partition: p, wipes: c.part(p).wipes, key: key}
}

func (c *itemCache) part(p ring.PartitionID) *cachedPart {
	for int(p) >= len(c.parts) {
		c.parts = append(c.parts, cachedPart{})
	}
	return &c.parts[p]
}

// Get implements replica.Storage. Nobody changes what it returns.
func (c *itemCache) Get(p ring.PartitionID, key replica.Key) ([]byte, error) {
	at := c.place(p, key)
	if item, ok := c.look(at); ok {
		return item, nil
	}
	item, err := c.Storage.Get(p, key)
	if err == nil && c.served(p) {
		c.keep(at, item)
	}
	return item, err
}

// promoteEvery is how many looks it takes that one moves what it found to the front. The
// order among what is used often does not matter, and moving touches neighbours in the
// list that are in no cache of the processor's: half of what a look costs.
const promoteEvery = 4

// look finds what is kept.
func (c *itemCache) look(at itemPlace) (item []byte, ok bool) {
	if c.looks++; c.looks%promoteEvery == 0 {
		item, ok = c.lru.Get(at)
	} else {
		item, ok = c.lru.Peek(at)
	}
	if ok {
		c.finds++
	}
	return item, ok
}

func (c *itemCache) served(p ring.PartitionID) bool { return c.serves != nil && c.serves.Serves(p) }

// GetPart implements replica.Storage.
func (c *itemCache) GetPart(p ring.PartitionID, key replica.Key, cut replica.Cut) (pc replica.Piece, item []byte, err error) {
	at := c.place(p, key)
	if item, ok := c.look(at); ok {
		pc, err = replica.CutItem(key, item, cut)
		return pc, item, err
	}
	if pc, item, err = c.Storage.GetPart(p, key, cut); err == nil && c.served(p) && (item != nil || pc.Version.IsZero()) {
		c.keep(at, item)
	}
	return pc, item, err
}

// keep takes in an item that belongs to the cache from now on.
func (c *itemCache) keep(at itemPlace, item []byte) {
	if len(item) > cachedItemBytesMax || cost(at, item) > c.limit {
		c.lru.Remove(at)
		return
	}
	if old, ok := c.lru.Peek(at); ok {
		c.bytes += len(item) - len(old)
	} else {
		c.bytes += cost(at, item)
		c.part(at.partition).count++
	}
	c.lru.Add(at, item)
	c.evict()
}

// evict drops what has not been used for longest while there is more than there may be. Lists of
// keys may have a part of it.
func (c *itemCache) evict() {
	for n := 0; c.bytes+c.lists.bytes > c.limit && n < evictMax; n++ {
		if c.lists.bytes > c.limit/listsPart || c.lru.Len() == 0 {
			c.lists.lru.RemoveOldest()
		} else {
			c.lru.RemoveOldest()
		}
	}
}

// setLimit changes how many bytes are kept at most. It is called often: what is too much
// goes in steps.
func (c *itemCache) setLimit(limit int64) {
	c.limit = int(limit)
	c.evict()
}

// wrote brings what is kept up to a batch that was applied to the store, and takes in
// what users wrote in the partitions that are served here.
func (c *itemCache) wrote(b *replica.Batch) {
	for i := range b.Ops {
		op := &b.Ops[i]
		c.listed(op)
		takesIn := op.Kind == replica.PutItem && op.Key.Space() == replica.SpaceUser && c.served(op.Partition)
		if has := c.part(op.Partition); has.count == 0 && has.lists == 0 && !takesIn {
			continue
		}
		switch op.Kind {
		case replica.PutItem:
			if at := c.place(op.Partition, op.Key); takesIn || c.lru.Contains(at) {
				item := op.Value // made here for this write, and never changed
				if !takesIn {
					item = bytes.Clone(item) // it may be a small part of a large frame
				}
				c.keep(at, item)
			}
		case replica.DeleteItem:
			if at := c.place(op.Partition, op.Key); c.lru.Contains(at) {
				c.keep(at, nil)
			}
		case replica.WipePartition:
			c.forgetAll(op.Partition)
		}
	}
}

// forget drops a key's item, which its stored bytes may not be equal to any more:
// who looks then sees what the disk has.
func (c *itemCache) forget(p ring.PartitionID, key replica.Key) { c.lru.Remove(c.place(p, key)) }

// forgetAll drops a partition's items.
func (c *itemCache) forgetAll(p ring.PartitionID) { c.part(p).wipes++ }
