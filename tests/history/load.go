package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// The keys of a load, by what may happen to them.
const (
	logPrefix   = "log/"   // appends and reads
	countPrefix = "count/" // increments and reads
	freePrefix  = "free/"  // everything
	oncePrefix  = "once/"  // one set each
)

// isHot says whether a key is asked for all the time.
func isHot(key string) bool { return !strings.HasPrefix(key, oncePrefix) }

// Errors of a Target.
var (
	ErrUnknown = errors.New("the outcome is not known")
	ErrRefused = errors.New("without effect")
)

// Target carries out operations. One loop at a time uses it.
type Target interface {
	// Do returns an error that wraps ErrUnknown or ErrRefused when there was no
	// answer. The content that it returns for a Get is remembered for SetSame.
	Do(ctx context.Context, in Input) (Output, error)
}

// Options of a Load.
type Options struct {
	Seed     uint64
	Keys     int                   // of each sort
	Pause    time.Duration         // from one operation of a loop to the next
	Patience time.Duration         // with an operation
	Targets  func(loop int) Target // the client of each loop
}

// Load is clients that never stop asking: two for each hot key, and two that
// write ever new ones.
type Load struct {
	History *History
	opts    Options
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	once   []string // keys of that sort
	errors []string // that no target should return
}

// Start starts the clients. Stop ends them.
func Start(ctx context.Context, opts Options) *Load {
	l := &Load{History: New(), opts: opts}
	l.ctx, l.stop = context.WithCancel(ctx)
	loop := 0
	spawn := func(key string) {
		target, rng, client := opts.Targets(loop), rand.New(rand.NewPCG(opts.Seed, uint64(loop))), loop
		loop++
		l.running.Go(func() { l.run(client, target, rng, key) })
	}
	for i := range opts.Keys {
		for _, prefix := range []string{logPrefix, countPrefix, freePrefix} {
			key := fmt.Sprintf("%s%d", prefix, i)
			spawn(key)
			spawn(key)
		}
	}
	spawn(oncePrefix)
	spawn(oncePrefix)
	return l
}

// Wait waits until n more operations are recorded.
func (l *Load) Wait(ctx context.Context, n int) error {
	first, _ := l.History.Count()
	for {
		count, counted := l.History.Count()
		if count >= first+n {
			return nil
		}
		select {
		case <-counted:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d operations, %d came: %w", n, count-first, context.Cause(ctx))
		}
	}
}

// Stop lets every client finish what it is at.
func (l *Load) Stop() {
	l.History.ended()
	l.stop()
	l.running.Wait()
}

// Errors are the answers that no client should get.
func (l *Load) Errors() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errors
}

// run is one client's loop.
func (l *Load) run(client int, target Target, rng *rand.Rand, key string) {
	pause := time.NewTicker(l.opts.Pause)
	defer pause.Stop()
	var seen Content
	for n := 0; l.ctx.Err() == nil; n++ {
		in := Input{Key: key, Text: fmt.Sprintf("%d.%d;", client, n), Seen: seen}
		in.Kind = choose(rng, key)
		if key == oncePrefix {
			in.Key = fmt.Sprintf("%s%d/%d", oncePrefix, client, n)
			l.mu.Lock()
			l.once = append(l.once, in.Key)
			l.mu.Unlock()
		}
		if in.Kind == SetSame && !seen.Found {
			in.Kind = Get
		}
		if out, ok := l.do(client, target, in); ok && in.Kind == Get {
			seen = out.Content
		}
		select {
		case <-pause.C:
		case <-l.ctx.Done():
		}
	}
}

func choose(rng *rand.Rand, key string) Kind {
	read := rng.Float64() < 0.4
	switch {
	case key == oncePrefix:
		return Set
	case read:
		return Get
	case strings.HasPrefix(key, logPrefix):
		return Append
	case strings.HasPrefix(key, countPrefix):
		return Incr
	}
	return []Kind{Set, Set, SetAbsent, SetPresent, SetSame, SetSame, Append, Append, Delete}[rng.IntN(9)]
}

// do carries out and records one operation. It goes on when the load stops.
func (l *Load) do(client int, target Target, in Input) (Output, bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), l.opts.Patience)
	defer cancel()
	o := Op{Client: client, In: in, Call: l.History.Now()}
	out, err := target.Do(ctx, in)
	o.Out, o.Return = out, l.History.Now()
	switch {
	case err == nil:
		o.Out.Known = true
	case errors.Is(err, ErrRefused):
		l.History.refuse()
		return out, false
	case errors.Is(err, ErrUnknown):
		o.Out, o.Return = Output{}, Never
	default:
		l.mu.Lock()
		l.errors = append(l.errors, fmt.Sprintf("%v %s: %v", in.Kind, in.Key, err))
		l.mu.Unlock()
		o.Out, o.Return = Output{}, Never
	}
	l.History.add(o)
	return out, err == nil
}

// Keys are all keys that were written, or may have been.
func (l *Load) Keys() []string {
	var keys []string
	for i := range l.opts.Keys {
		for _, prefix := range []string{logPrefix, countPrefix, freePrefix} {
			keys = append(keys, fmt.Sprintf("%s%d", prefix, i))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(keys, l.once...)
}

// reader is the client number of ReadBack.
const reader = 1 << 20

// ReadBack reads every key once more, into the history too, and returns what is
// there.
func (l *Load) ReadBack(ctx context.Context, read func(ctx context.Context, key string) (value string, found bool, err error)) (map[string]string, error) {
	final := make(map[string]string)
	for _, key := range l.Keys() {
		o := Op{Client: reader, In: Input{Kind: Get, Key: key}, Call: l.History.Now()}
		value, found, err := read(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("read back: %w", err)
		}
		o.Return, o.Out.Known = l.History.Now(), true
		if found {
			final[key] = value
			o.Out.Content = ContentOf(value)
		}
		l.History.add(o)
	}
	return final, nil
}
