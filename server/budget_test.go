package server

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"viewring/internal/disk/crashdisk"
	"viewring/ring"
	"viewring/server/replica"
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

// TestBudgetFollowsTheIndex has keys in so many partitions that the index grows: the
// lanes keep less then, the collector is told less, and INFO and the heartbeat say so.
func TestBudgetFollowsTheIndex(t *testing.T) {
	t.Parallel()
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
			var limit int64
			l.InTurn(func(_ *replica.Core, itemBytesMax int64) { limit = itemBytesMax })
			if limit != want/int64(len(s.lanes)) {
				return false
			}
		}
		return s.lanes.ItemBytes() > 0
	})
	m := info(t, s, "memory")
	if m["memory_budget"] != 160<<20 || m["memory_items_max"] != want || m["memory_index"] != grown || m["memory_buffers"] != 160<<20-want-grown ||
		m["memory_items"] == 0 || m["memory_items"] > want || m["requests_memory_max"] != 160<<20 {
		t.Errorf("INFO memory says %v", m)
	}
	if n := percent.Load(); n < 25 || n > 400 {
		t.Errorf("the collector was told %d %%", n)
	}
	if n := told.Load(); n < 32<<20 || m["memory_heap_limit"] == 0 {
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
