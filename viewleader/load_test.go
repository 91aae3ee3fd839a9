package viewleader

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/ring"
	"viewring/viewleader/vocab"
)

// The load of BenchmarkLoad.
const (
	loadServers = 1000
	loadClients = 10_000
)

// loadChild tells the test binary to be the view leader of BenchmarkLoad.
const loadChild = "VIEWRING_LOAD_CHILD"

// TestLoadChild is no test: it is the view leader of BenchmarkLoad, in a process of
// its own, until its standard input ends.
func TestLoadChild(t *testing.T) {
	if os.Getenv(loadChild) == "" {
		t.Skip("it is started by BenchmarkLoad")
	}
	s, err := Start(t.Context(), Options{Listen: "127.0.0.1:0", Data: t.TempDir(), DownAfter: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("listens at %s\n", s.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark ends
	_ = s.Close()                        // nobody is left
}

// loadLeader is the view leader's process.
type loadLeader struct {
	addr string
	pid  int
}

func startLoadLeader(b *testing.B) loadLeader {
	b.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLoadChild$", "-test.v")
	cmd.Env = append(os.Environ(), loadChild+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close() // it ends by that
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, addr, ok := strings.Cut(lines.Text(), "listens at "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
			return loadLeader{addr, cmd.Process.Pid}
		}
	}
	b.Fatal("the view leader did not start")
	return loadLeader{}
}

// cost is the CPU time that the process has used and the memory that it holds.
func (l loadLeader) cost(b *testing.B) (cpu time.Duration, bytes uint64) {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	pages, _ := strconv.ParseUint(f[21], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, pages * uint64(os.Getpagesize())
}

// loadWaiters are connections that wait for views, as clients and servers do.
type loadWaiters struct {
	epochs []atomic.Uint64 // that each has
	conns  []net.Conn
	wg     sync.WaitGroup
}

// startLoadWaiters opens n connections that ask for what is newer than they have,
// each again as soon as it is answered.
func startLoadWaiters(b *testing.B, addr string, n int, epoch uint64) *loadWaiters {
	b.Helper()
	w := &loadWaiters{epochs: make([]atomic.Uint64, n)}
	b.Cleanup(func() {
		for _, nc := range w.conns {
			_ = nc.Close()
		}
		w.wg.Wait()
	})
	for i := range n {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		w.conns = append(w.conns, nc)
		w.epochs[i].Store(epoch)
		w.wg.Go(func() { ask(nc, &w.epochs[i]) })
	}
	return w
}

func ask(nc net.Conn, epoch *atomic.Uint64) {
	r := bufio.NewReaderSize(nc, 256)
	for {
		since := strconv.AppendUint(nil, epoch.Load(), 10)
		if _, err := nc.Write(wire.AppendCommand(nil, []byte(wire.CmdView), since, []byte("600000"))); err != nil {
			return
		}
		head, err := r.ReadString('\n')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
		if err != nil {
			return
		}
		front, err := r.Peek(40) // format, the epoch that it builds on, cluster, epoch
		if err != nil {
			return
		}
		_, skip := binary.Uvarint(front[1:])
		newer, _ := binary.Uvarint(front[1+skip+16:])
		if _, err := r.Discard(n + 2); err != nil {
			return
		}
		epoch.Store(newer)
	}
}

// all waits until everyone has an epoch.
func (w *loadWaiters) all(b *testing.B, epoch uint64) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	for i := range w.epochs {
		for w.epochs[i].Load() < epoch {
			if !wait.For(ctx, time.Millisecond) {
				b.Fatalf("waiter %d has epoch %d, not %d", i, w.epochs[i].Load(), epoch)
			}
		}
	}
}

// beatAll registers servers and keeps their heartbeats coming.
func beatAll(b *testing.B, addr string, beats *atomic.Int64) (first vocab.Register, epoch uint64) {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	b.Cleanup(func() { stop(); wg.Wait() })
	for i := range loadServers {
		l := wire.NewLeader([]string{addr}, nil)
		b.Cleanup(func() { _ = l.Close() })
		reg := vocab.Register{Store: [16]byte{byte(i), byte(i >> 8), 1}, Instance: uint64(i + 1), Incarnation: 1,
			Addr: fmt.Sprint("host:", i+1), Weight: 1, Whole: true}
		got, err := l.Register(ctx, reg)
		if err != nil {
			b.Fatal(err)
		}
		v, err := ring.DecodeView(got.View, nil)
		if err != nil {
			b.Fatal(err)
		}
		reg.ID, reg.Cluster, epoch = got.ID, v.Cluster, v.Epoch
		if i == 0 {
			first = reg
		}
		wg.Go(func() {
			tick := time.NewTicker(150 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
				if r, err := l.Heartbeat(ctx, wire.Heartbeat{ID: reg.ID, Instance: reg.Instance, Incarnation: 1}); err == nil && r.Known {
					beats.Add(1)
				}
			}
		})
	}
	return first, epoch
}

// BenchmarkLoad is a view leader, in a process of its own, with 1,000 servers that
// send heartbeats and 10,000 clients that wait for views, all on this machine. An
// operation is one change of the view, until the last waiter has it.
func BenchmarkLoad(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("it looks into /proc")
	}
	l := startLoadLeader(b)
	var beats atomic.Int64
	reg, epoch := beatAll(b, l.addr, &beats)
	_, empty := l.cost(b)
	const waiters = loadClients + loadServers
	w := startLoadWaiters(b, l.addr, waiters, epoch)
	leader := wire.NewLeader([]string{l.addr}, nil)
	defer leader.Close()

	// Heartbeats alone.
	cpu, _ := l.cost(b)
	began, beat := time.Now(), beats.Load()
	wait.For(b.Context(), 5*time.Second)
	took := time.Since(began).Seconds()
	now, full := l.cost(b)
	idleCPU, perSecond := 100*(now-cpu).Seconds()/took, float64(beats.Load()-beat)/took

	var last []time.Duration
	cpu, _ = l.cost(b)
	b.ResetTimer()
	for i := range b.N {
		reg.Zone = []string{"a", "b"}[i%2]
		began := time.Now()
		got, err := leader.Register(b.Context(), reg)
		if err != nil {
			b.Fatal(err)
		}
		w.all(b, got.Epoch)
		last = append(last, time.Since(began))
	}
	b.StopTimer()
	now, _ = l.cost(b)
	slices.Sort(last)
	b.ReportMetric(idleCPU, "idle-cpu%")
	b.ReportMetric(perSecond, "beats/s")
	b.ReportMetric(float64(full)/(1<<20), "MiB")
	b.ReportMetric(float64(full-empty)/float64(waiters)/(1<<10), "KiB/waiter")
	b.ReportMetric(float64(last[len(last)/2].Microseconds())/1e3, "ms-to-last")
	b.ReportMetric(float64(last[len(last)-1].Microseconds())/1e3, "worst-ms")
	b.ReportMetric(float64((now-cpu).Microseconds())/float64(b.N)/float64(waiters), "cpu-us/waiter")
}
