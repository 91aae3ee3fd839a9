package server

import (
	"sync"
	"time"

	"viewring/internal/wait"
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

// runPings asks every member that is up for its promise, often enough that a lost
// ping costs no lease.
func (s *Server) runPings() {
	for {
		v := s.views.current().view
		if !wait.For(s.ctx, s.untilNext(max(v.LeaseTTL/4, time.Millisecond))) {
			return
		}
		s.pingAll(s.views.current().view)
	}
}

// untilNext is how long it is to the next multiple of an interval, by the server's clock.
func (s *Server) untilNext(every time.Duration) time.Duration {
	return wait.Until(s.opts.Now().Mono, every)
}

func (s *Server) pingAll(v *ring.View) {
	for i := range v.Members {
		if m := &v.Members[i]; m.ID != s.id && m.Up {
			s.sendMessage(m.ID, s.node.ping(s.opts.Now()))
		}
	}
}

func (s *Server) sendMessage(to ring.ServerID, m *replica.Message) {
	s.peers.send(to, replica.AppendMessage(takeBuffer(), m), 1)
}
