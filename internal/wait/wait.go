// Package wait lets time pass.
package wait

import (
	"context"
	"time"
)

// Until is how long it is to the next multiple of an interval. Whatever comes at intervals
// and asks this comes together: an idle process spends its time on being woken.
func Until(now, every time.Duration) time.Duration {
	past := now % every
	if past < 0 {
		past += every
	}
	return every - past
}

// For waits for d; it returns false when ctx ends first.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
