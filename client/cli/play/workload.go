package play

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"viewring/client"
)

const (
	workers       = 8
	keysPerWorker = 25
	normalRate    = 200 // operations/s, all workers together
	valueBytesMax = 2000
)

// workload keeps writing, appending and reading on keys of its own.
type workload struct {
	stop    context.CancelFunc
	running sync.WaitGroup
	before  int // requests in the ledger
}

// startWorkload begins the workload; every answer goes into the ledger.
func startWorkload(ctx context.Context, c *client.Client, l *ledger, prefix string, rate int) *workload {
	ctx, stop := context.WithCancel(ctx)
	w := &workload{stop: stop}
	w.before, _, _ = l.sums()
	for i := range workers {
		w.running.Go(func() { work(ctx, c, l, prefix, i, time.Second*workers/time.Duration(rate)) })
	}
	return w
}

// end stops the workload; requests under way get their answers first.
func (w *workload) end() {
	w.stop()
	w.running.Wait()
}

func work(ctx context.Context, c *client.Client, l *ledger, prefix string, worker int, pace time.Duration) {
	random := rand.New(rand.NewPCG(uint64(worker), 1))
	tick := time.NewTicker(pace)
	defer tick.Stop()
	whole := context.WithoutCancel(ctx) // a request once begun is brought to its end
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		if ctx.Err() != nil { // also when both were ready
			return
		}
		key := fmt.Sprintf("%swork/%d/%d", prefix, worker, random.IntN(keysPerWorker))
		switch n := random.IntN(10); {
		case n < 4 || len(l.get(key).value) > valueBytesMax:
			l.set(whole, c, key, noise(random, fmt.Sprintf("%s#%d:", key, i)))
		case n < 7:
			l.add(whole, c, key, fmt.Appendf(nil, "+%d", i))
		default:
			l.check(whole, c, key)
		}
	}
}

// noise returns a value that starts with a text and goes on at random.
func noise(random *rand.Rand, start string) []byte {
	b := []byte(start)
	for range random.IntN(300) {
		b = append(b, byte(random.Uint32()))
	}
	return b
}

// fill writes n keys and records them.
func fill(ctx context.Context, c *client.Client, l *ledger, prefix string, n int) {
	var filling sync.WaitGroup
	const fillers = 16
	for f := range fillers {
		filling.Go(func() {
			random := rand.New(rand.NewPCG(uint64(f), 2))
			for i := f; i < n && ctx.Err() == nil; i += fillers {
				key := fmt.Sprintf("%sfill/%d", prefix, i)
				l.set(ctx, c, key, noise(random, key+":"))
			}
		})
	}
	filling.Wait()
}
