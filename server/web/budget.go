package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"viewring/client"
	"viewring/internal/wait"
)

// budget shares out the memory for the bodies of requests and answers. An eighth of it is for those that
// take little, and an eighth for lists: clients with large files, who are slow, keep out neither.
type budget struct {
	large, small, lists pool
}

type pool struct {
	sem   *semaphore.Weighted
	total int64
	rate  int64 // bytes a second that a body must bring while others wait

	mu     sync.Mutex
	bodies map[*pace]int // that have room, and how many times
}

func newBudget(total, rate int64) *budget {
	small := max(total/8, pageBytes)
	large := max(total-2*small, pageBytes)
	b := &budget{}
	for p, total := range map[*pool]int64{&b.large: large, &b.small: small, &b.lists: small} {
		p.sem, p.total, p.rate, p.bodies = semaphore.NewWeighted(total), total, rate, make(map[*pace]int)
	}
	return b
}

// of is the pool for so many bytes.
func (b *budget) of(bytes int64) *pool {
	if bytes <= pageBytes {
		return &b.small
	}
	return &b.large
}

// take waits for room for so many bytes, in turn. Give them back by done.
func (b *budget) take(ctx context.Context, bytes int64) (done func(), err error) {
	return b.of(bytes).take(ctx, bytes)
}

// takeList is take for a list of a directory.
func (b *budget) takeList(ctx context.Context, bytes int64) (done func(), err error) {
	return b.lists.take(ctx, bytes)
}

func (p *pool) take(ctx context.Context, bytes int64) (done func(), err error) {
	bytes = min(bytes, p.total)
	ctx, cancel := context.WithTimeout(ctx, admitMax)
	defer cancel()
	if !p.sem.TryAcquire(bytes) {
		waiting, stop := context.WithCancel(ctx)
		go p.press(waiting)
		err := p.sem.Acquire(ctx, bytes)
		stop()
		if err != nil {
			return nil, fmt.Errorf("%w: no room for another body in memory", client.ErrBusy)
		}
	}
	leave := p.enter(paceOf(ctx))
	return func() {
		leave()
		p.sem.Release(bytes)
	}, nil
}

// enter notes whose body has room, until leave is called.
func (p *pool) enter(of *pace) (leave func()) {
	if of == nil {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bodies[of]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.bodies[of]--; p.bodies[of] == 0 {
			delete(p.bodies, of)
		}
	}
}

// pressEvery is how often who waits for room looks for bodies that come too slowly.
const pressEvery = 500 * time.Millisecond

// press ends the bodies that come too slowly, until ctx ends.
func (p *pool) press(ctx context.Context) {
	for p.rate > 0 && wait.For(ctx, pressEvery) {
		p.mu.Lock()
		for of := range p.bodies {
			of.cutOff(p.rate)
		}
		p.mu.Unlock()
	}
}

// tryTake is take for what there is room for at once.
func (b *budget) tryTake(bytes int64) (done func(), ok bool) {
	p := b.of(bytes)
	bytes = min(bytes, p.total)
	if !p.sem.TryAcquire(bytes) {
		return nil, false
	}
	return func() { p.sem.Release(bytes) }, true
}
