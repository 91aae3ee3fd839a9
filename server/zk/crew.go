package zk

import (
	"context"
	"sync"
)

// crew carries out what connections begin: a goroutine that has ended its work waits for more, so that its
// stack need not grow again for each request. It keeps crewIdle of them.
type crew struct {
	running *sync.WaitGroup // all of them
	work    chan func()     // to who waits
	idle    chan struct{}
}

// crewIdle is how many wait for work at a time.
const crewIdle = 256

func newCrew(running *sync.WaitGroup) *crew {
	return &crew{running: running, work: make(chan func()), idle: make(chan struct{}, crewIdle)}
}

// do has do carried out by somebody who waits, or by another. Those who wait end with ctx. The caller is
// among those that run.
func (w *crew) do(ctx context.Context, do func()) {
	select {
	case w.work <- do:
	default:
		w.running.Go(func() { w.run(ctx, do) })
	}
}

func (w *crew) run(ctx context.Context, do func()) {
	for {
		do()
		select {
		case w.idle <- struct{}{}:
		default:
			return
		}
		select {
		case do = <-w.work:
			<-w.idle
		case <-ctx.Done():
			return
		}
	}
}
