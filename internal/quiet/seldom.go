package quiet

import (
	"sync"
	"time"
)

// Every is the time between two words on what happens again and again.
const Every = 10 * time.Second

// Seldom has the first of what happens often told at once, and of what follows soon one in Every. Any
// goroutine may call its methods. The zero value is ready.
type Seldom struct {
	mu    sync.Mutex
	until time.Time // nothing is told until then
	left  int       // out since the last that was told
}

// May reports whether one that happened is told, and how many before it were not.
func (s *Seldom) May() (ok bool, others int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.until) {
		s.left++
		return false, 0
	}
	others = s.left
	s.until, s.left = now.Add(Every), 0
	return true, others
}
