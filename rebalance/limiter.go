package rebalance

import (
	"context"
	"sync"
	"time"
)

// Clock is the time as a Mover sees it: monotonic, from any origin.
type Clock interface {
	Now() time.Duration
	// After returns a channel that receives, or is closed, once d has passed.
	After(d time.Duration) <-chan time.Time
}

// burst is how much unused rate is kept.
const burst = 100 * time.Millisecond

// limiter is a token bucket of bytes. It goes into debt by one page and lets
// nothing through until that is paid, so that a page may be larger than the burst.
type limiter struct {
	clock Clock
	mu    struct {
		sync.Mutex
		rate    int64 // bytes/s; 0: no limit
		paused  bool
		tokens  float64 // bytes
		at      time.Duration
		changed chan struct{} // closed when rate or paused changes
	}
}

func newLimiter(clock Clock, rate int64) *limiter {
	l := &limiter{clock: clock}
	l.mu.rate = max(rate, 0)
	l.mu.at = clock.Now()
	l.mu.changed = make(chan struct{})
	return l
}

func (l *limiter) setRate(rate int64) {
	l.change(func() { l.mu.rate = max(rate, 0) })
}

func (l *limiter) setPaused(paused bool) {
	l.change(func() { l.mu.paused = paused })
}

// change lets set change one of the settings, and nobody else one meanwhile.
func (l *limiter) change(set func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refill()
	set()
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
}

func (l *limiter) paused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.paused
}

func (l *limiter) rate() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.rate
}

// refill adds what has come in since the last look. The caller holds mu.
func (l *limiter) refill() {
	now := l.clock.Now()
	l.mu.tokens += float64(l.mu.rate) * (now - l.mu.at).Seconds()
	l.mu.tokens = min(l.mu.tokens, float64(l.mu.rate)*burst.Seconds())
	l.mu.at = now
}

// admit waits until bytes may be asked for.
func (l *limiter) admit(ctx context.Context, bytes int) error {
	for {
		wait, changed := l.take(bytes)
		if wait == 0 {
			return nil
		}
		var due <-chan time.Time // never, while paused
		if wait > 0 {
			due = l.clock.After(wait)
		}
		select {
		case <-due:
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take takes bytes, or says how long to wait first: 0 when they are taken, below
// 0 until something changes.
func (l *limiter) take(bytes int) (wait time.Duration, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refill()
	switch {
	case l.mu.paused:
		return -1, l.mu.changed
	case l.mu.rate == 0:
		l.mu.tokens = 0 // a limit set later starts even
		return 0, nil
	case l.mu.tokens < 0:
		return max(time.Duration(-l.mu.tokens/float64(l.mu.rate)*float64(time.Second)), time.Millisecond), l.mu.changed
	}
	l.mu.tokens -= float64(bytes)
	return 0, nil
}
