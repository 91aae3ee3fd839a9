package membership

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"viewring/internal/wait"
	"viewring/ring"
	"viewring/server/replica"
)

// TestHandoffsWaitForOthers: those that can wait are asked for together when they are due,
// and with whatever can't wait.
func TestHandoffsWaitForOthers(t *testing.T) {
	handoff := func(p ring.PartitionID, canWait bool) asked {
		return asked{0, replica.LeaderRequest{Kind: replica.AskHandoff, Partition: p, CanWait: canWait}}
	}
	due := func() time.Duration { return 100 * time.Millisecond }
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var q waiting
		q.wake = make(chan struct{}, 1)
		taken := make(chan []asked)
		next := func() {
			go func() { taken <- q.take(ctx, due) }()
			synctest.Wait()
		}
		want := func(what string, n int, after time.Duration) {
			t.Helper()
			began := time.Now()
			if got := <-taken; len(got) != n || time.Since(began) != after {
				t.Errorf("%s: %d requests after %v, want %d after %v", what, len(got), time.Since(began), n, after)
			}
		}
		next()
		wait.For(ctx, 100*time.Hour) // nothing happens for days, on the bubble's clock
		q.add(handoff(1, true))
		synctest.Wait()
		q.add(handoff(2, true))
		want("both can wait", 2, 100*time.Millisecond)

		next()
		q.add(handoff(3, true))
		synctest.Wait()
		q.add(handoff(4, false))
		want("one can't wait", 2, 0)

		next()
		q.add(asked{0, replica.LeaderRequest{Kind: replica.AskEject, Partition: 5}})
		want("an eject", 1, 0)

		next()
		q.add(handoff(6, true))
		synctest.Wait()
		cancel()
		want("the end", 0, 0)
	})
}
