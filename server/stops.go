package server

import (
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/tally"
	"viewring/internal/wire"
)

// stops counts how long partitions took no writes because their acting replicas changed (replica.Ready). The zero value
// is ready; any goroutine may use it.
type stops struct {
	times tally.Histogram
	most  atomic.Int64 // the longest since the start, ns

	mu     sync.Mutex
	second int64                          // of what the newest slot has; guarded by mu
	slots  [lateSeconds + 1]time.Duration // the longest of each second, by the second; likewise
}

// lateSeconds is for how long the longest of them is "of late".
const lateSeconds = 10

// note takes those that end now.
func (s *stops) note(now time.Duration, ended []time.Duration) {
	longest := time.Duration(0)
	for _, d := range ended {
		s.times.NoteTime(d)
		longest = max(longest, d)
	}
	for {
		most := s.most.Load()
		if int64(longest) <= most || s.most.CompareAndSwap(most, int64(longest)) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goOn(now)
	at := &s.slots[s.second%int64(len(s.slots))]
	*at = max(*at, longest)
}

// goOn forgets what is too long ago. The caller holds mu.
func (s *stops) goOn(now time.Duration) {
	second := int64(now / time.Second)
	if second-s.second > int64(len(s.slots)) {
		s.second = second - int64(len(s.slots))
	}
	for s.second < second {
		s.second++
		s.slots[s.second%int64(len(s.slots))] = 0
	}
}

// report is what operators are told.
func (s *stops) report(now time.Duration) wire.RebalanceStops {
	c := s.times.Counts()
	r := wire.RebalanceStops{Count: c.Count(), Longest: time.Duration(s.most.Load())}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.goOn(now)
	for _, d := range s.slots {
		r.Late = max(r.Late, d)
	}
	return r
}
