package s3

import (
	"sync"
	"sync/atomic"
)

// atOnce is how many small requests of one of a client are under way at a time.
const atOnce = 8

// each calls do with each number below n, several at a time.
func each(n int, do func(int)) {
	var next atomic.Int64
	var running sync.WaitGroup
	for range min(n, atOnce) {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	running.Wait()
}
