package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"viewring/client"
	"viewring/internal/wire"
	"viewring/ring"
)

// Options of a run.
type Options struct {
	Connections int
	ValueSize   int
	Keys        int
	Duration    time.Duration
}

// Result is what a run measured.
type Result struct {
	Operations int
	Errors     int
	First      error // of the errors
	Took       time.Duration
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

// Bench holds the connections of a measurement.
type Bench struct {
	opts    Options
	workers []*worker
}

// New connects to the servers. Close it.
func New(ctx context.Context, c *client.Client, o Options) (*Bench, error) {
	shares := keysByServer(c.View(), o.Keys)
	if len(shares) == 0 {
		return nil, errors.New("bench: no server has a partition")
	}
	b := &Bench{opts: o}
	for i := range o.Connections {
		s := shares[i%len(shares)]
		w, err := dial(ctx, s.addr, o.ValueSize)
		if err != nil {
			b.Close()
			return nil, fmt.Errorf("bench: %w", err)
		}
		b.workers = append(b.workers, w)
		every := (o.Connections - i%len(shares) + len(shares) - 1) / len(shares) // connections to this server
		for k := i / len(shares); k < len(s.keys); k += every {
			w.keys = append(w.keys, s.keys[k])
		}
		if len(w.keys) == 0 {
			w.keys = s.keys // more connections than keys
		}
	}
	return b, nil
}

// Close closes the connections.
func (b *Bench) Close() {
	for _, w := range b.workers {
		_ = w.conn.Close() // measured already
	}
}

// keysFilled is how many keys a connection sets before gets are measured, when
// no sets were.
const keysFilled = 200

// Run measures one mode: set, get or mix. Gets ask for keys that were set.
func (b *Bench) Run(ctx context.Context, mode string) (*Result, error) {
	b.each(func(w *worker) {
		for w.written < min(keysFilled, len(w.keys)) && mode != "set" && w.first == nil {
			w.set()
		}
		w.took, w.errors = nil, 0
	})
	began := time.Now()
	until := began.Add(b.opts.Duration)
	b.each(func(w *worker) { w.run(ctx, mode, until) })
	r := &Result{Took: time.Since(began)}
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

// share is the keys of one server.
type share struct {
	addr string
	keys [][]byte
}

func keysByServer(v *ring.View, keys int) []share {
	byServer := make(map[ring.ServerID]*share)
	for i := range keys {
		key := fmt.Sprintf("bench/%d", i)
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

// worker is one connection with one request under way at a time.
type worker struct {
	conn    net.Conn
	reader  *wire.Reader
	keys    [][]byte // that it asks for
	written int      // so many of keys have been set
	next    int      // of keys to set
	id      [16]byte
	number  uint64
	value   []byte
	took    []time.Duration
	errors  int
	first   error // of the errors
	broken  bool  // the connection can't be used any more

	request, command []byte // reused
}

func dial(ctx context.Context, addr string, valueSize int) (*worker, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	w := &worker{conn: conn, reader: wire.NewReader(conn, wire.DefaultLimits), value: make([]byte, valueSize)}
	_, _ = rand.Read(w.id[:]) // never fails
	_, _ = rand.Read(w.value)
	return w, nil
}

func (w *worker) run(ctx context.Context, mode string, until time.Time) {
	random := mathrand.New(mathrand.NewPCG(mathrand.Uint64(), 0))
	stop := context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Now()) }) // a closed one needs none
	defer stop()
	_ = w.conn.SetDeadline(until.Add(10 * time.Second)) // an error shows in what follows
	for now := time.Now(); now.Before(until) && !w.broken; {
		var ok bool
		if mode == "set" || mode == "mix" && random.IntN(2) == 0 || w.written == 0 {
			ok = w.set()
		} else {
			ok = w.ask(&wire.DoRequest{Op: wire.DoGet, Key: w.keys[random.IntN(w.written)]})
		}
		then := time.Now()
		if ok {
			w.took = append(w.took, then.Sub(now))
		}
		now = then
	}
}

// set sets the next of the worker's keys.
func (w *worker) set() bool {
	w.number++
	ok := w.ask(&wire.DoRequest{Op: wire.DoSet, Key: w.keys[w.next], Value: w.value,
		Client: w.id, Number: w.number, Mark: w.number - 1, Born: time.Now().UnixMilli()})
	if ok {
		w.written = max(w.written, w.next+1)
		w.next = (w.next + 1) % len(w.keys)
	}
	return ok
}

// ask makes one operation and reports whether it was answered.
func (w *worker) ask(q *wire.DoRequest) bool {
	w.request = wire.AppendDoRequest(w.request[:0], q)
	w.command = wire.AppendCommand(w.command[:0], []byte(wire.CmdDo), w.request)
	_, err := w.conn.Write(w.command)
	if err == nil {
		var v wire.Value
		if v, err = w.reader.ReadValue(); err == nil {
			if err = v.Err(); err == nil {
				return true
			}
		} else {
			w.broken = true
		}
	} else {
		w.broken = true
	}
	w.errors++
	if w.first == nil {
		w.first = err
	}
	return false
}
