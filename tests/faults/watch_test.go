package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/client"
	"viewring/internal/wait"
	"viewring/tests/harness"
)

const (
	watchWriters = 20
	watchPrefix  = "watched/"
)

// watchedOp is what a writer did to its key.
type watchedOp struct {
	change  client.Change
	version client.Version // of an acknowledged set
	value   string
	unknown bool // it may have been done, or may be yet
	at      time.Time
}

// writer has a key of its own.
type writer struct {
	key     string
	present bool // of the goroutine that writes
	done    atomic.Int64
	mu      sync.Mutex
	ops     []watchedOp
}

func (w *writer) run(ctx context.Context, t *testing.T, c *client.Client) {
	for n := 0; ctx.Err() == nil; n++ {
		if !w.write(ctx, t, c, n%10 == 9) {
			return
		}
	}
}

// write sets the key to something new, or deletes it where it is there.
func (w *writer) write(ctx context.Context, t *testing.T, c *client.Client, remove bool) bool {
	op := watchedOp{change: client.Set, value: fmt.Sprintf("%s:%d", w.key, w.done.Load())}
	err := error(nil)
	try, cancel := context.WithTimeout(context.WithoutCancel(ctx), opPatience)
	defer cancel()
	if remove && w.present {
		op.change, op.value = client.Deleted, ""
		err = c.Delete(try, w.key, client.Always())
	} else {
		op.version, err = c.Set(try, w.key, []byte(op.value), client.Always())
	}
	if errors.Is(err, client.ErrTooFewCopies) || errors.Is(err, client.ErrUnavailable) { // not done: servers were slow, and taken for dead
		wait.For(try, 10*time.Millisecond)
		return true
	}
	op.at = time.Now()
	w.present = op.change == client.Set && err == nil
	op.unknown = errors.Is(err, client.ErrUnknownOutcome)
	if err != nil && !op.unknown {
		t.Errorf("%s: %v", w.key, err)
		return false
	}
	w.mu.Lock()
	w.ops = append(w.ops, op)
	w.mu.Unlock()
	w.done.Add(1)
	return true
}

// last is the version that the key got last.
func (w *writer) last() client.Version {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ops[len(w.ops)-1].version
}

// watched is a client that watches, and what it was told.
type watched struct {
	name   string
	w      *client.Watch
	slow   func() // called before each event is taken
	values bool

	mu     sync.Mutex
	events []client.Event
	at     []time.Time
	anew   int
}

func (o *watched) run(ctx context.Context) {
	for {
		if o.slow != nil {
			o.slow()
		}
		e, err := o.w.Next(ctx)
		if err != nil {
			return
		}
		o.mu.Lock()
		if e.Change == client.Anew {
			o.anew++
		}
		o.events, o.at = append(o.events, e), append(o.at, time.Now())
		o.mu.Unlock()
	}
}

// last is the version that the watcher was told last of a key.
func (o *watched) last(key string) (v client.Version) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range slices.Backward(o.events) {
		if e.Key == key {
			return e.Version
		}
	}
	return v
}

// began reports whether the watcher was told to start anew.
func (o *watched) began() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.anew > 0
}

// check compares what a watcher was told of a key with what its writer did: all of it, in
// that order, nothing else. After an Anew something may be missing.
func (o *watched) check(t *testing.T, w *writer) {
	var unknown []string
	var acked []watchedOp
	for _, op := range w.ops {
		if op.unknown {
			unknown = append(unknown, op.value)
		} else {
			acked = append(acked, op)
		}
	}
	matches := func(e *client.Event, op *watchedOp) bool {
		if e.Change != op.change || op.change == client.Set && e.Version != op.version {
			return false
		}
		return e.Value == nil || string(e.Value) == op.value
	}
	next, gap := 0, false
	for i := range o.events {
		e := &o.events[i]
		gap = gap || e.Change == client.Anew
		if e.Key != w.key {
			continue
		}
		if gap { // it may be any of those to come
			gap = false
			for j := next; j < len(acked); j++ {
				if matches(e, &acked[j]) {
					next = j
					break
				}
			}
		}
		switch {
		case next < len(acked) && matches(e, &acked[next]):
			next++
		case slices.Contains(unknown, string(e.Value)) || len(unknown) > 0 && e.Value == nil:
		default:
			want := "nothing more"
			if next < len(acked) {
				want = fmt.Sprintf("%+v", acked[next])
			}
			t.Errorf("%s: %s: event %d is %v of %v %q, not %s", o.name, w.key, i, e.Change, e.Version, e.Value, want)
			return
		}
	}
	if next < len(acked) && !gap {
		t.Errorf("%s: %s: %d of %d changes were told", o.name, w.key, next, len(acked))
	}
}

// TestWatches: 50 clients watch what 20 write while servers are killed, join, pause and leave:
// each is told what was committed, all of it in its order, or to start anew.
func TestWatches(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Servers: 4})
	writing, stopWriting := context.WithCancel(t.Context())
	watching, stopWatching := context.WithCancel(t.Context())
	defer stopWatching()
	defer stopWriting()
	clients := []*client.Client{c.Open(), c.Open(), c.Open()}
	writers := make([]*writer, watchWriters)
	for i := range writers {
		writers[i] = &writer{key: fmt.Sprintf("%s%d", watchPrefix, i)}
	}
	ops := func() (n int64) {
		for _, w := range writers {
			n += w.done.Load()
		}
		return n
	}
	more := func(n int64) { // waits until so many more are done
		t.Helper()
		want := ops() + n
		harness.Eventually(t, "more operations", func() bool { return ops() >= want || t.Failed() })
	}
	watchers := make([]*watched, 50)
	var running sync.WaitGroup
	for i := range watchers {
		o := &watched{name: fmt.Sprintf("watcher %d", i), values: i%2 == 0}
		key, options := writers[i%watchWriters].key, client.WatchOptions{Values: o.values}
		if i >= 20 {
			key, options.Prefix = watchPrefix, true
		}
		if i >= 40 { // it takes one event for so many that are written
			var until int64
			o.slow = func() {
				until = max(until, ops()) + 3
				for ops() < until && writing.Err() == nil {
					wait.For(writing, time.Millisecond)
				}
			}
		}
		begin, cancel := context.WithTimeout(t.Context(), opPatience)
		w, err := clients[i%len(clients)].Watch(begin, key, options)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		o.w, watchers[i] = w, o
		running.Go(func() { o.run(watching) })
	}
	var writes sync.WaitGroup
	for i, w := range writers {
		writes.Go(func() { w.run(writing, t, clients[i%len(clients)]) })
	}
	more(2000)
	calmUntil := time.Now()
	for i := range 2 {
		primary := c.Acting(writers[i].key, 1)[0]
		primary.Kill()
		more(500)
		joined := c.Add()
		more(500)
		primary.Start()
		paused := c.Acting(writers[i+1].key, 1)[0]
		paused.Pause()
		harness.Pass(t, long)
		paused.Resume()
		more(500)
		c.Leader.Kill()
		more(200)
		c.Leader.Start()
		joined.Stop()
		more(500)
		joined.Start()
		c.WaitBalanced()
	}
	stopWriting()
	writes.Wait()
	for i, o := range watchers {
		for j, w := range writers {
			if i < 20 && i != j {
				continue
			}
			harness.Eventually(t, o.name+" is told the last of "+w.key, func() bool {
				if w.last() == (client.Version{}) || w.last() != o.last(w.key) && o.began() {
					w.write(t.Context(), t, clients[0], false) // of what it began anew after it is not told
				}
				return w.last() == o.last(w.key) || t.Failed()
			})
		}
	}
	stopWatching()
	running.Wait()
	events, anew := 0, 0
	for i, o := range watchers {
		for j, w := range writers {
			if i >= 20 || j == i%watchWriters {
				o.check(t, w)
			}
		}
		events, anew = events+len(o.events), anew+o.anew
	}
	t.Logf("%d operations, %d events, %d times told to start anew; %s", ops(), events, anew, latencies(watchers[:40], writers, calmUntil))
}

// latencies is how long events took from when their writers had their answers, while nothing
// happened to the cluster.
func latencies(watchers []*watched, writers []*writer, until time.Time) string {
	type change struct {
		key     string
		version client.Version
	}
	answered := make(map[change]time.Time)
	for _, w := range writers {
		for _, op := range w.ops {
			if op.version != (client.Version{}) && op.at.Before(until) {
				answered[change{w.key, op.version}] = op.at
			}
		}
	}
	var took []time.Duration
	for _, o := range watchers {
		for i, e := range o.events {
			if at, ok := answered[change{e.Key, e.Version}]; ok {
				took = append(took, o.at[i].Sub(at))
			}
		}
	}
	if len(took) == 0 {
		return "no latency was measured"
	}
	slices.Sort(took)
	return fmt.Sprintf("from the writer's answer to the event: median %v, p99 %v, of %d events in calm", took[len(took)/2], took[len(took)*99/100], len(took))
}
