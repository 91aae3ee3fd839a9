package redis

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"viewring/internal/tally"
	"viewring/internal/wire"
)

// spikesMax is how many seconds of an event are kept, as in Redis.
const spikesMax = 160

// spikes are the events of LATENCY.
type spikes struct {
	mu     sync.Mutex
	events map[string]*spikesOf
}

// spikesOf is one event: the longest of each second that had one.
type spikesOf struct {
	longest time.Duration // since the start, or the reset
	seconds []spike       // the newest last; at most spikesMax
}

type spike struct {
	at   int64 // unix seconds
	took time.Duration
}

func (s *spikes) add(event string, at time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.events == nil {
		s.events = make(map[string]*spikesOf)
	}
	e := s.events[event]
	if e == nil {
		e = &spikesOf{}
		s.events[event] = e
	}
	e.longest = max(e.longest, took)
	if n := len(e.seconds); n > 0 && e.seconds[n-1].at == at.Unix() {
		e.seconds[n-1].took = max(e.seconds[n-1].took, took)
		return
	}
	if len(e.seconds) == spikesMax {
		e.seconds = append(e.seconds[:0], e.seconds[1:]...)
	}
	e.seconds = append(e.seconds, spike{at.Unix(), took})
}

func talkLatencyLatest(s *Session, _ [][]byte) wire.Value {
	sp := &s.front.Monitor.spike
	sp.mu.Lock()
	defer sp.mu.Unlock()
	all := Array()
	for _, name := range slices.Sorted(maps.Keys(sp.events)) {
		e := sp.events[name]
		last := e.seconds[len(e.seconds)-1]
		all.Array = append(all.Array, Array(Text(name), Number(last.at), Number(last.took.Milliseconds()), Number(e.longest.Milliseconds())))
	}
	return all
}

func talkLatencyHistory(s *Session, args [][]byte) wire.Value {
	sp := &s.front.Monitor.spike
	sp.mu.Lock()
	defer sp.mu.Unlock()
	all := Array()
	if e := sp.events[string(args[0])]; e != nil {
		for _, one := range e.seconds {
			all.Array = append(all.Array, Array(Number(one.at), Number(one.took.Milliseconds())))
		}
	}
	return all
}

// talkLatencyReset is LATENCY RESET [event …].
func talkLatencyReset(s *Session, args [][]byte) wire.Value {
	sp := &s.front.Monitor.spike
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if len(args) == 0 {
		n := len(sp.events)
		sp.events = nil
		return Number(int64(n))
	}
	before := len(sp.events)
	for _, a := range args {
		delete(sp.events, string(a))
	}
	return Number(int64(before - len(sp.events)))
}

// talkLatencyHistogram is LATENCY HISTOGRAM [command …]: how long commands took, in
// microseconds, each bucket with those of the ones before.
func talkLatencyHistogram(s *Session, args [][]byte) wire.Value {
	wanted := func(name string) bool {
		return len(args) == 0 || slices.ContainsFunc(args, func(a []byte) bool {
			return strings.EqualFold(string(a), name) || strings.HasPrefix(name, strings.ToLower(string(a))+"|")
		})
	}
	all := Map()
	s.front.Monitor.Each(func(name string, c *tally.OpCounts) {
		if !wanted(name) {
			return
		}
		buckets, sum := Map(), uint64(0)
		for i, n := range c.Times.Buckets {
			if sum += n; n > 0 {
				buckets.Array = append(buckets.Array, Number(1<<i), Number(int64(sum)))
			}
		}
		all.Array = append(all.Array, Text(name), Map(Text("calls"), Number(int64(c.Count())), Text("histogram_usec"), buckets))
	})
	return all
}
