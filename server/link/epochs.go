package link

import (
	"context"
	"sync"
	"time"

	"viewring/ring"
)

// Epochs are the peer epochs: which epoch each server is known to have adopted, all its
// lanes, this one included. Any goroutine may use them.
type Epochs struct {
	mu   sync.Mutex
	done map[ring.ServerID]uint64 // guarded by mu
	next chan struct{}            // closed and replaced with each change; guarded by mu
}

func newEpochs() *Epochs {
	return &Epochs{done: make(map[ring.ServerID]uint64), next: make(chan struct{})}
}

func (e *Epochs) note(id ring.ServerID, done uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if done > e.done[id] {
		e.done[id] = done
		close(e.next)
		e.next = make(chan struct{})
	}
}

func (e *Epochs) get(id ring.ServerID) (uint64, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.done[id], e.next
}

// Await returns when a server has adopted an epoch, or at a deadline; it reports whether it has.
func (e *Epochs) Await(ctx context.Context, id ring.ServerID, epoch uint64, deadline time.Time) bool {
	done, next := e.get(id)
	if done >= epoch || !time.Now().Before(deadline) {
		return done >= epoch
	}
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	for done < epoch {
		select {
		case <-next:
		case <-t.C:
			return false
		case <-ctx.Done():
			return false
		}
		done, next = e.get(id)
	}
	return true
}
