package route

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
)

const (
	leaderPatience = 300 * time.Millisecond // before the cached view and the servers are asked instead
	pollWait       = 20 * time.Second       // how long the view leader holds a question for a newer view
	pollPauseMax   = time.Second            // between questions that fail
	serversAsked   = 3                      // at a time, when the view leader does not answer
)

// snapshot is one view as the client uses it.
type snapshot struct {
	view    *ring.View
	changed chan struct{}               // closed when a newer snapshot stands
	table   func() (*ring.Table, error) // computed when first asked for
}

func newSnapshot(v *ring.View) *snapshot {
	return &snapshot{view: v, changed: make(chan struct{}),
		table: sync.OnceValues(func() (*ring.Table, error) { return TableOf(v) })}
}

// TableOf computes the targets of a view; nil when no member is a target.
func TableOf(v *ring.View) (*ring.Table, error) {
	if !slices.ContainsFunc(v.Members, func(m ring.Member) bool { return m.Target() }) {
		return nil, nil
	}
	return ring.NewTable(v.Members, len(v.Partitions))
}

// views holds the newest view known.
type views struct {
	current atomic.Pointer[snapshot]
	trusted atomic.Bool // the cluster's id came from someone who lives, not from the file alone

	mu    sync.Mutex // serialises adopt
	onNew func(*ring.View)
}

func newViews(onNew func(*ring.View)) *views {
	s := &views{onNew: onNew}
	s.current.Store(&snapshot{changed: make(chan struct{})})
	return s
}

// view returns the newest view, or nil.
func (s *views) view() *ring.View { return s.current.Load().view }

// adopt takes v if it is newer. A view of another cluster is an error, unless
// all that is known of the cluster is a file.
func (s *views) adopt(v *ring.View) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current.Load()
	if old.view != nil && old.view.Cluster != v.Cluster {
		if s.trusted.Load() {
			return fmt.Errorf("a view of another cluster: %x, not %x", v.Cluster[:4], old.view.Cluster[:4])
		}
	} else if old.view != nil && v.Epoch <= old.view.Epoch {
		s.trusted.Store(true)
		return nil
	}
	s.trusted.Store(true)
	s.current.Store(newSnapshot(v))
	close(old.changed)
	s.onNew(v)
	return nil
}

// assume takes a view from the file: to be used until someone who lives says more.
func (s *views) assume(v *ring.View) {
	s.current.Store(newSnapshot(v))
}

// greet asks a server just connected to for its view: a server of another
// cluster at a reused address is refused before it gets any operation.
func (c *Client) greet(ctx context.Context, conn *wire.Conn) error {
	v, err := viewOf(ctx, conn, nil)
	if err != nil {
		return err
	}
	if v == nil {
		return errors.New("the server knows no view yet")
	}
	ours := c.views.view()
	if ours != nil && ours.Cluster != v.Cluster {
		return fmt.Errorf("%s belongs to another cluster: %x, not %x", conn.Addr(), v.Cluster[:4], ours.Cluster[:4])
	}
	return c.views.adopt(v)
}

// start finds a first view: from the view leader, or when it does not answer at
// once from a server; where to find servers the file or the seeds say.
func (c *Client) start(ctx context.Context) error {
	if v := loadView(c.opts.ViewCache); v != nil {
		c.views.assume(v)
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.ConnectTimeout)
	defer cancel()
	answers := make(chan error, 2)
	asked := 0
	if len(c.opts.Leaders) > 0 {
		asked++
		go func() { answers <- c.askLeader(ctx) }()
	}
	servers := func() {
		asked++
		go func() { answers <- c.askServers(ctx) }()
	}
	patience := time.NewTimer(leaderPatience)
	defer patience.Stop()
	if asked == 0 {
		servers()
	}
	elsewhere := patience.C
	var failed []error
	for {
		select {
		case <-elsewhere:
			if elsewhere = nil; asked == 1 && len(c.serverAddrs()) > 0 {
				servers()
			}
		case err := <-answers:
			if err == nil {
				return nil
			}
			failed = append(failed, err)
			if elsewhere != nil && len(failed) == asked && len(c.serverAddrs()) > 0 && len(c.opts.Leaders) > 0 {
				elsewhere = nil
				servers() // the view leader refused at once: no need to wait
			} else if len(failed) == asked {
				return errors.Join(failed...)
			}
		}
	}
}

// askLeader fetches the view from the view leader, again and again until it
// answers or ctx ends.
func (c *Client) askLeader(ctx context.Context) error {
	pause := 10 * time.Millisecond
	var last error
	for {
		v, err := c.leader.View(ctx, nil, 0)
		if err == nil && v != nil {
			return c.views.adopt(v)
		}
		if wire.IsLockedOut(err) {
			return err
		}
		if err == nil {
			err = errors.New("no view yet")
		}
		last = wire.Telling(last, err)
		if !wait.For(ctx, jitter(pause)) {
			return fmt.Errorf("view leader %s: %s", c.leaderNames(), cause(plain(last)))
		}
		pause = min(2*pause, 250*time.Millisecond)
	}
}

// askServers fetches the view from any server, likewise.
func (c *Client) askServers(ctx context.Context) error {
	var last error
	for {
		err := c.askServersOnce(ctx)
		if err == nil {
			return nil
		}
		if wire.IsLockedOut(err) {
			return err
		}
		last = wire.Telling(last, err)
		if !wait.For(ctx, jitter(200*time.Millisecond)) {
			return fmt.Errorf("servers: %s", cause(plain(last)))
		}
	}
}

// askServersOnce asks all servers known, a few at a time, until one answers with
// a view that can be adopted.
func (c *Client) askServersOnce(ctx context.Context) error {
	addrs := c.serverAddrs()
	if len(addrs) == 0 {
		return errors.New("no address known")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(addrs)) // room for all: nobody waits for the slow ones
	var next atomic.Int32
	for range min(serversAsked, len(addrs)) {
		go func() {
			for i := next.Add(1); int(i) <= len(addrs); i = next.Add(1) {
				results <- c.askServer(ctx, addrs[i-1])
			}
		}()
	}
	var last error
	for range addrs {
		err := <-results
		if err == nil {
			return nil
		}
		last = wire.Telling(last, err)
	}
	return last
}

// askServer adopts the view of the server at addr, if it is newer.
func (c *Client) askServer(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.pool.get(ctx, lane{addr: addr, number: adminLane})
	if err != nil {
		return err
	}
	v, err := viewOf(ctx, conn, c.views.view())
	if errors.Is(err, ring.ErrNeedWhole) {
		v, err = viewOf(ctx, conn, nil)
	}
	if err != nil || v == nil {
		return err
	}
	return c.views.adopt(v)
}

// watch keeps the view fresh until ctx ends: it waits at the view leader for
// newer ones.
func (c *Client) watch(ctx context.Context) {
	pause := 20 * time.Millisecond
	for ctx.Err() == nil {
		v, err := c.leader.View(ctx, c.views.view(), pollWait)
		if err == nil && v != nil {
			err = c.views.adopt(v)
		}
		if err == nil {
			pause = 20 * time.Millisecond
			continue
		}
		c.opts.Logger.Debug("watch the view", "err", err)
		wait.For(ctx, jitter(pause))
		pause = min(2*pause, pollPauseMax)
	}
}

// keep writes new views to the file, the newest of those that come together.
func (c *Client) keep(ctx context.Context) {
	var kept uint64
	for {
		s := c.views.current.Load()
		if s.view != nil && s.view.Epoch != kept && c.views.trusted.Load() {
			if err := saveView(c.opts.ViewCache, s.view); err != nil {
				c.opts.Logger.Debug("keep the view in a file", "err", err)
			}
			kept = s.view.Epoch
		}
		select {
		case <-s.changed:
			wait.For(ctx, 100*time.Millisecond)
		case <-ctx.Done():
			return
		}
	}
}
