// Package wait lets time pass.
package wait

import (
	"context"
	"time"
)

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
