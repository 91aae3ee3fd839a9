package server

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/server/store"
)

// ErrLeft is what Wait returns of a server that is no member any more: nothing is
// left to do for it.
var ErrLeft = errors.New("this server has left the cluster")

// known is a view in use, with its placement. Immutable.
type known struct {
	view  *ring.View
	table *ring.Table
	since time.Time // adopted
}

// views keeps the server's view. One goroutine adopts, whoever brought the view.
type views struct {
	s       *Server
	present atomic.Pointer[known]
	handed  atomic.Uint64 // epoch that is in the lanes' inboxes: what is put there later comes after it
	offers  chan *ring.View

	mu struct {
		sync.Mutex
		adopted chan struct{} // closed with the next adoption
	}
}

func newViews(s *Server) *views {
	vs := &views{s: s, offers: make(chan *ring.View)}
	vs.mu.adopted = make(chan struct{})
	return vs
}

// current is never nil once the server has started.
func (vs *views) current() *known { return vs.present.Load() }

// next returns a channel that is closed with the next adoption.
func (vs *views) next() <-chan struct{} {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.mu.adopted
}

// runAdoption adopts what is offered, higher epochs only.
func (vs *views) runAdoption() {
	for {
		select {
		case v := <-vs.offers:
			if v.Epoch <= vs.current().view.Epoch {
				continue
			}
			if err := vs.adopt(v); err != nil {
				vs.s.fail(err)
				return
			}
		case <-vs.s.ctx.Done():
			return
		}
	}
}

// adopt makes v the server's view: durable first, then E, then the lanes.
func (vs *views) adopt(v *ring.View) error {
	s := vs.s
	s.bond.mu.Lock()
	defer s.bond.mu.Unlock()
	if !s.bond.frees(v.Epoch) {
		s.logger.Debug("no view from before the view leader is recovered", "epoch", v.Epoch, "reported", s.bond.epoch.Load())
		vs.wake()
		return nil
	}
	id := s.store.Identity()
	if v.Cluster != id.Cluster {
		return fmt.Errorf("a view of cluster %x, this server belongs to %x", v.Cluster, id.Cluster)
	}
	switch m := v.Member(s.id); {
	case m == nil:
		s.logger.Info("this server has left the cluster: nothing is left on it", "epoch", v.Epoch)
		return ErrLeft
	case m.Incarnation < id.Incarnation:
		// Its registration went with the view leader's data: it registers again, by its
		// heartbeat, and is in the views from then on.
		s.logger.Info("not registered with a view leader that was recovered", "epoch", v.Epoch, "incarnation", m.Incarnation)
		vs.wake()
		return nil
	case m.Incarnation != id.Incarnation:
		return fmt.Errorf("%v runs as another process too: it registered as incarnation %d, this one is %d", s.id, m.Incarnation, id.Incarnation)
	}
	var before *ring.Table
	if k := vs.current(); k != nil {
		before = k.table
	}
	table, err := ring.TableOf(v, before)
	if err != nil {
		return fmt.Errorf("adopt epoch %d: %w", v.Epoch, err)
	}
	err = s.store.Adopt(ring.AppendView(nil, v, 0), func(id *store.Identity) {
		id.Epoch = v.Epoch
		id.LeaseMax = max(id.LeaseMax, v.LeaseTTL)
	})
	if err != nil {
		return fmt.Errorf("adopt epoch %d: %w", v.Epoch, err)
	}
	promised, ok := s.node.raise(v.Epoch, v.LeaseTTL)
	if !ok {
		return fmt.Errorf("adopt epoch %d: this server is at %d", v.Epoch, s.node.epoch())
	}
	s.bond.epoch.Store(0)
	k := &known{view: v, table: table, since: time.Now()}
	vs.present.Store(k)
	s.peers.update(v)
	a := &adoption{view: v, table: table, promised: promised}
	for _, l := range s.lanes {
		l.inbox.force(event{kind: onView, adoption: a})
	}
	vs.handed.Store(v.Epoch)
	vs.wake()
	s.logger.Debug("adopted a view", "epoch", v.Epoch, "members", len(v.Members))
	return nil
}

// wake lets those look again who wait for an adoption.
func (vs *views) wake() {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	close(vs.mu.adopted)
	vs.mu.adopted = make(chan struct{})
}

// offer hands a view to the adoption.
func (vs *views) offer(ctx context.Context, v *ring.View) {
	select {
	case vs.offers <- v:
	case <-ctx.Done():
	}
}

// runPolls waits at the view leader for the next view, for ever.
func (vs *views) runPolls(leader *wire.Leader) {
	ctx := vs.s.ctx
	for ctx.Err() == nil {
		v, err := leader.View(ctx, vs.current().view, viewWait)
		if err != nil {
			vs.s.logger.Debug("no view from the view leader", "err", err)
			wait.For(ctx, redialMax)
			continue
		}
		adopted := vs.next() // before the look at what is adopted: else that may be v, and this waits for the one after
		if v == nil || v.Epoch <= vs.current().view.Epoch {
			continue // none newer in time
		}
		vs.offer(ctx, v)
		select {
		case <-adopted:
		case <-ctx.Done():
		}
		if v.Epoch > vs.current().view.Epoch {
			wait.For(ctx, redialMax) // a report forbids it
		}
	}
}

// Waits for a view that another server has and this one has not.
const (
	pollFirst = 100 * time.Millisecond // the view leader is pushing it, most likely
	needMax   = 10 * time.Second
)

// need returns once the lanes have a view of that epoch or higher, or find it before
// whatever they are given next: they drop messages of terms to come. When the view
// leader does not bring it, the server at addr, which has it, is asked.
func (vs *views) need(ctx context.Context, epoch uint64, addr string) error {
	if vs.handed.Load() >= epoch {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, needMax)
	defer cancel()
	for pause := pollFirst; ; pause = min(2*pause, time.Second) {
		err := vs.await(ctx, epoch, pause)
		if err == nil || ctx.Err() != nil {
			return err
		}
		v, err := vs.fetch(ctx, addr)
		if err != nil {
			vs.s.logger.Debug("no view from the sender of a newer frame", "addr", addr, "err", err)
			continue
		}
		if v != nil {
			vs.offer(ctx, v)
		}
	}
}

// await waits for an epoch for a while.
func (vs *views) await(ctx context.Context, epoch uint64, wait time.Duration) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		adopted := vs.next()
		if vs.handed.Load() >= epoch {
			return nil
		}
		select {
		case <-adopted:
		case <-t.C:
			return fmt.Errorf("no view of epoch %d", epoch)
		case <-ctx.Done():
			return fmt.Errorf("wait for epoch %d: %w", epoch, context.Cause(ctx))
		}
	}
}

// fetch asks another server for its view; nil when it has none newer.
func (vs *views) fetch(ctx context.Context, addr string) (*ring.View, error) {
	ctx, cancel := context.WithTimeout(ctx, linkTimeout)
	defer cancel()
	c, err := wire.Dial(ctx, addr, vs.s.opts.Dial, wire.DefaultLimits)
	if err != nil {
		return nil, err
	}
	defer c.Close() // used for one question
	base := vs.current().view
	reply, err := c.Do(ctx, []byte(wire.CmdViewOf), strconv.AppendUint(nil, base.Epoch, 10))
	if err != nil || reply.IsNil() {
		return nil, err
	}
	v, err := ring.DecodeView(reply.Bytes, base)
	if err == nil && v.Cluster != base.Cluster {
		err = fmt.Errorf("a view of cluster %x", v.Cluster)
	}
	if err != nil {
		return nil, fmt.Errorf("view from %s: %w", addr, err)
	}
	return v, nil
}
