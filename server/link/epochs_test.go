package link

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestAwait: who waits for a server's epoch is let go when the server has adopted it, or at
// the deadline, or with its context, and told which.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEpochs()
		began := time.Now()
		wants := func(what string, epoch uint64, deadline time.Duration, want bool, after time.Duration) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			since := time.Now()
			if got := e.Await(ctx, 2, epoch, began.Add(deadline)); got != want || time.Since(since) != after {
				t.Errorf("%s: %v after %v, want %v after %v", what, got, time.Since(since), want, after)
			}
		}
		e.note(2, 3)
		wants("known before", 3, time.Second, true, 0)
		wants("not in time", 4, time.Second, false, time.Second)
		wants("too late to wait", 4, time.Second, false, 0)
		time.AfterFunc(time.Second, func() { e.note(3, 9) })
		time.AfterFunc(2*time.Second, func() { e.note(2, 5) })
		wants("in time", 4, time.Minute, true, 2*time.Second)
		wants("nobody waits any more", 6, time.Minute, false, 5*time.Second)
	})
}
