package route

import (
	"sync/atomic"
	"time"
)

// Stats counts what a Client did since it was opened.
type Stats struct {
	Requests uint64        // operations on keys that have ended
	Retries  uint64        // tries beyond the first
	Failures uint64        // operations that ended without an answer
	Longest  time.Duration // of any operation that has ended
}

type counters struct {
	requests, retries, failures atomic.Uint64
	longest                     atomic.Int64
}

func (c *counters) ended(took time.Duration, failed bool) {
	c.requests.Add(1)
	if failed {
		c.failures.Add(1)
	}
	for {
		old := c.longest.Load()
		if int64(took) <= old || c.longest.CompareAndSwap(old, int64(took)) {
			return
		}
	}
}

// Stats returns the counts so far.
func (c *Client) Stats() Stats {
	return Stats{
		Requests: c.counters.requests.Load(),
		Retries:  c.counters.retries.Load(),
		Failures: c.counters.failures.Load(),
		Longest:  time.Duration(c.counters.longest.Load()),
	}
}
