package server

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
)

// BenchmarkIdleWatches is what a server's memory grows by for each of 10,000 watches on keys
// that nobody changes, on one connection.
func BenchmarkIdleWatches(b *testing.B) {
	const watches = 10_000
	t := &testing.T{}
	leader := startMiniLeader(t, 1024, 1)
	defer leader.stop()
	c := &cluster{t: t, leader: leader, servers: map[ring.ServerID]*Server{}}
	o := c.options(nil)
	o.Data = b.TempDir()
	s, err := Start(context.Background(), o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c.servers[s.ID()] = s
	c.waitBalanced()
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for b.Loop() {
		w := watchesOf(b, s)
		before := heap()
		for i := range watches {
			name := fmt.Sprintf("some/key/%d", i)
			slot := ring.SlotOf(name)
			w.watch(wire.WatchRequest{ID: uint64(i), Partition: ring.PartitionOf(slot, 1024), Now: true, Space: wire.UserSpace, Slot: slot, Name: []byte(name)})
			w.reply()
			if w.told().Kind != wire.TellBegun {
				b.Fatal("a watch that does not begin")
			}
		}
		b.ReportMetric(float64(heap()-before)/watches, "bytes/watch")
		w.nc.Close()
		c.wait("no watch", func() bool { return c.watched() == 0 })
	}
}
