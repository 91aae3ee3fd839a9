package tally

import (
	"sync"
	"time"
)

// Slow keeps the newest of what should never take so long. The zero value is ready. Safe for
// concurrent use.
type Slow struct {
	mu   sync.Mutex
	took time.Duration // guarded by mu
	at   time.Time     // likewise
}

// Note keeps what took that long and ended now, if that is at least so much.
func (s *Slow) Note(took, least time.Duration, now time.Time) {
	if took < least {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.took, s.at = took, now
}

// Newest is what was kept; the zero time: nothing.
func (s *Slow) Newest() (took time.Duration, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.took, s.at
}
