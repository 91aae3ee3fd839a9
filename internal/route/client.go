package route

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"viewring/internal/wire"
	"viewring/ring"
)

// DialFunc opens a connection; (*net.Dialer).DialContext is the default.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// Options say where the cluster is. Leaders or Servers must name somebody. They are
// client.Options, which convert to them.
type Options struct {
	Leaders []string // the view leader's addresses
	Servers []string // servers to ask when no view leader answers
	Dialer  DialFunc // default: net.Dialer
	Logger  *slog.Logger
	// ViewCache is the file that keeps the last view for when the view leader
	// is gone. "" is one below the user's cache folder, NoViewCache is none.
	ViewCache string
	// ConnectTimeout bounds how long Open tries to find anybody. Default 3 s.
	ConnectTimeout time.Duration
	// Persist makes operations wait, until their contexts end, for servers to
	// return to a partition that nobody serves, or that has too few copies for a
	// write and gets no more. Without it they fail at once, with ErrUnavailable
	// or ErrTooFewCopies.
	Persist bool
}

// Client carries requests to one cluster. Any number of goroutines may use it.
type Client struct {
	opts     Options
	id       [16]byte
	leader   *wire.Leader
	pool     *pool
	views    *views
	flights  flights
	marks    marks
	counters counters

	watchConns *watchConns
	running    context.Context // until Close
	stop       context.CancelFunc
	ended      sync.WaitGroup
}

// New returns a Client that has not looked for the cluster: it may be asked for its
// Leader, and what that knows.
func New(opts Options) *Client {
	setDefaults(&opts)
	c := &Client{opts: opts, running: context.Background(), stop: func() {}}
	c.watchConns = newWatchConns(c)
	_, _ = rand.Read(c.id[:]) // never fails
	c.views = newViews(c.flights.reroute)
	c.pool = newPool(opts.Dialer, c.greet)
	c.leader = wire.NewLeader(opts.Leaders, opts.Dialer)
	return c
}

// Open finds the cluster and returns a Client for it. Close it after use.
func Open(ctx context.Context, opts Options) (*Client, error) {
	if len(opts.Leaders)+len(opts.Servers) == 0 {
		return nil, errors.New("open: neither a view leader nor a server is named")
	}
	c := New(opts)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.running, c.stop = run, stop
	if err := c.start(ctx); err != nil {
		_ = c.Close()
		k := ErrUnreachable
		if wire.IsLockedOut(err) {
			k = ErrRefused
		}
		return nil, &Error{Op: "find the cluster", Kind: k, Last: err, Ended: endedUnanswered(ctx, k)}
	}
	if len(opts.Leaders) > 0 {
		c.ended.Go(func() { c.watch(run) })
	}
	c.ended.Go(func() { c.keep(run) })
	return c, nil
}

func setDefaults(o *Options) {
	if o.Dialer == nil {
		o.Dialer = (&net.Dialer{}).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ViewCache == "" {
		o.ViewCache = defaultViewCache(slices.Concat(o.Leaders, o.Servers))
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 3 * time.Second
	}
}

// Close ends the Client. Operations under way fail.
func (c *Client) Close() error {
	c.stop()
	c.watchConns.close()
	_ = c.leader.Close() // nobody waits for its answers any more
	c.ended.Wait()
	c.pool.close()
	return nil
}

// View returns the newest view that the client knows. It must not be modified.
func (c *Client) View() *ring.View { return c.views.view() }

// ViewChanged returns a channel that is closed when a newer view than v is known.
func (c *Client) ViewChanged(v *ring.View) <-chan struct{} {
	s := c.views.current.Load()
	if s.view != v {
		over := make(chan struct{})
		close(over)
		return over
	}
	return s.changed
}

// serverAddrs lists the addresses to ask for a view, in random order: the
// members that should be up, then the seeds.
func (c *Client) serverAddrs() []string {
	var addrs []string
	if v := c.views.view(); v != nil {
		for i := range v.Members {
			if m := &v.Members[i]; m.Up {
				addrs = append(addrs, m.Addr)
			}
		}
		mathrand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	}
	return append(addrs, c.opts.Servers...)
}

// jitter spreads d over [d/2, d*3/2), so that clients do not retry in step.
func jitter(d time.Duration) time.Duration { return d/2 + mathrand.N(d+1) }

// plain drops the wrapping of a context's end: "timed out" is what people read.
func plain(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return err
}
