package server

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/ring"
)

// info returns the figures of a server's INFO by name.
func info(t *testing.T, s *Server, section string) map[string]int64 {
	t.Helper()
	v, err := ask(t, dial(t, s.Addr()), "INFO", section)
	if err != nil {
		t.Fatal(err)
	}
	figures := make(map[string]int64)
	for line := range strings.Lines(v.Text()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			figures[name] = n
		}
	}
	return figures
}

// TestBudgetShares: what the index takes is taken from the items, down to the least; the
// collector gets what Go may take, but always room above what lives.
func TestBudgetShares(t *testing.T) {
	const total = 232 << 20
	b := &budget{s: &Server{}, total: total}
	for index, want := range map[int64]int64{0: 128 << 20, 100 << 20: 48 << 20, 180 << 20: itemBytesMin, 1 << 40: itemBytesMin} {
		if got := b.itemsBeside(index); got != want {
			t.Errorf("beside an index of %d: %d bytes of items, want %d", index, got, want)
		} else if limit := b.heapLimit(index, got+bufferBytes); got > itemBytesMin && limit != total-index {
			t.Errorf("beside an index of %d and %d bytes of items Go may take %d, which is not what the budget has left", index, got, limit)
		}
	}
	for _, tt := range []struct{ index, live, want int64 }{
		{0, 10 << 20, total},
		{100 << 20, 10 << 20, 132 << 20},
		{100 << 20, 160 << 20, 232 << 20}, // more lives than the budget wants
		{1 << 40, 0, heapSlackMin},
	} {
		if got := b.heapLimit(tt.index, tt.live); got != tt.want {
			t.Errorf("an index of %d, %d alive: the limit is %d, want %d", tt.index, tt.live, got, tt.want)
		}
	}
	for live, want := range map[int64]int{0: heapPercentMax, 8 << 20: heapPercentMax, 32 << 20: 125, 128 << 20: 50, 1 << 40: 25} {
		if got := heapPercent(live); got != want {
			t.Errorf("%d alive: collected at %d %%, want %d", live, got, want)
		}
	}
	if live := liveBytes(); live < 1<<20 || live > 16<<30 {
		t.Errorf("%d bytes of this process are taken to be alive", live)
	}
}

// TestBudgetFollowsTheIndex has keys in so many partitions that the index grows: the
// lanes keep less then, the collector is told less, and INFO and the heartbeat say so.
func TestBudgetFollowsTheIndex(t *testing.T) {
	c := &cluster{t: t, leader: startMiniLeader(t, 512, 1), fs: map[ring.ServerID]*crashdisk.FS{}, servers: map[ring.ServerID]*Server{}}
	defer c.leader.stop()
	var told atomic.Int64
	o := c.options(crashdisk.Mem())
	o.Memory = 160 << 20
	o.LimitHeap = func(n int64) int64 { return told.Swap(n) }
	var percent atomic.Int64
	o.PaceHeap = func(n int) int { return int(percent.Swap(int64(n))) }
	s := c.start(o)
	defer s.Close()
	c.waitBalanced()
	began := s.store.Stats().IndexBytes
	done := make(map[ring.PartitionID]bool)
	for i := 0; len(done) < 400; i++ {
		key := fmt.Sprint("key", i)
		if p := ring.PartitionOf(ring.SlotOf(key), 512); !done[p] {
			done[p] = true
			c.set(key, "value")
		}
	}
	grown := s.store.Stats().IndexBytes
	if grown <= began {
		t.Fatalf("the index takes %d bytes, as at the start", grown)
	}
	want := (128<<20-grown)*4/5 - 32<<20
	c.wait("the lanes have their new shares", func() bool {
		for _, l := range s.lanes {
			l.turn.Lock()
			limit := l.items.limit
			l.turn.Unlock()
			if int64(limit) != want/int64(len(s.lanes)) {
				return false
			}
		}
		return s.keptBytes() > 0
	})
	m := info(t, s, "memory")
	if m["memory_budget"] != 160<<20 || m["memory_items_max"] != want || m["memory_index"] != grown || m["memory_buffers"] != 160<<20-want-grown ||
		m["memory_items"] == 0 || m["memory_items"] > want || m["requests_memory_max"] != 160<<20 {
		t.Errorf("INFO memory says %v", m)
	}
	if n := percent.Load(); n < 25 || n > heapPercentMax {
		t.Errorf("the collector was told %d %%", n)
	}
	if n := told.Load(); n < heapSlackMin || m["memory_heap_limit"] == 0 {
		t.Errorf("the collector was told %d, INFO says %d", n, m["memory_heap_limit"])
	}
	if st := s.stats(); int64(st.ItemBytesMax) != want || st.Memory != 160<<20 || int64(st.IndexBytes) != grown {
		t.Errorf("the heartbeat says %+v", st)
	}
}

// TestInfoLog: INFO says how the log stands, and so does the heartbeat.
func TestInfoLog(t *testing.T) {
	c := startCluster(t, 1, 16, 1)
	for i := range 60 {
		c.set("key", strings.Repeat(fmt.Sprint(i), 40_000)) // garbage, of several segments
	}
	s := c.servers[1]
	var m map[string]int64
	g := s.store.Stats()
	c.wait("segments were freed, and nothing goes on", func() bool {
		before := s.store.Stats()
		m = info(t, s, "store")
		g = s.store.Stats()
		return g.Freed > 0 && !g.Collecting && g == before
	})
	for name, want := range map[string]int64{
		"log_segments": int64(g.Segments), "log_disk_bytes": g.DiskBytes, "log_segments_freed": g.Freed, "log_copied_bytes": g.Copied,
		"checkpoints": g.Checkpoints, "checkpoint_bytes": g.CheckpointLen, "log_index_bytes": g.IndexBytes, "log_damage": 0,
		"log_keys": int64(g.Keys), "log_collecting": 0, "checkpointing": 0, "log_tombstone_bytes": g.Tombstones,
	} {
		if got, ok := m[name]; !ok || got != want {
			t.Errorf("INFO store: %s is %d, want %d", name, got, want)
		}
	}
	if m["log_garbage_bytes"] != m["log_disk_bytes"]-m["log_live_bytes"] || m["log_live_bytes"] < 80_000 || m["log_written_bytes"] < 4_000_000 {
		t.Errorf("INFO store says %v", m)
	}
	if st := s.stats(); int64(st.LogDisk) != g.DiskBytes || int64(st.LogFreed) != g.Freed || int64(st.CheckpointBytes) != g.CheckpointLen {
		t.Errorf("the heartbeat says %+v", st)
	}
}
