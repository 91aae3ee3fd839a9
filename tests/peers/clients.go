package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// caller asks a system by its own Go client. Its set is of the value that it was made with.
type caller struct {
	set   func(ctx context.Context, key string) error
	get   func(ctx context.Context, key string) error
	close func()
}

// callers ask together; dial makes one, of which there are most at most, each shared by
// as many of a load's connections as it takes.
type callers struct {
	most int
	dial func(ctx context.Context, value []byte) (*caller, error)
}

// load does to a system what viewring bench does to those that speak RESP.
func (cs callers) load(ctx context.Context, o *options, l load) (result, error) {
	keys := l.keys
	if keys == 0 {
		keys = o.keys
	}
	value := make([]byte, l.valueSize)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(value) // never fails
	var all []*caller
	for range min(l.connections, cs.most) {
		c, err := cs.dial(ctx, value)
		if err != nil {
			return result{}, err
		}
		defer c.close()
		all = append(all, c)
	}
	if l.fill {
		if err := fillBy(ctx, all, l.connections, keys); err != nil {
			return result{}, err
		}
	}
	reads := map[string]int{"set": 0, "get": 100, "mix": l.reads}[l.mode]
	took, errors := make([][]time.Duration, l.connections), make([]int, l.connections)
	cpu, began := ownProcessorTime(), time.Now()
	end := began.Add(l.span)
	each(l.connections, func(n int) {
		c := all[n%len(all)]
		for now := time.Now(); now.Before(end) && ctx.Err() == nil; {
			ask, key := c.set, keyName(rand.IntN(keys))
			if rand.IntN(100) < reads {
				ask = c.get
			}
			err := ask(ctx, key)
			then := time.Now()
			if err != nil {
				errors[n]++
			} else {
				took[n] = append(took[n], then.Sub(now))
			}
			now = then
		}
	})
	r := summary(took, time.Since(began), ownProcessorTime()-cpu)
	for _, n := range errors {
		r.Errors += n
	}
	return r, ctx.Err()
}

// fillBy sets all keys once.
func fillBy(ctx context.Context, all []*caller, connections, keys int) error {
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	each(connections, func(n int) {
		for k := n; k < keys && ctx.Err() == nil; k += connections {
			if err := all[n%len(all)].set(ctx, keyName(k)); err != nil {
				failed(fmt.Errorf("fill: %w", err))
			}
		}
	})
	return context.Cause(ctx)
}

// each runs work n times at once.
func each(n int, work func(n int)) {
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { work(i) })
	}
	running.Wait()
}

func keyName(i int) string { return fmt.Sprint("bench/", i) }
