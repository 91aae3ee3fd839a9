package web

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"

	"viewring/client"
)

// budget shares out the memory for the bodies of requests and answers. An eighth of it is for those that
// take little: clients with large files, who are slow, do not keep out those with small ones.
type budget struct {
	large, small pool
}

type pool struct {
	sem   *semaphore.Weighted
	total int64
}

func newBudget(total int64) *budget {
	small := max(total/8, pageBytes)
	large := max(total-small, pageBytes)
	return &budget{large: pool{semaphore.NewWeighted(large), large}, small: pool{semaphore.NewWeighted(small), small}}
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
	p := b.of(bytes)
	bytes = min(bytes, p.total)
	ctx, cancel := context.WithTimeout(ctx, admitMax)
	defer cancel()
	if err := p.sem.Acquire(ctx, bytes); err != nil {
		return nil, fmt.Errorf("%w: no room for another body in memory", client.ErrBusy)
	}
	return func() { p.sem.Release(bytes) }, nil
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
