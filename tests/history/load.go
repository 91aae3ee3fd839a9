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
	calmPrefix  = "calm/"  // a set now and then, and many reads
	oncePrefix  = "once/"  // one set each
)

// isHot says whether a key is asked for all the time.
func isHot(key string) bool {
	return !strings.HasPrefix(key, oncePrefix) && !strings.HasPrefix(key, calmPrefix)
}

// calmKey is one of the calm keys in the partition of a log. A primary that must
// not answer any more holds back reads of what was being written when it was cut
// off: only keys that nobody wrote just then show whether it knows its place.
func calmKey(i, j int) string { return fmt.Sprintf("%s%d{%s%d}", calmPrefix, j, logPrefix, i) }

// calmOnes is how many there are for each log.
const calmOnes = 4

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
	// Close is called when the loop has ended.
	Close()
}

// Options of a Load.
type Options struct {
	Seed     uint64
	Keys     int                   // of each sort
	Pause    time.Duration         // of a loop after each operation
	Patience time.Duration         // with an operation
	Targets  func(loop int) Target // the client of each loop
	Probers  func() Target         // that of a loop which only reads, one for each calm key
}

// Load is clients that never stop asking: two for each hot key, two that write
// ever new ones, and for each calm key one that writes and one that reads it.
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
	spawn := func(key string, target Target, reads float64) {
		r := &loadClient{l: l, client: loop, target: target, rng: rand.New(rand.NewPCG(opts.Seed, uint64(loop))), key: key, reads: reads, pause: opts.Pause}
		loop++
		l.running.Go(r.run)
	}
	for i := range opts.Keys {
		for _, prefix := range []string{logPrefix, countPrefix, freePrefix} {
			key := fmt.Sprintf("%s%d", prefix, i)
			spawn(key, opts.Targets(loop), someReads)
			spawn(key, opts.Targets(loop), someReads)
		}
		for j := range calmOnes {
			spawn(calmKey(i, j), opts.Targets(0), 0)
			spawn(calmKey(i, j), opts.Probers(), 1)
		}
	}
	spawn(oncePrefix, opts.Targets(loop), 0)
	spawn(oncePrefix, opts.Targets(loop), 0)
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

// loadClient is one client's doing.
type loadClient struct {
	l      *Load
	client int
	target Target
	rng    *rand.Rand
	key    string
	reads  float64 // the share of reads
	pause  time.Duration
}

// someReads is the share of reads of clients that also write.
const someReads = 0.4

func (r *loadClient) run() {
	defer r.target.Close()
	pause := time.NewTimer(r.pause)
	defer pause.Stop()
	var seen Content
	for n := 0; r.l.ctx.Err() == nil; n++ {
		in := Input{Kind: r.choose(), Key: r.key, Text: fmt.Sprintf("%d.%d;", r.client, n), Seen: seen}
		if r.key == oncePrefix {
			in.Key = fmt.Sprintf("%s%d/%d", oncePrefix, r.client, n)
			r.l.noteOnce(in.Key)
		}
		if in.Kind == SetSame && !seen.Found {
			in.Kind = Get
		}
		if out, ok := r.l.do(r.client, r.target, in); ok && in.Kind == Get {
			seen = out.Content
		}
		if pause.Reset(r.pause); strings.HasPrefix(r.key, calmPrefix) && r.reads == 0 {
			pause.Reset(calmMin + time.Duration(r.rng.Int64N(int64(calmMax-calmMin))))
		}
		select {
		case <-pause.C:
		case <-r.l.ctx.Done():
		}
	}
}

// Pauses of who writes a calm key.
const (
	calmMin = 800 * time.Millisecond
	calmMax = 2500 * time.Millisecond
)

func (r *loadClient) choose() Kind {
	switch {
	case r.rng.Float64() < r.reads:
		return Get
	case r.key == oncePrefix, strings.HasPrefix(r.key, calmPrefix):
		return Set
	case strings.HasPrefix(r.key, logPrefix):
		return Append
	case strings.HasPrefix(r.key, countPrefix):
		return Incr
	}
	return []Kind{Set, Set, SetAbsent, SetPresent, SetSame, SetSame, Append, Append, Delete}[r.rng.IntN(9)]
}

func (l *Load) noteOnce(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.once = append(l.once, key)
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
		for j := range calmOnes {
			keys = append(keys, calmKey(i, j))
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
