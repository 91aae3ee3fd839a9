package s3keys

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"
)

// Freshness is how long a Cache tells a key without looking whether it is still there.
const Freshness = 5 * time.Second

// cachedMax bounds the keys of a Cache.
const cachedMax = 10_000

// Cache looks keys up, and keeps those that it found: for Freshness without looking, after that without deriving
// again what decrypts the secret, which takes a while on purpose, or finds that it can't be decrypted. Any number of goroutines may use it.
type Cache struct {
	store *Store
	now   func() time.Time

	mu   sync.Mutex
	keys map[string]*cached
}

type cached struct {
	turn   chan struct{} // who has put something into it may look at the rest
	key    Key
	err    error  // why it was not decrypted
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
	k := &cached{turn: make(chan struct{}, 1)}
	c.keys[id] = k
	return k
}

func (k *cached) lookup(ctx context.Context, c *Cache, id string) (Key, error) {
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return Key{}, ctx.Err()
	}
	now := c.now()
	if now.Before(k.until) {
		return k.key, k.err
	}
	e, err := c.store.entry(ctx, id)
	if err == nil {
		sealed := append(e.bound(), e.Sealed...)
		sealed = append(append(sealed, e.Salt...), e.Nonce...)
		if len(k.sealed) == 0 || !bytes.Equal(k.sealed, sealed) {
			k.key, k.err = c.store.open(e)
			k.sealed = sealed
		}
		err = c.store.named(ctx, e)
	}
	switch {
	case err == nil:
		k.until = now.Add(Freshness)
		return k.key, k.err
	case errors.Is(err, ErrNoKey):
		c.mu.Lock()
		if c.keys[id] == k {
			delete(c.keys, id)
		}
		c.mu.Unlock()
	}
	return Key{}, err // what was derived is kept: the store may be there again soon
}
