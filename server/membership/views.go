package membership

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

// Known is a view in use, with its placement. Immutable.
type Known struct {
	View  *ring.View
	Table *ring.Table
	Since time.Time // adopted
}

// Links are this server's links to the members of its view, and its epoch. link.Links are some.
type Links interface {
	Update(v *ring.View) // makes the links those of a view
	Epoch() uint64
	// Raise is replica.Node.Raise.
	Raise(epoch uint64, lease time.Duration) (promised map[ring.ServerID]time.Duration, ok bool)
}

// Views keeps the server's view. One goroutine adopts, whoever brought the view. Any
// goroutine may call its exported methods, but for RunAdoption, RunPolls and Begin.
type Views struct {
	m     *Member
	lanes Lanes
	links Links

	present atomic.Pointer[Known]
	handed  atomic.Uint64 // epoch that is in the lanes' inboxes: what is put there later comes after it
	offers  chan *ring.View

	mu struct {
		sync.Mutex
		adopted chan struct{} // closed with the next adoption; guarded by mu
	}
}

// NewViews returns none: Begin adopts the first.
func NewViews(m *Member, lanes Lanes, links Links) *Views {
	vs := &Views{m: m, lanes: lanes, links: links, offers: make(chan *ring.View)}
	vs.mu.adopted = make(chan struct{})
	return vs
}

// Begin adopts the first view, before any goroutine runs.
func (vs *Views) Begin(v *ring.View) error { return vs.adopt(v) }

// Current returns the view in use, which is never nil once the server has started.
func (vs *Views) Current() *Known { return vs.present.Load() }

// View returns that of Current.
func (vs *Views) View() *ring.View { return vs.Current().View }

// Placement returns the view in use and where its targets are.
func (vs *Views) Placement() (*ring.View, *ring.Table) {
	k := vs.Current()
	return k.View, k.Table
}

// Next returns a channel that is closed with the next adoption.
func (vs *Views) Next() <-chan struct{} {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.mu.adopted
}

// RunAdoption adopts what is offered, higher epochs only, until the server stops.
func (vs *Views) RunAdoption() {
	for {
		select {
		case v := <-vs.offers:
			if v.Epoch <= vs.View().Epoch {
				continue
			}
			if err := vs.adopt(v); err != nil {
				vs.m.c.Fail(err)
				return
			}
		case <-vs.m.c.Context.Done():
			return
		}
	}
}

// adopt makes v the server's view: durable first, then E, then the lanes.
func (vs *Views) adopt(v *ring.View) error {
	m := vs.m
	m.fence.mu.Lock()
	defer m.fence.mu.Unlock()
	if !m.fence.frees(v.Epoch) {
		m.c.Logger.Debug("no view from before the view leader is recovered", "epoch", v.Epoch, "reported", m.fence.epoch.Load())
		vs.wake()
		return nil
	}
	id := m.c.Store.Identity()
	if v.Cluster != id.Cluster {
		return fmt.Errorf("a view of cluster %x, this server belongs to %x", v.Cluster, id.Cluster)
	}
	switch me := v.Member(m.id); {
	case me == nil && m.left.Load():
		return vs.takeUp(v)
	case me == nil:
		return vs.left(v)
	case me.Incarnation < id.Incarnation:
		// Its registration went with the view leader's data: it registers again, by its
		// heartbeat, and is in the views from then on.
		m.c.Logger.Info("not registered with a view leader that was recovered", "epoch", v.Epoch, "incarnation", me.Incarnation)
		vs.wake()
		return nil
	case me.Incarnation != id.Incarnation:
		return fmt.Errorf("%v runs as another process too: it registered as incarnation %d, this one is %d", m.id, me.Incarnation, id.Incarnation)
	}
	err := m.c.Store.Adopt(ring.AppendView(nil, v, 0), func(id *store.Identity) {
		id.Epoch = v.Epoch
		id.LeaseMax = max(id.LeaseMax, v.LeaseTTL)
	})
	if err != nil {
		return fmt.Errorf("adopt epoch %d: %w", v.Epoch, err)
	}
	return vs.takeUp(v)
}

// left deals with the first view in which this server is no member. One that left as planned
// follows the views a while longer, though it stores none, for clients ask it where everything is. One that was
// removed acted until now, which is over: it ends.
func (vs *Views) left(v *ring.View) error {
	m := vs.m
	me := vs.View().Member(m.id)
	if me == nil || me.Status != ring.Leaving {
		m.c.Logger.Info("this server was removed from the cluster", "epoch", v.Epoch)
		return ErrLeft
	}
	m.c.Logger.Info("this server has left the cluster: nothing is left on it", "epoch", v.Epoch)
	m.left.Store(true)
	if err := vs.takeUp(v); err != nil {
		return err
	}
	m.c.Part()
	return nil
}

// takeUp gives a view to all that go by it.
func (vs *Views) takeUp(v *ring.View) error {
	m := vs.m
	var before *ring.Table
	if k := vs.Current(); k != nil {
		before = k.Table
	}
	table, err := ring.TableOf(v, before)
	if err != nil {
		return fmt.Errorf("adopt epoch %d: %w", v.Epoch, err)
	}
	promised, ok := vs.links.Raise(v.Epoch, v.LeaseTTL)
	if !ok {
		return fmt.Errorf("adopt epoch %d: this server is at %d", v.Epoch, vs.links.Epoch())
	}
	m.fence.epoch.Store(0)
	k := &Known{View: v, Table: table, Since: time.Now()}
	vs.present.Store(k)
	vs.links.Update(v)
	vs.lanes.Adopt(v, table, promised)
	vs.handed.Store(v.Epoch)
	vs.wake()
	m.c.Logger.Debug("adopted a view", "epoch", v.Epoch, "members", len(v.Members))
	return nil
}

// wake lets those look again who wait for an adoption.
func (vs *Views) wake() {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	close(vs.mu.adopted)
	vs.mu.adopted = make(chan struct{})
}

// Offer hands a view to the adoption, and waits until it is taken or ctx ends.
func (vs *Views) Offer(ctx context.Context, v *ring.View) {
	select {
	case vs.offers <- v:
	case <-ctx.Done():
	}
}

// RunPolls waits at the view leader for the next view, again and again, until the server stops.
func (vs *Views) RunPolls() {
	ctx := vs.m.c.Context
	for ctx.Err() == nil {
		v, err := vs.m.leader.View(ctx, vs.View(), viewWait)
		if err != nil && ctx.Err() == nil {
			// Clients may have all the places. The connection that heartbeats go by is there all
			// the same: ask on that one, without waiting.
			wait.For(ctx, retryEvery)
			v, err = vs.m.leader.View(ctx, vs.View(), 0)
		}
		if err != nil {
			vs.m.c.Logger.Debug("no view from the view leader", "err", err)
			wait.For(ctx, retryEvery)
			continue
		}
		adopted := vs.Next() // before the look at what is adopted: else that may be v, and this waits for the one after
		if v == nil || v.Epoch <= vs.View().Epoch {
			continue // none newer in time
		}
		vs.Offer(ctx, v)
		select {
		case <-adopted:
		case <-ctx.Done():
		}
		if v.Epoch > vs.View().Epoch {
			wait.For(ctx, retryEvery) // a report forbids it
		}
	}
}

// Waits for a view that another server has and this one has not.
const (
	pollFirst = 100 * time.Millisecond // the view leader is pushing it, most likely
	needMax   = 10 * time.Second

	fetchTimeout = 5 * time.Second // of asking another server once
)

// Need returns once the lanes have a view of that epoch or higher, or find it before
// whatever they are given next: they drop messages of terms to come. When the view
// leader does not bring it, the server at addr, which has it, is asked.
func (vs *Views) Need(ctx context.Context, epoch uint64, addr string) error {
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
			vs.m.c.Logger.Debug("no view from the sender of a newer frame", "addr", addr, "err", err)
			continue
		}
		if v != nil {
			vs.Offer(ctx, v)
		}
	}
}

// await waits for an epoch for a while.
func (vs *Views) await(ctx context.Context, epoch uint64, wait time.Duration) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		adopted := vs.Next()
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
func (vs *Views) fetch(ctx context.Context, addr string) (*ring.View, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	c, err := wire.Dial(ctx, addr, vs.m.c.Dial, wire.DefaultLimits)
	if err != nil {
		return nil, err
	}
	defer c.Close() // used for one question
	base := vs.View()
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
