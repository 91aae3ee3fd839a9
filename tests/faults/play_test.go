package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/client"
	"viewring/tests/harness"
	"viewring/tests/history"
)

// scene is one kind of fault.
type scene struct {
	name    string
	quick   bool // played without VIEWRING_SLOW too
	servers int
	flags   []string         // of the servers
	disks   map[string]int64 // bytes of the file systems that servers get of their own, by name
	play    func(p *play)
}

// play is a scene under way.
type play struct {
	*harness.Cluster
	t     *testing.T
	load  *history.Load
	bulky map[string]string // written by fill, changed by nobody
}

// hot is a key that is asked for all the time.
const hot = "log/0"

const (
	keysOfEachSort = 3
	pace           = 10 * time.Millisecond // of each client
	opPatience     = 100 * time.Second     // longer than any fault, also where the machine has much else to do
	someOps        = 400
	doneWithin     = 3 * time.Minute // on a busy machine, too
)

// ops waits until the clients have done some more.
func (p *play) ops(n int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), doneWithin)
	defer cancel()
	if err := p.load.Wait(ctx, n); err != nil {
		p.t.Error(err)
	}
}

// What fill writes: more than a memtable holds.
const (
	bulkyKeys  = 3000
	bulkyBytes = 10_000
	fillers    = 16
)

// fill writes values that no test changes, most of which end up in tables.
func (p *play) fill() { p.fillWith(bulkyKeys, bulkyBytes) }

func (p *play) fillWith(count, bytes int) {
	p.t.Helper()
	p.bulky = make(map[string]string)
	rng := rand.NewChaCha8([32]byte{1})
	keys := make(chan string, count)
	for i := range count {
		value := make([]byte, bytes)
		_, _ = rng.Read(value) // never fails
		key := fmt.Sprintf("bulky/%d", i)
		p.bulky[key] = string(value)
		keys <- key
	}
	close(keys)
	p.each(keys, func(ctx context.Context, key string) error {
		_, err := p.Client.Set(ctx, key, []byte(p.bulky[key]), client.Always())
		return err
	})
}

// each does something with all keys, with a few at a time.
func (p *play) each(keys <-chan string, do func(ctx context.Context, key string) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), doneWithin)
	defer cancel()
	var running sync.WaitGroup
	for range fillers {
		running.Go(func() {
			for key := range keys {
				if err := do(ctx, key); err != nil {
					p.t.Errorf("%s: %v", key, err)
				}
			}
		})
	}
	running.Wait()
}

// lostBulky counts what fill wrote and is not there.
func (p *play) lostBulky() int {
	p.t.Helper()
	var lost atomic.Int64
	keys := make(chan string, len(p.bulky))
	for key := range p.bulky {
		keys <- key
	}
	close(keys)
	p.each(keys, func(ctx context.Context, key string) error {
		v, err := p.Client.Get(ctx, key)
		if err == nil && string(v.Bytes) != p.bulky[key] {
			err = errors.New("not what was written")
		}
		if err != nil {
			lost.Add(1)
		}
		return err
	})
	return int(lost.Load())
}

// row is a line of the table of results.
type row struct {
	name    string
	verdict history.Verdict
	keys    int // in the stores
	took    time.Duration
}

func (r row) String() string {
	v := r.verdict
	return fmt.Sprintf("%-34s %7d ops %7d acked writes %3d lost %4d unknown  longest without a write %-30v a read %-30v %5d keys, took %.1f s",
		r.name, v.Operations, v.Acked, v.Lost, v.Unknown, v.WriteGap, v.ReadGap, r.keys, r.took.Seconds())
}

// TestFaults plays the scenes and prints what came of each: with VIEWRING_SLOW all of them,
// and with VIEWRING_MEASURE one after the other, so that what is measured is the fault's
// doing; otherwise a few at once, for they mostly wait.
func TestFaults(t *testing.T) {
	atOnce := os.Getenv("VIEWRING_MEASURE") == ""
	if atOnce {
		t.Parallel()
	}
	var mu sync.Mutex
	var rows []row
	t.Cleanup(func() {
		var table strings.Builder
		for _, r := range rows {
			fmt.Fprintln(&table, r)
		}
		t.Logf("results\n%s", &table)
	})
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			if !s.quick {
				harness.Slow(t)
			}
			if atOnce {
				t.Parallel()
			}
			r := s.run(t)
			t.Log(r)
			mu.Lock()
			defer mu.Unlock()
			rows = append(rows, r)
		})
	}
}

func (s *scene) run(t *testing.T) row {
	began := time.Now()
	config := harness.Config{Servers: s.servers, ServerFlags: s.flags}
	if s.disks != nil {
		config.Data = smallDisks(t, s.disks)
	}
	if s.quick && harness.IsSlow() {
		config.LeaderFlags = []string{harness.UserPartitions}
	}
	p := &play{Cluster: harness.NewCluster(t, config), t: t}
	p.load = p.start()
	defer p.load.Stop() // when the test fails
	p.ops(someOps)
	s.play(p)
	p.Net.Heal()
	p.WaitBalanced()
	p.ops(someOps)
	p.load.Stop()
	r := row{name: s.name, verdict: p.judge()}
	r.keys, r.took = p.CheckCopies(), time.Since(began)
	return r
}

// start starts the clients: every other one is the library, two of which share
// the loops; the rest speak plain RESP.
func (p *play) start() *history.Load {
	libraries := []*client.Client{p.Open(), p.Open()}
	dial := (&net.Dialer{Timeout: 2 * time.Second}).DialContext
	return history.Start(p.t.Context(), history.Options{
		Seed: 1, Keys: keysOfEachSort, Pause: pace, Patience: opPatience,
		Targets: func(loop int) history.Target {
			if loop%2 == 0 {
				return &history.Library{Client: libraries[loop/2%2]}
			}
			return &history.Plain{Addrs: p.Addrs, Dial: dial, Rand: rand.New(rand.NewPCG(2, uint64(loop)))}
		},
		Probers: func() history.Target { return &history.Prober{Addrs: p.Addrs, Dial: dial} },
	})
}

// judge reads everything back and looks at what the clients saw.
func (p *play) judge() history.Verdict {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), doneWithin)
	defer cancel()
	final, err := p.load.ReadBack(ctx, func(ctx context.Context, key string) (string, bool, error) {
		v, err := p.Client.Get(ctx, key)
		if errors.Is(err, client.ErrNotFound) {
			return "", false, nil
		}
		return string(v.Bytes), true, err
	})
	if err != nil {
		p.t.Error(err)
	}
	v := p.load.History.Judge(final)
	v.Acked += len(p.bulky)
	v.Lost += p.lostBulky()
	for _, problem := range v.Problems {
		p.t.Error(problem)
	}
	if e := p.load.Errors(); len(e) > 0 {
		p.t.Errorf("clients were told %d times what they should not be, such as: %s", len(e), strings.Join(e[:min(5, len(e))], "\n"))
	}
	if v.Hard > 0 {
		p.t.Errorf("the history of %d keys was too hard to check", v.Hard)
	}
	return v
}
