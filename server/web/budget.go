package web

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"

	"viewring/client"
)

// budget shares out the memory for the bodies of requests and answers.
type budget struct {
	sem   *semaphore.Weighted
	total int64
}

func newBudget(total int64) *budget {
	return &budget{sem: semaphore.NewWeighted(total), total: total}
}

// take waits for room for so many bytes, in turn. Give them back by done.
func (b *budget) take(ctx context.Context, bytes int64) (done func(), err error) {
	bytes = min(bytes, b.total)
	ctx, cancel := context.WithTimeout(ctx, admitMax)
	defer cancel()
	if err := b.sem.Acquire(ctx, bytes); err != nil {
		return nil, fmt.Errorf("%w: no room for another body in memory", client.ErrBusy)
	}
	return func() { b.sem.Release(bytes) }, nil
}

// tryTake is take for what there is room for at once.
func (b *budget) tryTake(bytes int64) (done func(), ok bool) {
	bytes = min(bytes, b.total)
	if !b.sem.TryAcquire(bytes) {
		return nil, false
	}
	return func() { b.sem.Release(bytes) }, true
}
