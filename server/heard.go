package server

import (
	"context"
	"sync"
	"time"

	"viewring/ring"
)

// movedWaitMax is how long after a new view clients are not yet sent to a primary
// that may not know it: it would send them back, again and again.
const movedWaitMax = 100 * time.Millisecond

// heard is which epoch each server is known to have adopted, all its lanes.
type heard struct {
	mu   sync.Mutex
	done map[ring.ServerID]uint64
	next chan struct{} // closed and replaced with each change
}

func newHeard() *heard {
	return &heard{done: make(map[ring.ServerID]uint64), next: make(chan struct{})}
}

func (h *heard) note(id ring.ServerID, done uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if done > h.done[id] {
		h.done[id] = done
		close(h.next)
		h.next = make(chan struct{})
	}
}

func (h *heard) get(id ring.ServerID) (uint64, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.done[id], h.next
}

// await returns when a server has adopted an epoch, or at a deadline.
func (h *heard) await(ctx context.Context, id ring.ServerID, epoch uint64, deadline time.Time) {
	done, next := h.get(id)
	if done >= epoch || !time.Now().Before(deadline) {
		return
	}
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	for done < epoch {
		select {
		case <-next:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
		done, next = h.get(id)
	}
}
