package main

import (
	"context"
	"sync"
	"time"

	"viewring/client/admin"
)

// lateStop is the longest stop of a key that any server tells of the last seconds.
func (m *moving) lateStop(ctx context.Context) (longest time.Duration) {
	s, err := m.ops.Status(ctx)
	if err != nil {
		return 0 // the next look has it
	}
	for i := range s.View.Members {
		if !s.View.Members[i].Up {
			continue
		}
		server, err := admin.DialServer(ctx, s.View.Members[i].Addr, nil)
		if err != nil {
			continue // it has just gone
		}
		r, err := server.Rebalancing(ctx)
		_ = server.Close() // used for one question
		if err == nil {
			longest = max(longest, r.Stops.Late)
		}
	}
	return longest
}

// calm waits until servers tell of no stop: what they tell then is of what comes.
func (m *moving) calm(ctx context.Context) error {
	return untilWithin(ctx, moverWait, "no partition has changed hands for a while", func() bool { return m.lateStop(ctx) == 0 })
}

// watchStops looks at the stops until the function that it returns is called, which returns the longest.
func (m *moving) watchStops(ctx context.Context) (end func() time.Duration) {
	const every = 3 * time.Second // less than what servers call late
	watching, stop := context.WithCancel(ctx)
	longest := time.Duration(0)
	var running sync.WaitGroup
	running.Go(func() {
		for watching.Err() == nil {
			longest = max(longest, m.lateStop(watching))
			pauseUntil(watching, time.Now().Add(every))
		}
	})
	return func() time.Duration {
		stop()
		running.Wait()
		return max(longest, m.lateStop(ctx))
	}
}
