package s3keys

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// Freshness is how long a Cache tells a key without looking whether it is still there.
const Freshness = 5 * time.Second

// cachedMax bounds the keys of a Cache.
const cachedMax = 10_000

// Cache looks keys up, and keeps those that it found: for Freshness without looking, after that without deriving
// again what decrypts the secret, which takes a while on purpose. Any number of goroutines may use it.
type Cache struct {
	store *Store
	now   func() time.Time

	mu   sync.Mutex
	keys map[string]*cached
}

type cached struct {
	mu     sync.Mutex
	key    Key
	sealed []byte // of the entry that it was decrypted from
	until  time.Time
}

// NewCache returns an empty one.
func NewCache(s *Store) *Cache {
	return &Cache{store: s, now: time.Now, keys: make(map[string]*cached)}
}

// Lookup is Store.Lookup.
func (c *Cache) Lookup(ctx context.Context, id string) (Key, error) {
	if !IsID(id) {
		return Key{}, ErrNoKey
	}
	c.mu.Lock()
	k := c.keys[id]
	c.mu.Unlock()
	if k == nil {
		// Only ids that exist are kept: others can be made up without end.
		if _, err := c.store.entry(ctx, id); err != nil {
			return Key{}, err
		}
		k = c.add(id)
	}
	return k.lookup(ctx, c, id)
}

func (c *Cache) add(id string) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.keys[id]; k != nil {
		return k
	}
	if len(c.keys) >= cachedMax {
		clear(c.keys)
	}
	k := &cached{}
	c.keys[id] = k
	return k
}

func (k *cached) lookup(ctx context.Context, c *Cache, id string) (Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := c.now()
	if now.Before(k.until) {
		return k.key, nil
	}
	e, err := c.store.entry(ctx, id)
	if err == nil && (len(k.sealed) == 0 || !bytes.Equal(k.sealed, append(e.bound(), e.Sealed...))) {
		k.key, err = c.store.Lookup(ctx, id)
		k.sealed = append(e.bound(), e.Sealed...)
	}
	if err != nil {
		k.sealed, k.until = nil, time.Time{}
		c.mu.Lock()
		if c.keys[id] == k {
			delete(c.keys, id)
		}
		c.mu.Unlock()
		return Key{}, err
	}
	k.until = now.Add(Freshness)
	return k.key, nil
}
