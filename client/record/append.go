package record

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"viewring/client"
	"viewring/internal/tree"
	"viewring/internal/wire"
)

// Appended says where records are.
type Appended struct {
	Place int64 // of the first; those that follow have the next. -1: they are in the file, and nobody knows any more where all of them are
	Last  int64 // place of the last; -1: likewise
	Count int64
	Time  time.Time // by a server's clock
	Known bool      // an earlier call, or process, had appended them
}

// appender appends what callers of File.Append bring, in batches: what comes while one is under way
// makes up the next.
type appender struct {
	f *File

	mu struct {
		sync.Mutex
		queue []*appending
		busy  bool // somebody sends what is in the queue
	}

	// Of who is busy.
	producer [16]byte
	sequence int64
}

// appending is a call of File.Append.
type appending struct {
	ctx     context.Context
	records []byte
	count   int64
	size    int64 // bytes of the records
	done    chan struct{}
	out     Appended
	err     error
}

func (a *appender) init(f *File) {
	a.f = f
	a.renew()
}

// renew makes the appender another producer, of whom nothing is known.
func (a *appender) renew() {
	_, _ = rand.Read(a.producer[:]) // never fails
	a.sequence = 0
}

// batch encodes records, and checks that they are within the bounds.
func (f *File) batch(records [][]byte) (b []byte, size int64, err error) {
	if len(records) == 0 {
		return nil, 0, errors.New("no records")
	}
	for _, r := range records {
		size += int64(len(r))
	}
	if most := f.BatchBytesMax(); size > most || len(records) > BatchRecordsMax {
		return nil, 0, fmt.Errorf("%w: %d records of %d bytes together, at most %d and %d are appended as one", client.ErrTooLarge, len(records), size, BatchRecordsMax, most)
	}
	b = make([]byte, 0, size+3*int64(len(records)))
	for _, r := range records {
		b = wire.AppendRecord(b, r)
	}
	return b, size, nil
}

// Append appends records, one behind the other, and returns once they are stored on all acting copies. What several goroutines
// append at a time is sent together. The call is repeated until it is answered, or ctx ends: each record lands once. After client.ErrUnknownOutcome they may be in
// the file, or come to be, once at most; a call that appends them again may double them. Use a Producer where that is not
// good enough. The records may be changed after the return.
func (f *File) Append(ctx context.Context, records ...[]byte) (Appended, error) {
	o := f.s.op(ctx, "append to", f.path)
	b, size, err := f.batch(records)
	if err != nil {
		return Appended{}, o.failed(err)
	}
	c := &appending{ctx: ctx, records: b, count: int64(len(records)), size: size, done: make(chan struct{})}
	f.appender.add(c)
	select {
	case <-c.done:
	case <-ctx.Done():
		<-c.done // the batch ends with the contexts of all its calls, or this one is taken out of the queue
	}
	return c.out, o.failed(c.err)
}

// add puts a call in line. Where nobody sends, its goroutine does.
func (a *appender) add(c *appending) {
	a.mu.Lock()
	a.mu.queue = append(a.mu.queue, c)
	begins := !a.mu.busy
	a.mu.busy = true
	a.mu.Unlock()
	if begins {
		go a.run()
	}
}

// run sends batches until nobody waits.
func (a *appender) run() {
	for {
		calls := a.take()
		if calls == nil {
			return
		}
		a.send(calls)
	}
}

// take takes the calls that make up the next batch; nil, and nobody is busy any more, if there are none.
func (a *appender) take() (calls []*appending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	size, count := int64(0), int64(0)
	for len(a.mu.queue) > 0 {
		c := a.mu.queue[0]
		if err := c.ctx.Err(); err != nil { // nothing of it was sent
			c.err = fmt.Errorf("%w: nothing was sent: %w", client.ErrUnreachable, err)
			close(c.done)
		} else if size += c.size; len(calls) > 0 && (size > a.f.BatchBytesMax() || count+c.count > BatchRecordsMax) {
			return calls
		} else {
			calls, count = append(calls, c), count+c.count
		}
		a.mu.queue = a.mu.queue[1:]
	}
	if calls == nil {
		a.mu.queue, a.mu.busy = nil, false
	}
	return calls
}

// send appends what the calls bring, and answers them.
func (a *appender) send(calls []*appending) {
	ctx, cancel := context.WithCancel(a.f.s.ctx)
	defer cancel()
	q := &wire.RecordRequest{Producer: a.producer, Sequence: a.sequence, Records: calls[0].records, Count: calls[0].count}
	for _, c := range calls[1:] {
		q.Records, q.Count = append(q.Records, c.records...), q.Count+c.count
	}
	waiting := newGroup(calls, cancel)
	out, err := a.f.append(a.f.s.op(ctx, "append to", a.f.path), q)
	waiting.end()
	var gap *GapError
	switch {
	case err == nil:
		a.sequence += q.Count
	case errors.Is(err, client.ErrUnknownOutcome), errors.Is(err, tree.ErrMaybe), errors.As(err, &gap):
		a.renew() // a batch that comes late is not taken for another one
	}
	for _, c := range calls {
		if c.err = err; err == nil {
			c.out = out
			c.out.Count, c.out.Last = c.count, c.out.Place+c.count-1
			out.Place += c.count
		}
		close(c.done)
	}
}

// newGroup cancels once the contexts of all calls have ended.
func newGroup(calls []*appending, cancel func()) *group {
	g := &group{over: make(chan struct{})}
	go func() {
		for _, c := range calls {
			select {
			case <-c.ctx.Done():
			case <-g.over:
				return
			}
		}
		cancel()
	}()
	return g
}

type group struct{ over chan struct{} }

func (g *group) end() { close(g.over) }

// append appends one batch as a producer.
func (f *File) append(o *op, q *wire.RecordRequest) (Appended, error) {
	r := f.records(o)
	if err := f.look(r); err != nil {
		return Appended{}, err
	}
	q.Sum = wire.RecordSum(q.Records)
	at := f.at.Load()
	p, err := r.Append(&at, q)
	f.at.Store(at)
	if err != nil {
		return Appended{}, err
	}
	switch p.Code {
	case wire.RecordOK, wire.RecordKnown:
		out := Appended{Place: p.Place, Last: -1, Count: q.Count, Time: time.UnixMilli(p.Time), Known: p.Code == wire.RecordKnown}
		if p.Place >= 0 {
			out.Last = p.Place + q.Count - 1
		}
		return out, nil
	case wire.RecordTooLarge:
		return Appended{}, fmt.Errorf("%w: at most %d bytes of records are appended as one", client.ErrTooLarge, p.Next)
	case wire.RecordFenced:
		return Appended{}, ErrFenced
	case wire.RecordGap:
		return Appended{}, &GapError{p.Next}
	case wire.RecordOverlap:
		return Appended{}, &overlapError{p.Next}
	case wire.RecordTooMany:
		return Appended{}, ErrTooManyProducers
	}
	return Appended{}, fmt.Errorf("%w: unexpected outcome %d of an append", client.ErrRefused, p.Code)
}

// overlapError: the file has the records before Next, and not those from there on.
type overlapError struct{ Next int64 }

func (e *overlapError) Error() string {
	return fmt.Sprintf("records before %d are in the file", e.Next)
}
