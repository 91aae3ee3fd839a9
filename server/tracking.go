package server

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"viewring/ring"
)

// cacher is a client that keeps what it reads: of client-side caching (CLIENT TRACKING).
type cacher struct {
	own  *postbox // its connection's
	told *postbox // that of the one that it redirects to, or own
	id   int64    // of the one that it redirects to; 0: none

	// Guarded by the tracker's mutex.
	prefixes []string                 // in BCAST mode
	keys     map[*trackedKey]struct{} // that it has read and was not told of since
}

// trackedKey is a key that some clients may keep the value of.
type trackedKey struct {
	name         string
	part         map[string]*trackedKey // that it is in
	readers      []*cacher
	older, newer *trackedKey // in the order in which they were first read
}

// Bytes that a tracked key counts besides its name, and one more that has read it, of which
// each counts the name, too; and how many there are at most.
const (
	readerBytes     = 256
	trackerBytesMax = 32 << 20
)

// tracker knows what clients may keep. A key is in it before its value is read, and leaves it
// when it was told that the value is old, so that whatever a client keeps it will be told of.
// Lanes look at it in their turn: whoever has its mutex does not wait, and not long.
type tracker struct {
	bytesMax     int64
	broadcasters atomic.Int32 // clients in BCAST mode

	mu       sync.Mutex
	cachers  map[*cacher]struct{}
	parts    map[ring.PartitionID]map[string]*trackedKey
	prefixes map[string]map[*cacher]struct{} // of BCAST mode
	lengths  []int                           // of those, each once and in order
	counts   map[int]int                     // how many prefixes have a length
	oldest   *trackedKey
	newest   *trackedKey
	items    int // readers of keys
	keys     int
	bytes    int64
	ended    []map[string]*trackedKey          // of partitions that are not served any more
	lapsed   bool                              // there was such a partition: nobody knows what who broadcast has of it
	at       map[*postbox]map[*cacher]struct{} // redirected there
}

func newTracker() *tracker {
	return &tracker{
		bytesMax: trackerBytesMax, cachers: make(map[*cacher]struct{}), parts: make(map[ring.PartitionID]map[string]*trackedKey),
		prefixes: make(map[string]map[*cacher]struct{}), at: make(map[*postbox]map[*cacher]struct{}), counts: make(map[int]int),
	}
}

// join adds a client, which is told of all keys with the prefixes, if it has some.
func (t *tracker) join(c *cacher, prefixes []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cachers[c] = struct{}{}
	if c.told != c.own {
		addTo(t.at, c.told, c)
	}
	if c.prefixes = prefixes; len(prefixes) > 0 {
		t.broadcasters.Add(1)
	}
	for _, p := range prefixes {
		if addTo(t.prefixes, p, c); len(t.prefixes[p]) == 1 {
			t.count(len(p), 1)
		}
	}
}

// addTo adds to one of some sets.
func addTo[K, V comparable](sets map[K]map[V]struct{}, at K, v V) {
	if sets[at] == nil {
		sets[at] = make(map[V]struct{})
	}
	sets[at][v] = struct{}{}
}

// dropFrom drops from one of some sets, of which none is empty. It tells how many are left.
func dropFrom[K, V comparable](sets map[K]map[V]struct{}, at K, v V) (left int) {
	delete(sets[at], v)
	if left = len(sets[at]); left == 0 {
		delete(sets, at)
	}
	return left
}

// count counts prefixes of a length. broadcast may be going over the lengths before.
func (t *tracker) count(length, more int) {
	had := t.counts[length] > 0
	if t.counts[length] += more; t.counts[length] == 0 {
		delete(t.counts, length)
	}
	if had == (t.counts[length] > 0) {
		return
	}
	t.lengths = slices.Sorted(maps.Keys(t.counts))
}

// stepMax is how many keys are looked at before others get the mutex.
const stepMax = 256

// leave drops a client.
func (t *tracker) leave(c *cacher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.cachers, c)
	if c.told != c.own {
		dropFrom(t.at, c.told, c)
	}
	if len(c.prefixes) > 0 {
		t.broadcasters.Add(-1)
	}
	for _, p := range c.prefixes {
		if dropFrom(t.prefixes, p, c) == 0 {
			t.count(len(p), -1)
		}
	}
	n := 0
	for k := range c.keys {
		t.forget(k, c)
		if n++; n%stepMax == 0 {
			t.mu.Unlock()
			t.mu.Lock()
		}
	}
}

// redirected returns the clients that redirect to a postbox.
func (t *tracker) redirected(b *postbox) (cachers []*cacher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.at[b] {
		cachers = append(cachers, c)
	}
	return cachers
}

// remember notes that a client is about to read a key, and may keep what it finds. Where there
// is no room for that the client is told at once that it may not.
func (t *tracker) remember(c *cacher, p ring.PartitionID, key []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := c.keys[t.parts[p][string(key)]]; known {
		return
	}
	cost := trackedCost(len(key))
	if cost > t.bytesMax {
		c.told.stale(string(key))
		return
	}
	part := t.parts[p]
	if part == nil {
		part = make(map[string]*trackedKey)
		t.parts[p] = part
	}
	k := part[string(key)]
	if k == nil {
		k = &trackedKey{name: string(key), part: part, older: t.newest}
		part[k.name] = k
		t.keys++
		if t.newest = k; k.older == nil {
			t.oldest = k
		} else {
			k.older.newer = k
		}
	}
	k.readers = append(k.readers, c)
	if c.keys == nil {
		c.keys = make(map[*trackedKey]struct{})
	}
	c.keys[k] = struct{}{}
	t.items++
	for t.bytes += cost; t.bytes > t.bytesMax; {
		t.stale(t.oldest)
	}
}

func trackedCost(name int) int64 { return int64(readerBytes + name) }

// forget drops one reader of a key.
func (t *tracker) forget(k *trackedKey, c *cacher) { t.forgetAt(k, slices.Index(k.readers, c)) }

// forgetAt drops the reader of a key at a place in its list.
func (t *tracker) forgetAt(k *trackedKey, i int) {
	c, last := k.readers[i], len(k.readers)-1
	k.readers[i] = k.readers[last]
	k.readers[last] = nil
	k.readers = k.readers[:last]
	delete(c.keys, k)
	cost := trackedCost(len(k.name))
	t.bytes -= cost
	t.items--
	if last == 0 {
		t.drop(k)
	}
}

// drop takes a key out that nobody has read.
func (t *tracker) drop(k *trackedKey) {
	delete(k.part, k.name)
	t.keys--
	if k.older == nil {
		t.oldest = k.newer
	} else {
		k.older.newer = k.newer
	}
	if k.newer == nil {
		t.newest = k.older
	} else {
		k.newer.older = k.older
	}
}

// stale tells all who have read a key that what they keep is old.
func (t *tracker) stale(k *trackedKey) {
	for len(k.readers) > 0 {
		last := len(k.readers) - 1
		c := k.readers[last]
		t.forgetAt(k, last)
		c.told.stale(k.name)
	}
}

// changed tells who may keep a key that it has changed, but for those that broadcast tells. Each
// that is told has read the key before, so this takes no longer than the reading did.
func (t *tracker) changed(p ring.PartitionID, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.parts[p][name]; k != nil {
		t.stale(k)
	}
}

// broadcast tells who is told of all keys with a prefix that one of them has changed.
func (t *tracker) broadcast(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := 0
	for _, n := range t.lengths {
		if n > len(name) {
			return
		}
		for c := range t.prefixes[name[:n]] {
			c.told.stale(name)
			if told++; told%stepMax == 0 {
				t.mu.Unlock()
				t.mu.Lock()
			}
		}
	}
}

// lose says that something was not broadcast; tellEnded tells of it.
func (t *tracker) lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lapsed = true
}

// end says that a partition is not served here, at least for a moment, so that others may
// write what nobody tells here. What was read of it is taken out; tellEnded tells of it.
func (t *tracker) end(p ring.PartitionID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if part := t.parts[p]; part != nil {
		t.ended = append(t.ended, part)
		delete(t.parts, p)
	}
	t.lapsed = true
}

// tellEnded tells who may keep something of partitions that were ended.
func (t *tracker) tellEnded() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lapsed {
		t.lapsed = false
		n := 0
		for c := range t.cachers {
			if len(c.prefixes) > 0 {
				c.told.allStale()
			}
			if n++; n%stepMax == 0 {
				t.mu.Unlock()
				t.mu.Lock()
			}
		}
	}
	for len(t.ended) > 0 {
		part := t.ended[0]
		t.ended = t.ended[1:]
		n := 0
		for _, k := range part {
			t.stale(k)
			if n++; n%stepMax == 0 {
				t.mu.Unlock()
				t.mu.Lock()
			}
		}
	}
}

// trackerStats are what INFO tells.
type trackerStats struct {
	clients, keys, items, prefixes int
	bytes                          int64
}

func (t *tracker) stats() trackerStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return trackerStats{clients: len(t.cachers), keys: t.keys, items: t.items, prefixes: len(t.prefixes), bytes: t.bytes}
}

// read returns the partitions of which clients may keep something.
func (t *tracker) read() (ids []ring.PartitionID, broadcast bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for p, part := range t.parts {
		if len(part) > 0 {
			ids = append(ids, p)
		}
	}
	return ids, len(t.prefixes) > 0
}
