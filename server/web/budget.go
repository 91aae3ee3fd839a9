package web

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"

	"viewring/client"
)

// budget shares out the memory for the bodies of requests and answers. An eighth of it is for those that
// take little, and an eighth for lists: clients with large files, who are slow, keep out neither.
type budget struct {
	large, small, lists pool
}

type pool struct {
	sem   *semaphore.Weighted
	total int64
}

func newBudget(total int64) *budget {
	small := max(total/8, pageBytes)
	large := max(total-2*small, pageBytes)
	return &budget{large: newPool(large), small: newPool(small), lists: newPool(small)}
}

func newPool(total int64) pool { return pool{semaphore.NewWeighted(total), total} }

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
