package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"viewring/client"
)

// The load beside a rebalancing.
const (
	moverClients = 64
	moverFillers = 256 // fill and verify
	moverReads   = 95  // percent
	moverValue   = 1024
)

// keyStore is what stores keys: one of the systems, by its own Go client.
type keyStore interface {
	set(ctx context.Context, key string, value []byte) error
	get(ctx context.Context, key string) ([]byte, error) // nil where there is none
}

// viewringStore is viewring's.
type viewringStore struct{ cl *client.Client }

func (s viewringStore) set(ctx context.Context, key string, value []byte) error {
	_, err := s.cl.Set(ctx, key, value, client.Always())
	return err
}

func (s viewringStore) get(ctx context.Context, key string) ([]byte, error) {
	v, err := s.cl.Get(ctx, key)
	if errors.Is(err, client.ErrNotFound) {
		return nil, nil
	}
	return v.Bytes, err
}

// movedKeys are the keys of a cluster and what was acknowledged of each. A key is set by one
// client, so that its values have an order that everybody knows.
type movedKeys struct {
	store keyStore
	acked []atomic.Uint64 // by key: the sequence of the last acknowledged value
	stale atomic.Int64    // gets that were answered with an older value than was acknowledged before, or with none
}

func newMovedKeys(store keyStore, n int) *movedKeys {
	n = max(n/moverClients, 1) * moverClients // the same for each
	return &movedKeys{store: store, acked: make([]atomic.Uint64, n)}
}

// value is the one with a sequence.
func (k *movedKeys) value(sequence uint64) []byte {
	b := make([]byte, moverValue)
	_, _ = rand.NewChaCha8([32]byte{byte(sequence)}).Read(b) // never fails
	binary.BigEndian.PutUint64(b, sequence)
	return b
}

// set writes the next value of a key, which nobody else sets meanwhile.
func (k *movedKeys) set(ctx context.Context, key int) error {
	next := k.acked[key].Load() + 1
	if err := k.store.set(ctx, keyName(key), k.value(next)); err != nil {
		return err
	}
	k.acked[key].Store(next)
	return nil
}

// get reads a key and compares it with what was acknowledged before.
func (k *movedKeys) get(ctx context.Context, key int) error {
	least := k.acked[key].Load()
	v, err := k.store.get(ctx, keyName(key))
	if err != nil {
		return err
	}
	if len(v) < 8 || binary.BigEndian.Uint64(v) < least {
		k.stale.Add(1)
	}
	return nil
}

// all does something with one of so many keys, many at a time.
func (k *movedKeys) all(ctx context.Context, of int, do func(ctx context.Context, key int) error) error {
	failed := make([]error, moverFillers)
	each(moverFillers, func(n int) {
		for key := n; key < len(k.acked) && failed[n] == nil; key += moverFillers {
			if key/moverFillers%of == 0 {
				failed[n] = do(ctx, key)
			}
		}
	})
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// moverLoad is what the clients measure until they are stopped.
type moverLoad struct {
	began   time.Time
	stopped context.CancelFunc
	running sync.WaitGroup
	samples [moverClients][]sample
	failed  [moverClients]int
	why     [moverClients]error // the last failure
}

// load lets the clients ask until it is stopped.
func (k *movedKeys) load(ctx context.Context) *moverLoad {
	l := &moverLoad{began: time.Now()}
	asking, stop := context.WithCancel(ctx)
	l.stopped = stop
	for n := range moverClients {
		l.running.Go(func() {
			for asking.Err() == nil {
				began := time.Now()
				var err error
				if key := rand.IntN(len(k.acked)/moverClients)*moverClients + n; rand.IntN(100) >= moverReads {
					err = k.set(ctx, key)
				} else {
					err = k.get(ctx, rand.IntN(len(k.acked)))
				}
				if err != nil {
					l.failed[n], l.why[n] = l.failed[n]+1, err
					continue
				}
				l.samples[n] = append(l.samples[n], sample{at: began.Sub(l.began), took: time.Since(began)})
			}
		})
	}
	return l
}

// stop ends the load and returns how many requests failed.
func (l *moverLoad) stop() (failed int) {
	l.stopped()
	l.running.Wait()
	for n, f := range l.failed {
		failed += f
		if l.why[n] != nil {
			fmt.Println("a request failed:", l.why[n])
		}
	}
	return failed
}

// window is what the clients saw in a span of time.
type window struct {
	perSecond    float64
	span         time.Duration
	p99, longest time.Duration
}

// window sums up the requests that began from one time to another.
func (l *moverLoad) window(from, to time.Time) (w window) {
	var took []time.Duration
	for _, samples := range l.samples {
		for _, s := range samples {
			if at := l.began.Add(s.at); !at.Before(from) && at.Before(to) {
				took = append(took, s.took)
			}
		}
	}
	if len(took) == 0 {
		return w
	}
	slices.Sort(took)
	return window{perSecond: float64(len(took)) / to.Sub(from).Seconds(), span: to.Sub(from), p99: took[len(took)*99/100], longest: took[len(took)-1]}
}

// count is how many requests that was.
func (w *window) count() float64 { return w.perSecond * w.span.Seconds() }
