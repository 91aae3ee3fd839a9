package sim

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Play runs n seeds from first on, as many at a time as there are processors,
// each world on one of them alone. Results come one at a time and in the order
// of the seeds, until each returns false.
func Play(first, n uint64, opt Options, each func(Result) bool) {
	var next atomic.Uint64
	var over atomic.Bool
	done := make(chan Result)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for !over.Load() {
				i := next.Add(1) - 1
				if i >= n {
					return
				}
				done <- Run(first+i, opt)
			}
		})
	}
	go func() {
		workers.Wait()
		close(done)
	}()
	wanted, early := first, make(map[uint64]Result)
	for r := range done {
		early[r.Seed] = r
		for {
			r, ok := early[wanted]
			if !ok {
				break
			}
			delete(early, wanted)
			wanted++
			if !over.Load() && !each(r) {
				over.Store(true)
			}
		}
	}
}
