package main

import (
	"context"
	"errors"
	"time"

	"github.com/olric-data/olric"
)

// olricStill is how long nothing may be on its way for a cluster of Olric to count as balanced: it looks what has
// to move every second.
const olricStill = 2 * time.Second

func growOlric(ctx context.Context, o *options, dir string) (*grown, error) {
	ms := &olricMembers{dir: dir}
	if err := ms.grow(ctx, growFrom); err != nil {
		ms.stop()
		return nil, err
	}
	c, m, err := olricClient(ms.clients, 256)
	if err != nil {
		ms.stop()
		return nil, err
	}
	return &grown{store: olricStore{m}, stop: func() {
		_ = c.Close(context.Background()) // nothing of it is wanted any more
		ms.stop()
	}, grow: func(ctx context.Context) error {
		if err := ms.grow(ctx, 1); err != nil {
			return err
		}
		var since time.Time
		return untilWithin(ctx, moverWait, "Olric has moved all", func() bool {
			if !olricBalanced(ctx, c, ms.clients) {
				since = time.Time{}
				return false
			}
			if since.IsZero() {
				since = time.Now()
			}
			return time.Since(since) > olricStill
		})
	}}, nil
}

// olricBalanced reports whether no partition has former owners that still hold some of it, and every member holds something.
func olricBalanced(ctx context.Context, c *olric.ClusterClient, addrs []string) bool {
	for _, addr := range addrs {
		s, err := c.Stats(ctx, addr)
		if err != nil || len(s.ClusterMembers) != len(addrs) {
			return false
		}
		held := 0
		for _, p := range s.Partitions {
			if len(p.PreviousOwners) > 0 {
				return false
			}
			held += p.Length
		}
		if held == 0 {
			return false
		}
	}
	return true
}

// olricStore is Olric by its own client.
type olricStore struct{ m olric.DMap }

func (s olricStore) set(ctx context.Context, key string, value []byte) error {
	return s.m.Put(ctx, key, value)
}

func (s olricStore) get(ctx context.Context, key string) ([]byte, error) {
	r, err := s.m.Get(ctx, key)
	if errors.Is(err, olric.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return r.Byte()
}
