package link

import (
	"sync"
	"time"

	"viewring/ring"
	"viewring/server/replica"
)

// node guards the server's E and the promises that it gave: raising one and giving
// the other exclude each other.
type node struct {
	mu sync.Mutex
	n  *replica.Node
}

func (d *node) epoch() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n.Epoch()
}

func (d *node) raise(epoch uint64, lease time.Duration) (map[ring.ServerID]time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n.Raise(epoch, lease)
}

func (d *node) ping(at replica.Instant) *replica.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n.Ping(at)
}

// onPing takes the time inside: a promise must not be dated before an epoch that
// was raised after it.
func (d *node) onPing(now func() replica.Instant, from ring.ServerID, m *replica.Message) *replica.Message {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n.OnPing(now(), from, m)
}

func (d *node) onPromise(at replica.Instant, from ring.ServerID, m *replica.Message) (replica.Promise, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n.OnPromise(at, from, m)
}
