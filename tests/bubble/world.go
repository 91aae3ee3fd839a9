package bubble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/internal/disk/crashdisk"
	"viewring/ring"
	"viewring/server"
	"viewring/server/replica"
	"viewring/server/store"
	"viewring/tests/history"
	"viewring/viewleader"
)

// Options say what a run is like.
type Options struct {
	Seed    uint64
	Servers int           // at the start; 0: the seed decides
	Span    time.Duration // virtual, in which faults happen
	Faults  int           // in it
	Keys    int           // of each sort
	Pace    time.Duration // of each client
}

// Run is what came of a seed. Its history is judged outside the bubble: the
// search for an order is bounded by a real clock.
type Run struct {
	Load    *history.Load
	Final   map[string]string
	Counts  map[string]int // faults by kind
	Looks   map[string]int // at what was told of disks, by sort
	Told    []string       // of that, what was not true
	Problem string         // "": none, as far as one can tell without the history
	Trace   string
	Virtual time.Duration
}

const (
	partitions  = 64
	outAfter    = 30 * time.Second
	convergeMax = 3 * time.Minute // for everything to come right after the faults
	opPatience  = 2 * time.Minute
)

// world is one cluster with its clients.
type world struct {
	opts  Options
	rng   *rand.Rand
	net   *network
	start time.Time
	trace *trace

	leaders []*node // one, or a group of three
	servers []*node
	admin   *admin.Cluster // of the operator, who is outside
	load    *history.Load
	counts  map[string]int
	faults  sync.WaitGroup // under way
	told    *told
}

// trace is what happened, line by line.
type trace struct {
	mu    sync.Mutex
	start time.Time
	b     bytes.Buffer
}

func (t *trace) note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(&t.b, "%10.4f ", time.Since(t.start).Seconds())
	fmt.Fprintf(&t.b, format+"\n", args...)
}

func (t *trace) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// logger makes a node's log part of the trace.
func (t *trace) logger(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(logLines{t, name}, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

type logLines struct {
	t    *trace
	name string
}

func (l logLines) Write(b []byte) (int, error) {
	l.t.note("%-7s %s", l.name, bytes.TrimSpace(b))
	return len(b), nil
}

// node is a machine with a process on it.
type node struct {
	w     *world
	name  string
	addr  string
	drift float64       // of its monotonic clock
	skew  time.Duration // of its wall clock
	run   func(ctx context.Context, n *node, l net.Listener) error

	mu   sync.Mutex // what follows; held for moments only
	rng  *rand.Rand
	fs   *crashdisk.FS
	slow time.Duration // that a sync of this life takes at the most
	// unsynced says that its log was written to since the last sync.
	unsynced bool
	armed    *crash // happens in the middle of its process's work on the disk
	up       bool
	gone     bool // it has left the cluster
	life     int
	stop     context.CancelFunc
	ended    chan struct{}
}

func newNode(w *world, name string, run func(context.Context, *node, net.Listener) error) *node {
	n := &node{w: w, name: name, addr: name + ":1", drift: 0.97 + 0.06*w.rng.Float64(),
		skew: time.Duration(w.rng.Int64N(int64(400*time.Millisecond))) - 200*time.Millisecond, run: run, fs: crashdisk.Mem(),
		rng: rand.New(rand.NewPCG(w.opts.Seed, w.rng.Uint64()))}
	w.told.nodes.Store(name, n)
	return n
}

// begin starts the node's process, unless it runs or has left. It starts again
// by itself if it ends without being told to, as a supervisor would do.
func (n *node) begin() {
	n.mu.Lock()
	before := n.ended
	n.mu.Unlock()
	if before != nil && !n.isUp() {
		<-before // its last process, on another disk
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.armed = nil; n.up || n.gone { // a crash that did not come would come too late
		return
	}
	n.up = true
	n.life++
	n.slow = slowest[n.rng.IntN(len(slowest))]
	life := n.life
	n.w.net.revive(n.name)
	ctx, stop := context.WithCancel(context.Background())
	n.stop, n.ended = stop, make(chan struct{})
	ended, listener := n.ended, n.w.net.listen(n.name, n.addr)
	n.w.trace.note("%s starts, a sync takes up to %v", n.name, n.slow)
	go func() {
		defer close(ended)
		defer stop()
		err := n.run(ctx, n, listener)
		_ = listener.Close() // closed by its process, if that got so far
		if ctx.Err() == nil {
			n.w.faults.Go(func() { n.endedAlone(life, err) })
		}
	}()
}

// endedAlone deals with a process that ended without being told to.
func (n *node) endedAlone(life int, err error) {
	n.w.trace.note("%s ended by itself: %v", n.name, err)
	n.mu.Lock()
	same := n.life == life && n.up
	if same {
		n.up = false
		n.gone = err == nil || errors.Is(err, server.ErrLeft)
	}
	again := same && !n.gone
	n.mu.Unlock()
	if again {
		n.w.rest(time.Second)
		n.begin()
	}
}

// finish ends the process in order.
func (n *node) finish() {
	n.mu.Lock()
	if !n.up {
		n.mu.Unlock()
		return
	}
	n.up, n.armed = false, nil
	n.life++
	n.w.trace.note("%s is ended", n.name)
	n.stop()
	ended := n.ended
	n.mu.Unlock()
	<-ended
	n.w.net.crash(n.name, false) // the system closes what its process left open
}

func (n *node) isUp() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up
}

func (n *node) hasLeft() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

// instant is what the node's clocks show.
func (n *node) instant() replica.Instant {
	now := time.Now()
	return replica.Instant{Mono: time.Hour + time.Duration(float64(now.Sub(n.w.start))*n.drift), Wall: now.Add(n.skew).UnixMilli()}
}

func runLeader(ctx context.Context, n *node, l net.Listener) error {
	s, err := viewleader.Start(ctx, viewleader.Options{
		Listener: l, Data: "data", Partitions: partitions, OutAfter: outAfter, FS: n.disk(), Dial: n.w.net.dialer(n.name),
		Peers: n.w.leaderAddrs(), FlapWindow: time.Minute, FlapHold: 5 * time.Second, Now: func() time.Time { return time.Now().Add(n.skew) }, Logger: n.w.trace.logger(n.name),
	})
	if err != nil {
		return err
	}
	return s.Wait()
}

func runServer(ctx context.Context, n *node, l net.Listener) error {
	s, err := server.Start(ctx, server.Options{
		Listener: l, Data: "data", LeaderAddrs: n.w.leaderAddrs(), Lanes: 2, FS: n.disk(), Dial: n.w.net.dialer(n.name),
		Store: store.Options{SegmentBytes: segmentBytes},
		Now:   n.instant, Logger: n.w.trace.logger(n.name), Console: io.Discard,
	})
	if err != nil {
		return err
	}
	return s.Wait()
}

// rest lets time pass on the virtual clock.
func (w *world) rest(d time.Duration) { <-time.After(d) }

// Play runs one seed. It must be called in a bubble of its own, in which
// everything that it starts has ended when it returns.
func Play(opts Options) *Run {
	w := &world{opts: opts, rng: rand.New(rand.NewPCG(opts.Seed, 0x627562)), start: time.Now(), counts: make(map[string]int)}
	w.trace = &trace{start: w.start}
	w.net, w.told = newNetwork(rand.New(rand.NewPCG(opts.Seed, 0x6e6574))), newTold(w)
	w.net.hear = w.told.hear
	for i := range 1 + 2*int(opts.Seed%2) { // every other seed has a group
		w.leaders = append(w.leaders, newNode(w, fmt.Sprintf("leader%d", i+1), runLeader))
	}
	for _, n := range w.leaders {
		n.begin()
	}
	servers := opts.Servers
	if servers == 0 {
		servers = 3 + w.rng.IntN(3)
	}
	for range servers {
		w.add()
	}
	r := &Run{Counts: w.counts}
	r.Problem = w.play(r)
	w.end()
	r.Told, r.Looks = w.told.problems, w.told.looks
	r.Load, r.Trace, r.Virtual = w.load, w.trace.text(), time.Since(w.start)
	return r
}

func (w *world) add() *node {
	n := newNode(w, fmt.Sprintf("s%d", len(w.servers)+1), runServer)
	w.servers = append(w.servers, n)
	n.begin()
	return n
}

// play returns what went wrong, or "".
func (w *world) play(r *Run) string {
	var err error
	if w.admin, err = admin.Open(context.Background(), w.options()); err != nil {
		return err.Error()
	}
	defer w.admin.Close()
	if why := w.converge(); why != "" {
		return "at the start: " + why
	}
	stop, err := w.startLoad()
	if err != nil {
		return err.Error()
	}
	defer stop()
	w.disturb()
	w.trace.note("calm")
	if why := w.converge(); why != "" {
		return "after the faults: " + why
	}
	w.rest(time.Second) // of undisturbed work
	w.load.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), opPatience)
	defer cancel()
	c, err := w.open()
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	r.Final, err = w.load.ReadBack(ctx, func(ctx context.Context, key string) (string, bool, error) {
		v, err := c.Get(ctx, key)
		if errors.Is(err, client.ErrNotFound) {
			return "", false, nil
		}
		return string(v.Bytes), true, err
	})
	if err != nil {
		return err.Error()
	}
	return w.audit(ctx)
}

func (w *world) options() client.Options {
	return client.Options{Leaders: w.leaderAddrs(), Dialer: w.net.dialer(outside), ViewCache: client.NoViewCache, ConnectTimeout: time.Minute}
}

func (w *world) open() (*client.Client, error) { return client.Open(context.Background(), w.options()) }

// startLoad starts the clients, half of them the library's.
func (w *world) startLoad() (stop func(), err error) {
	var libraries []*client.Client
	for range 2 {
		c, err := w.open()
		if err != nil {
			return nil, err
		}
		libraries = append(libraries, c)
	}
	w.load = history.Start(context.Background(), history.Options{
		Seed: w.opts.Seed, Keys: w.opts.Keys, Pause: w.opts.Pace, Patience: opPatience,
		Targets: func(loop int) history.Target {
			if loop%2 == 0 {
				return &history.Library{Client: libraries[loop/2%2]}
			}
			return &history.Plain{Addrs: w.addrs, Dial: w.net.dialer(outside), Rand: rand.New(rand.NewPCG(w.opts.Seed, uint64(loop)))}
		},
		Probers: func() history.Target { return &history.Prober{Addrs: w.addrs, Dial: w.net.dialer(outside)} },
	})
	return func() {
		w.load.Stop()
		for _, c := range libraries {
			_ = c.Close() // nothing is under way
		}
	}, nil
}

func (w *world) leaderAddrs() (addrs []string) {
	for _, n := range w.leaders {
		addrs = append(addrs, n.addr)
	}
	return addrs
}

// nodes are all machines.
func (w *world) nodes() []*node { return slices.Concat(w.servers, w.leaders) }

// addrs are where servers are, or were at the start.
func (w *world) addrs() []string { return []string{"s1:1", "s2:1", "s3:1"} }

// converge waits until every partition is on exactly its targets, and everybody
// knows it.
func (w *world) converge() string {
	why := ""
	for until := time.Now().Add(convergeMax); time.Now().Before(until); w.rest(200 * time.Millisecond) {
		if why = w.unconverged(); why == "" {
			return ""
		}
	}
	return fmt.Sprintf("not converged within %v: %s", convergeMax, why)
}

func (w *world) unconverged() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := w.admin.Status(ctx)
	if err != nil {
		return err.Error()
	}
	for _, n := range w.servers {
		i := slices.IndexFunc(st.View.Members, func(m ring.Member) bool { return m.Addr == n.addr })
		if n.hasLeft() {
			continue
		}
		if i < 0 || !st.View.Members[i].Up || !st.View.Members[i].Target() && st.View.Members[i].Status != ring.Leaving {
			return fmt.Sprintf("%s is not in its place: %+v", n.name, st.View.Members)
		}
	}
	if why := st.Unbalanced(); why != "" {
		return why
	}
	g, err := admin.ViewLeaders(ctx, w.options())
	if err != nil {
		return err.Error()
	}
	if _, up := g.Majority(); up != len(w.leaders) || len(g.Members) != len(w.leaders) || !g.HasHead {
		return fmt.Sprintf("not all %d view leaders vote: %+v", len(w.leaders), g)
	}
	return ""
}

// audit looks into every store.
func (w *world) audit(ctx context.Context) string {
	a, err := w.admin.Audit(ctx)
	if err != nil {
		return err.Error()
	}
	if len(a.Problems) > 0 {
		return fmt.Sprintf("the copies of %d keys are not as they should be: %v", len(a.Problems), a.Problems[:min(3, len(a.Problems))])
	}
	if want := min(ring.Copies, len(w.admin.View().Members)); a.Copies != want*a.Keys {
		return fmt.Sprintf("%d copies of %d keys, want %d of each", a.Copies, a.Keys, want)
	}
	return ""
}

// end ends all processes, for good.
func (w *world) end() {
	var ending sync.WaitGroup
	for _, n := range w.nodes() {
		n.mu.Lock()
		n.gone = true
		n.mu.Unlock()
		ending.Go(n.finish)
	}
	ending.Wait()
	w.faults.Wait()
	w.told.examining.Wait()
}
