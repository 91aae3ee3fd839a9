package lane

import (
	"strings"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/tidwall/btree"

	"viewring/ring"
	"viewring/server/replica"
)

// keyLists are lists of the keys that begin with a prefix, kept in memory beside the items, where
// somebody asked for them: the names of a directory's nodes above all. They are exact for the same
// reason as the items (itemCache): the lane alone writes, and tells of each batch before anyone asks again.
// Nobody waits for a list to be read as a whole: it grows by what was scanned.
type keyLists struct {
	lru   *simplelru.LRU[itemPlace, *keyList] // key: the prefix
	bytes int                                 // of all
}

// listsPart is which part of all that is kept lists may have where items need the room.
const listsPart = 4

// listBytes is what an empty list counts, and listedKeyBytes a key in one besides its own bytes.
const (
	listBytes      = 400
	listedKeyBytes = 48
)

// keyList has the keys that begin with a prefix and stand before a cursor, in the order of scans.
type keyList struct {
	keys  *btree.BTreeG[listedKey]
	upTo  replica.Cursor // Invariant: none stored before it is missing, and none behind it is here,
	whole bool           // unless it is whole: then all are here
	bytes int
}

// listedKey is a key with its place, which takes time to tell.
type listedKey struct {
	place uint64
	key   replica.Key
}

func (k listedKey) before(o listedKey) bool {
	return k.place < o.place || k.place == o.place && k.key < o.key
}

func listed(key replica.Key) listedKey { return listedKey{key.Place(), key} }

// keyHeadBytes is what a key has before its name.
const keyHeadBytes = 3

// prefixOf is the prefix of the list that a key is in: up to the first byte 0 of its name.
func prefixOf(key replica.Key) (prefix replica.Key, ok bool) {
	n := strings.IndexByte(string(key[keyHeadBytes:]), 0)
	if n < 0 {
		return "", false
	}
	return key[:keyHeadBytes+n+1], true
}

// listOf returns the list of a prefix, which it begins where there is none.
func (c *itemCache) listOf(p ring.PartitionID, prefix replica.Key) *keyList {
	at := c.place(p, prefix)
	if l, ok := c.lists.lru.Get(at); ok {
		return l
	}
	l := &keyList{keys: btree.NewBTreeGOptions(listedKey.before, btree.Options{NoLocks: true}), bytes: listBytes + len(prefix),
		upTo: replica.Cursor{Place: replica.PlaceOf(prefix.Slot(), prefix.Space())}}
	c.lists.lru.Add(at, l)
	c.lists.bytes += l.bytes
	c.part(p).lists++
	return l
}

// covers reports whether the list would have a key, were it stored.
func (l *keyList) covers(k listedKey) bool {
	return l.whole || k.place < l.upTo.Place || k.place == l.upTo.Place && k.key <= l.upTo.Key
}

// put takes in a key, or drops it, and counts that.
func (c *itemCache) put(l *keyList, k listedKey, there bool) {
	size := listedKeyBytes + len(k.key)
	if there {
		if _, had := l.keys.Set(k); had {
			return
		}
	} else {
		if _, had := l.keys.Delete(k); !had {
			return
		}
		size = -size
	}
	l.bytes += size
	c.lists.bytes += size
}

// listed brings the list that a key is in up to an operation that was applied to the store.
func (c *itemCache) listed(op *replica.StoreOp) {
	if c.part(op.Partition).lists == 0 || op.Kind != replica.PutItem && op.Kind != replica.DeleteItem {
		return
	}
	prefix, ok := prefixOf(op.Key)
	if !ok || len(prefix) == len(op.Key) {
		return
	}
	l, ok := c.lists.lru.Peek(c.place(op.Partition, prefix))
	if !ok {
		return
	}
	if k := listed(op.Key); l.covers(k) {
		c.put(l, k, op.Kind == replica.PutItem)
		c.evict()
	}
}

// ScanKeys implements replica.Storage.
func (c *itemCache) ScanKeys(p ring.PartitionID, prefix replica.Key, from replica.Cursor, fn func(key replica.Key) bool) error {
	if !c.served(p) {
		return c.Storage.ScanKeys(p, prefix, from, fn)
	}
	l := c.listOf(p, prefix)
	defer c.evict()
	at := listedKey{from.Place, from.Key}
	if !l.covers(at) {
		return c.Storage.ScanKeys(p, prefix, from, fn)
	}
	going := true
	l.keys.Ascend(at, func(k listedKey) bool {
		if from.Key == "" || k != at {
			going = fn(k.key)
		}
		return going
	})
	if !going || l.whole {
		return nil
	}
	err := c.Storage.ScanKeys(p, prefix, l.upTo, func(key replica.Key) bool {
		if key.Slot() != prefix.Slot() || key.Space() != prefix.Space() {
			return false // and so all of the prefix were before
		}
		if going = fn(key); !going {
			return false
		}
		k := listed(key)
		l.upTo = replica.Cursor{Place: k.place, Key: key}
		if len(key) > len(prefix) && strings.HasPrefix(string(key), string(prefix)) {
			c.put(l, k, true)
		}
		return true
	})
	l.whole = err == nil && going
	return err
}
