package play

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"rsc.io/script"
)

const (
	keyLoaders   = 32
	sizeUsual    = 1 << 10  // bytes
	sizeMost     = 16 << 20 // as large as values may be
	keysMost     = 1 << 30
	noiseBytes   = 1 << 20 // of which values are parts
	tellInterval = 2 * time.Second
)

// units are those of sizes.
var units = []struct {
	name  string
	bytes int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"B", 1}, {"", 1}}

// sizeOf reads a size, such as 100, 4KiB or 1MiB.
func sizeOf(text string) (int, error) {
	if isUnknown(text) {
		return 1, nil
	}
	for _, u := range units {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > sizeMost/u.bytes {
				break
			}
			return n * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%q is no size of a value such as 100, 4KiB or 1MiB, up to 16MiB", text)
}

// keyLoad reads what 'load COUNT [SIZE]' is given.
func keyLoad(args []string) (count, size int, err error) {
	if len(args) > 2 {
		return 0, 0, script.ErrUsage
	}
	count, err = number(args[0], 1)
	if err == nil && count > keysMost {
		err = fmt.Errorf("%s are more than %d keys", args[0], keysMost)
	}
	size = sizeUsual
	if len(args) == 2 {
		var wrong error
		size, wrong = sizeOf(args[1])
		err = errors.Join(err, wrong)
	}
	return count, size, err
}

// isCount reports whether a word of 'load' is how many keys.
func isCount(word string) bool {
	_, err := strconv.Atoi(word)
	return err == nil || isUnknown(word) && !strings.HasSuffix(word, "%")
}

// noiseBlock is what all values of a load are parts of: they take no memory of their own where they
// are remembered.
var noiseBlock = sync.OnceValue(func() []byte {
	block := make([]byte, noiseBytes+sizeMost)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(block) // never fails
	return block
})

// loadKeys writes further keys, and tells how it goes.
func (p *Player) loadKeys(ctx context.Context, count, size int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	first := p.loadedKeys
	p.loadedKeys += count
	var next, done atomic.Int64
	_, before, _ := p.ledger.sums()
	began := time.Now()
	var loading sync.WaitGroup
	for worker := range keyLoaders {
		loading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(first), uint64(worker)))
			for i := next.Add(1) - 1; i < int64(count) && ctx.Err() == nil; i = next.Add(1) - 1 {
				at := random.IntN(noiseBytes)
				key := fmt.Sprintf("%sload/%d", p.prefix, int64(first)+i)
				if !p.ledger.set(ctx, p.client, key, noiseBlock()[at:at+size:at+size]) {
					stop() // it was tried for long: further ones would be as well
					return
				}
				done.Add(1)
			}
		})
	}
	p.tellLoad(ctx, &loading, &done, count, began)
	_, failed, _ := p.ledger.sums()
	if n := int(done.Load()); n < count {
		why := context.Cause(ctx)
		if len(failed) > len(before) {
			why = errors.New(failed[len(before)])
		}
		return fmt.Errorf("%d of %d keys were loaded: %w", n, count, why)
	}
	took := time.Since(began).Seconds()
	p.say("%d keys of %d bytes in %.1f s, %s/s, %s MiB/s", count, size, took, rounded(float64(count)/took), rounded(float64(count)*float64(size)/(1<<20)/took))
	return nil
}

// tellLoad waits until a load ends, and says how far it is.
func (p *Player) tellLoad(ctx context.Context, loading *sync.WaitGroup, done *atomic.Int64, count int, began time.Time) {
	over := make(chan struct{})
	go func() { // ends with the load
		loading.Wait()
		close(over)
	}()
	tick := time.NewTicker(tellInterval)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
			n := done.Load()
			if n == 0 || ctx.Err() != nil {
				continue
			}
			left := time.Duration(float64(time.Since(began)) * float64(int64(count)-n) / float64(n))
			p.say("%d of %d keys, %d%%, about %v left", n, count, 100*n/int64(count), left.Round(time.Second))
		}
	}
}
