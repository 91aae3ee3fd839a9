package server

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/disk/crashdisk"
	"viewring/internal/wire"
	"viewring/ring"
)

// BenchmarkCluster measures durable sets and gets of 1 KiB through three servers
// in this process, on disk, by 64 clients that each wait for their answer.
func BenchmarkCluster(b *testing.B) {
	for _, clients := range []int{1, 64} {
		for _, op := range []string{"set", "get"} {
			b.Run(fmt.Sprintf("%s/clients=%d", op, clients), func(b *testing.B) { benchmarkCluster(b, op, clients) })
		}
	}
}

func benchmarkCluster(b *testing.B, op string, clients int) {
	t := &testing.T{}
	c := &cluster{t: t, leader: startMiniLeader(t, 1024, 2), fs: map[ring.ServerID]*crashdisk.FS{}, servers: map[ring.ServerID]*Server{}}
	defer c.leader.stop()
	for range 3 {
		o := c.options(nil)
		o.Data, o.Lanes = b.TempDir(), 0
		s, err := Start(context.Background(), o)
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		c.servers[s.ID()] = s
	}
	c.waitBalanced()
	v, _ := c.leader.view()
	value := make([]byte, 1024)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	const keys = 10_000
	var remaining atomic.Int64
	var running sync.WaitGroup
	var mu sync.Mutex
	var latencies []time.Duration
	load := func(ops int64, request func(rng *rand.Rand) wire.DoRequest) {
		remaining.Store(ops)
		latencies = latencies[:0]
		for n := range clients {
			running.Add(1)
			go func() {
				defer running.Done()
				rng := rand.New(rand.NewPCG(uint64(n), 1))
				conns := make(map[string]*wire.Conn)
				var mine []time.Duration
				for remaining.Add(-1) >= 0 {
					q := request(rng)
					began := time.Now()
					p := ring.PartitionOf(ring.SlotOf(string(q.Key)), len(v.Partitions))
					addr := v.Member(v.Partitions[p].Primary()).Addr
					if conns[addr] == nil {
						var err error
						if conns[addr], err = wire.Dial(context.Background(), addr, c.servers[1].opts.Dial, wire.DefaultLimits); err != nil {
							b.Error(err)
							return
						}
						defer conns[addr].Close()
					}
					if _, err := conns[addr].Do(context.Background(), []byte(wire.CmdDo), wire.AppendDoRequest(nil, &q)); err != nil {
						b.Error(err)
						return
					}
					mine = append(mine, time.Since(began))
				}
				mu.Lock()
				latencies = append(latencies, mine...)
				mu.Unlock()
			}()
		}
		running.Wait()
	}
	var number atomic.Uint64
	set := func(rng *rand.Rand) wire.DoRequest {
		n := number.Add(1)
		return wire.DoRequest{Op: wire.DoSet, Client: [16]byte{1}, Number: n, Born: time.Now().UnixMilli(), Mark: n - min(n, 1000),
			Key: fmt.Append(nil, "key", rng.IntN(keys)), Value: value}
	}
	get := func(rng *rand.Rand) wire.DoRequest {
		return wire.DoRequest{Key: fmt.Append(nil, "key", rng.IntN(keys))}
	}
	load(keys, set)
	b.ResetTimer()
	if op == "set" {
		load(int64(b.N), set)
	} else {
		load(int64(b.N), get)
	}
	b.StopTimer()
	slices.Sort(latencies)
	if n := len(latencies); n > 0 {
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "ops/s")
		b.ReportMetric(float64(latencies[n/2].Microseconds()), "p50-us")
		b.ReportMetric(float64(latencies[n*99/100].Microseconds()), "p99-us")
	}
}

// BenchmarkToldOf measures sets of one client that waits for each, while others are told of them.
func BenchmarkToldOf(b *testing.B) {
	for _, c := range []struct {
		name, begin string
		clients     int
	}{
		{"nobody", "", 0}, {"50 subscribers", "PSUBSCRIBE __keyspace@0__:k*", 50}, {"50 of other keys", "PSUBSCRIBE __keyspace@0__:other*", 50},
		{"50 that keep all", "CLIENT TRACKING ON BCAST", 50},
	} {
		b.Run(c.name, func(b *testing.B) {
			t := &testing.T{}
			cl := startCluster(t, 1, 8, 1)
			defer cl.leader.stop()
			defer cl.servers[1].Close()
			for range c.clients {
				l := listenTo(t, cl.servers[1], "3")
				defer l.nc.Close()
				l.ask(c.begin)
				go func() { _, _ = io.Copy(io.Discard, l.nc) }()
			}
			w := listenTo(t, cl.servers[1], "2")
			defer w.nc.Close()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				w.send(fmt.Sprint("SET k", i%1000, " v"))
				w.next()
			}
		})
	}
}
