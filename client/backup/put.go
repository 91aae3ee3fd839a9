package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/semaphore"

	"viewring/internal/route"
	"viewring/internal/wire"
)

// Existing says what becomes of keys that the cluster has with other values.
type Existing int

// The choices. In any case a key that is there as it is in the backup is passed over.
const (
	Fail    Existing = iota // they stay as they are, and ErrExist is returned when all others are there
	Keep                    // they stay as they are
	Replace                 // they are written
)

// ErrExist: keys are there with other values, and were not touched.
var ErrExist = errors.New("keys are there with other values, and were left as they are")

// Counts is what became of keys.
type Counts struct {
	Written uint64 // or, in a dry run, would be
	Same    uint64 // there already
	Kept    uint64 // there with other values, and left as they are
	Bytes   int64  // of the names and values of those
}

// putItem is a key on its way.
type putItem struct {
	name   []byte
	value  []byte
	expiry int64
}

const (
	putWorkers = 512
	putQueue   = 4        // keys that wait, of each
	putBytes   = 32 << 20 // bytes of all that wait
)

// putter writes keys, many at a time. Those of one name are written in their order.
type putter struct {
	router   *route.Client
	existing Existing
	dry      bool
	pace     *pacer

	ctx     context.Context
	cancel  context.CancelCauseFunc
	queues  [putWorkers]chan putItem
	working sync.WaitGroup
	room    *semaphore.Weighted // bytes of keys under way

	written, same, kept atomic.Uint64
	bytes               atomic.Int64

	mu      sync.Mutex
	oneKept []byte // the name of one that was kept; guarded by mu
}

func newPutter(ctx context.Context, c *Cluster, existing Existing, dry bool, rate int64) *putter {
	p := &putter{router: c.router, existing: existing, dry: dry, pace: newPacer(rate), room: semaphore.NewWeighted(putBytes)}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	for i := range p.queues {
		p.queues[i] = make(chan putItem, putQueue)
		p.working.Go(func() { p.work(p.queues[i]) })
	}
	return p
}

func (x *putItem) size() int { return len(x.name) + len(x.value) }

// put hands over a key, and waits for room. Name and value are the putter's.
func (p *putter) put(x putItem) error {
	err := p.pace.wait(p.ctx, x.size())
	if err == nil {
		err = p.room.Acquire(p.ctx, int64(x.size()))
	}
	if err != nil {
		return p.failure(err)
	}
	select {
	case p.queues[xxhash.Sum64(x.name)%putWorkers] <- x:
		return nil
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	}
}

func (p *putter) failure(err error) error {
	if cause := context.Cause(p.ctx); cause != nil {
		return cause
	}
	return err
}

func (p *putter) work(queue chan putItem) {
	for x := range queue {
		if p.ctx.Err() == nil {
			if err := p.one(&x); err != nil {
				p.cancel(err)
			}
		}
		p.room.Release(int64(x.size()))
	}
}

// one writes a key.
func (p *putter) one(x *putItem) error {
	have, err := p.there(x)
	if err != nil {
		return err
	}
	p.bytes.Add(int64(x.size()))
	switch {
	case have == keyWritten:
		p.written.Add(1)
	case have == keySame:
		p.same.Add(1)
	default:
		p.kept.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.oneKept = x.name
	}
	return nil
}

// keyState is what was found of a key, or made of it.
type keyState int

const (
	keyWritten keyState = iota
	keySame
	keyOther
)

// there writes a key where that is wanted, and says what became of it.
func (p *putter) there(x *putItem) (keyState, error) {
	for {
		if !p.dry {
			if done, err := p.set(x, wire.DoIfAbsent); err != nil || done {
				return keyWritten, err
			}
		}
		reply, err := p.router.DoAnyName(p.ctx, fmt.Sprintf("get %q", x.name), &wire.DoRequest{Op: wire.DoGet, Key: x.name})
		switch {
		case err != nil:
			return 0, err
		case reply.Status == wire.DoNotFound && !p.dry:
			// It is gone again.
		case reply.Status == wire.DoNotFound:
			return keyWritten, nil
		case bytes.Equal(reply.Value, x.value) && reply.Expiry == x.expiry:
			return keySame, nil
		case p.existing != Replace:
			return keyOther, nil
		case p.dry:
			return keyWritten, nil
		default:
			_, err := p.set(x, wire.DoAlways)
			return keyWritten, err
		}
	}
}

// set writes a key, unless the condition does not hold.
func (p *putter) set(x *putItem, cond wire.DoCond) (done bool, err error) {
	reply, err := p.router.DoAnyName(p.ctx, fmt.Sprintf("set %q", x.name), &wire.DoRequest{Op: wire.DoSet, Key: x.name, Value: x.value, Cond: cond, Expiry: x.expiry})
	return reply.Status == wire.DoOK, err
}

// end waits for all that was handed over, and says what became of it.
func (p *putter) end() (Counts, error) {
	for _, q := range p.queues {
		close(q)
	}
	p.working.Wait()
	counts := p.counts()
	if err := context.Cause(p.ctx); err != nil {
		return counts, err
	}
	p.cancel(nil)
	if p.existing == Fail && counts.Kept > 0 {
		return counts, fmt.Errorf("%w: %d of them, such as %q", ErrExist, counts.Kept, p.oneKept)
	}
	return counts, nil
}

func (p *putter) counts() Counts {
	return Counts{p.written.Load(), p.same.Load(), p.kept.Load(), p.bytes.Load()}
}
