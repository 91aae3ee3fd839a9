package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// manyAtATime is how many operations of a batch are under way at a time.
const manyAtATime = 128

// Put is a write of SetMany.
type Put struct {
	Key       string
	Value     []byte
	TTL       time.Duration // 0: the key stays; else as for SetFor
	Condition Condition
}

// SetResult is what came of a Put.
type SetResult struct {
	Version Version
	Err     error // as of Set
}

// GetResult is what came of a key of GetMany.
type GetResult struct {
	Value Value
	Err   error // as of Get
}

// SetMany writes keys, many at a time: each is an operation of its own, as Set or SetFor, with its own outcome, in
// the order of puts. Some may fail while others are done. Writes of one key take effect in their order,
// others in any. Use Update to write several keys as one.
func (c *Client) SetMany(ctx context.Context, puts []Put) []SetResult {
	results := make([]SetResult, len(puts))
	byKey(len(puts), func(i int) string { return puts[i].Key }, func(i int) {
		p, r := &puts[i], &results[i]
		if p.TTL != 0 {
			r.Version, r.Err = c.SetFor(ctx, p.Key, p.Value, p.TTL, p.Condition)
		} else {
			r.Version, r.Err = c.Set(ctx, p.Key, p.Value, p.Condition)
		}
	})
	return results
}

// GetMany reads keys, many at a time: each as Get does, with its own outcome, in the order of keys. They are
// not of one moment; Update can read several keys of a slot at one. All values are in memory when it returns.
func (c *Client) GetMany(ctx context.Context, keys []string) []GetResult {
	results := make([]GetResult, len(keys))
	inParallel(len(keys), func(i int) { results[i].Value, results[i].Err = c.Get(ctx, keys[i]) })
	return results
}

// DeleteMany removes keys, many at a time: each as Delete does, with its own outcome, in the order of keys.
func (c *Client) DeleteMany(ctx context.Context, keys []string) []error {
	results := make([]error, len(keys))
	byKey(len(keys), func(i int) string { return keys[i] }, func(i int) { results[i] = c.Delete(ctx, keys[i], Always()) })
	return results
}

// byKey calls do with the numbers below n, many at a time, but with those of one key one after the other.
func byKey(n int, key func(i int) string, do func(i int)) {
	place := make(map[string]int, n) // in chains
	var chains [][]int
	for i := range n {
		at, ok := place[key(i)]
		if !ok {
			at = len(chains)
			place[key(i)] = at
			chains = append(chains, nil)
		}
		chains[at] = append(chains[at], i)
	}
	inParallel(len(chains), func(at int) {
		for _, i := range chains[at] {
			do(i)
		}
	})
}

// inParallel calls do with the numbers below n, many at a time. The requests go to each server one behind the other on
// few connections, without waiting for the answers of those before.
func inParallel(n int, do func(i int)) {
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(n, manyAtATime) {
		working.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	working.Wait()
}
