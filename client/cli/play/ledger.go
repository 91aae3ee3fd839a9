package play

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"viewring/client"
)

// requestPatience is when a request counts as failed.
const requestPatience = 10 * time.Second

// ledger records what the cluster acknowledged, so that losses show.
type ledger struct {
	mu      sync.Mutex
	entries map[string]*entry
	failed  []string      // requests that got no answer in time
	wrong   []string      // answers that contradict what was acknowledged
	count   int           // of requests
	read    int           // keys that others have read back
	counted chan struct{} // closed and replaced with each
	meter   *meter
}

// entry is the last state of one key. One goroutine at a time writes it.
type entry struct {
	value   []byte
	present bool
	maybe   [][]byte // what unanswered writes may have made of it; nil stands for a delete
}

func newLedger(m *meter) *ledger {
	return &ledger{entries: make(map[string]*entry), counted: make(chan struct{}), meter: m}
}

// set writes a value and records it, and whether it was acknowledged.
func (l *ledger) set(ctx context.Context, c *client.Client, key string, value []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	over := l.meter.begin()
	_, err := c.Set(ctx, key, value, client.Always())
	over(err)
	l.wrote(ctx, key, value, err)
	return err == nil
}

// add appends to a value and records the result.
func (l *ledger) add(ctx context.Context, c *client.Client, key string, more []byte) {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	old := l.get(key)
	value := append(slices.Clone(old.value), more...)
	over := l.meter.begin()
	length, err := c.Append(ctx, key, more)
	over(err)
	if err == nil && len(old.maybe) == 0 && length != int64(len(value)) {
		l.contradict("append to %q made it %d bytes long, not %d", key, length, len(value))
	}
	l.wrote(ctx, key, value, err)
}

// wrote records the outcome of a write that would make the key's value this.
func (l *ledger) wrote(ctx context.Context, key string, value []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tick()
	e := l.entries[key]
	if e == nil {
		e = &entry{}
		l.entries[key] = e
	}
	if err == nil {
		*e = entry{value: value, present: true}
		return
	}
	e.maybe = append(e.maybe, value)
	if !errors.Is(ctx.Err(), context.Canceled) {
		l.failed = append(l.failed, err.Error())
	}
}

func (l *ledger) get(key string) entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entries[key]; e != nil {
		return *e
	}
	return entry{}
}

func (l *ledger) contradict(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// check reads a key and compares it with the ledger. Nobody may write it meanwhile.
func (l *ledger) check(ctx context.Context, c *client.Client, key string) {
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	e := l.get(key)
	over := l.meter.begin()
	got, err := c.Get(ctx, key)
	absent := errors.Is(err, client.ErrNotFound)
	if absent {
		over(nil)
	} else {
		over(err)
	}
	l.mu.Lock()
	l.tick()
	if err != nil && !absent && !errors.Is(ctx.Err(), context.Canceled) {
		l.failed = append(l.failed, err.Error())
	}
	l.mu.Unlock()
	if err != nil && !absent || e.allows(got.Bytes, !absent) {
		return
	}
	if absent {
		l.contradict("%q is absent, %d bytes were acknowledged", key, len(e.value))
		return
	}
	l.contradict("%q reads %.40q… (%d bytes), %.40q… (%d bytes) were acknowledged", key, got.Bytes, len(got.Bytes), e.value, len(e.value))
}

// allows says whether a read may show this state.
func (e *entry) allows(value []byte, present bool) bool {
	if present == e.present && bytes.Equal(value, e.value) {
		return true
	}
	return present && slices.ContainsFunc(e.maybe, func(m []byte) bool { return bytes.Equal(m, value) })
}

// checkAll reads every key of the ledger on a few goroutines, until one cannot be read: more
// would each take as long.
func (l *ledger) checkAll(ctx context.Context, c *client.Client) {
	keys := make(chan string)
	var reading sync.WaitGroup
	for range 8 {
		reading.Go(func() {
			for key := range keys {
				l.check(ctx, c, key)
			}
		})
	}
	_, before, _ := l.sums()
	for _, key := range l.keys() {
		keys <- key
		if _, failed, _ := l.sums(); len(failed) > len(before) {
			break
		}
	}
	close(keys)
	reading.Wait()
}

func (l *ledger) keys() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := make([]string, 0, len(l.entries))
	for key := range l.entries {
		keys = append(keys, key)
	}
	return keys
}

// tick counts a request. The caller holds mu.
func (l *ledger) tick() {
	l.count++
	close(l.counted)
	l.counted = make(chan struct{})
}

// wait waits until n more requests have ended.
func (l *ledger) wait(ctx context.Context, n int) error {
	l.mu.Lock()
	until := l.count + n
	l.mu.Unlock()
	for {
		l.mu.Lock()
		count, counted := l.count, l.counted
		l.mu.Unlock()
		if count >= until {
			return nil
		}
		select {
		case <-counted:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d requests: %w", n, context.Cause(ctx))
		}
	}
}

// note adds what others have found: of their requests, and of the keys that they read back.
func (l *ledger) note(count, read int, failed, wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count, l.read = l.count+count, l.read+read
	l.failed, l.wrong = append(l.failed, failed...), append(l.wrong, wrong...)
}

// readBack is how many keys there are to be checked, or were by others.
func (l *ledger) readBack() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries) + l.read
}

// sums returns how many requests, failures and contradictions there were.
func (l *ledger) sums() (count int, failed, wrong []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count, slices.Clone(l.failed), slices.Clone(l.wrong)
}
