package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"viewring/client"
	"viewring/ring"
)

// Options of a run.
type Options struct {
	Connections int
	ValueSize   int // bytes
	Keys        int // different ones, named bench/…
	Duration    time.Duration
	Pipeline    int             // requests under way on each connection
	Reads       int             // percent of the requests that are gets, in mode "mix"
	Wait        int             // each set, or pipeline of them, waits for so many replicas (Redis's WAIT); 0 = none
	Dialer      client.DialFunc // makes the connections; nil: net.Dialer
	Filled      bool            // the keys have been set before
	ExactlyOnce bool            // sets carry a request id, as those of the client library do
}

// Result is what a run measured.
type Result struct {
	Operations int
	Errors     int
	First      error // of the errors
	Took       time.Duration
	ClientCPU  time.Duration // user and system, of this process
	ServerCPU  time.Duration // the same of the servers that were found on this machine
	Servers    int           // so many
	sorted     []time.Duration
}

// Percentile returns the time within which so many percent of the operations
// were answered.
func (r *Result) Percentile(percent float64) time.Duration {
	if len(r.sorted) == 0 {
		return 0
	}
	i := int(float64(len(r.sorted)) * percent / 100)
	return r.sorted[min(i, len(r.sorted)-1)]
}

// PerOperation divides a time among the operations.
func (r *Result) PerOperation(d time.Duration) time.Duration {
	return d / time.Duration(max(r.Operations, 1))
}

// Bench holds the connections of a measurement.
type Bench struct {
	opts    Options
	workers []*worker
	servers []int // process ids
	filled  bool
}

// share is the keys that are asked of one address.
type share struct {
	addr string
	keys [][]byte
}

// New connects to the servers of a cluster, which stands as a view says. Close it.
func New(ctx context.Context, v *ring.View, o Options) (*Bench, error) {
	shares := sharesOf(v, o.Keys)
	if len(shares) == 0 {
		return nil, errors.New("bench: no server has a partition")
	}
	return connect(ctx, shares, o)
}

// NewPlain connects to addresses that each take every key. Close it.
func NewPlain(ctx context.Context, addrs []string, o Options) (*Bench, error) {
	keys := make([][]byte, o.Keys)
	for i := range keys {
		keys[i] = []byte(keyName(i))
	}
	var shares []share
	for _, addr := range addrs {
		shares = append(shares, share{addr: addr, keys: keys})
	}
	return connect(ctx, shares, o)
}

func connect(ctx context.Context, shares []share, o Options) (*Bench, error) {
	b := &Bench{opts: o}
	for i := range o.Connections {
		s := shares[i%len(shares)]
		w, err := dial(ctx, s, &b.opts)
		if err != nil {
			b.Close()
			return nil, fmt.Errorf("bench: %w", err)
		}
		b.workers = append(b.workers, w)
		every := (o.Connections - i%len(shares) + len(shares) - 1) / len(shares) // connections to this server
		for k := i / len(shares); k < len(s.keys); k += every {
			w.own = append(w.own, s.keys[k])
		}
	}
	var addrs []string
	for _, s := range shares {
		addrs = append(addrs, s.addr)
	}
	b.servers = listeners(addrs)
	return b, nil
}

// Close closes the connections.
func (b *Bench) Close() {
	for _, w := range b.workers {
		_ = w.conn.Close() // measured already
	}
}

// Run measures one mode: set, get or mix. Keys are drawn at random; before the
// first run all of them are set, so that sets replace values and gets find some.
func (b *Bench) Run(ctx context.Context, mode string) (*Result, error) {
	if !b.filled && !b.opts.Filled {
		b.each(func(w *worker) { w.fill(ctx) })
		b.filled = true
	}
	reads := map[string]int{"set": 0, "get": 100, "mix": b.opts.Reads}[mode]
	client, servers := cpuOfSelf(), cpuOf(b.servers)
	began := time.Now()
	until := began.Add(b.opts.Duration)
	b.each(func(w *worker) { w.run(ctx, reads, until) })
	r := &Result{Took: time.Since(began), ClientCPU: cpuOfSelf() - client}
	for pid, now := range cpuOf(b.servers) {
		if before, known := servers[pid]; known { // and it has run all the time
			r.ServerCPU += now - before
			r.Servers++
		}
	}
	for _, w := range b.workers {
		r.Errors += w.errors
		if r.First == nil {
			r.First = w.first
		}
		r.sorted = append(r.sorted, w.took...)
	}
	r.Operations = len(r.sorted)
	slices.Sort(r.sorted)
	return r, ctx.Err()
}

func (b *Bench) each(do func(*worker)) {
	var running sync.WaitGroup
	for _, w := range b.workers {
		running.Go(func() { do(w) })
	}
	running.Wait()
}

func keyName(i int) string { return fmt.Sprintf("bench/%d", i) }

// sharesOf sorts the keys by the servers that are primaries for them.
func sharesOf(v *ring.View, keys int) []share {
	byServer := make(map[ring.ServerID]*share)
	for i := range keys {
		key := keyName(i)
		p := ring.PartitionOf(ring.SlotOf(key), len(v.Partitions))
		m := v.Member(v.Partitions[p].Primary())
		if m == nil {
			continue
		}
		if byServer[m.ID] == nil {
			byServer[m.ID] = &share{addr: m.Addr}
		}
		byServer[m.ID].keys = append(byServer[m.ID].keys, []byte(key))
	}
	var shares []share
	for i := range v.Members {
		if s := byServer[v.Members[i].ID]; s != nil {
			shares = append(shares, *s)
		}
	}
	return shares
}
