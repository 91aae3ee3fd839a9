package server

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"viewring/internal/wire"
	"viewring/server/redis"
	"viewring/viewleader/vocab"
)

// infoSections are those of INFO, in their order.
var infoSections = []struct {
	name string
	text func(c *conn) string
}{
	{"Server", (*conn).infoServer},
	{"Clients", func(c *conn) string {
		return fmt.Sprintf("connected_clients:%d\r\nmaxclients:%d\r\nwatches:%d\r\ntracking_clients:%d\r\n",
			c.s.frontend.Connected(), c.s.opts.Bounds.Connections, c.s.lanes.Watches(), c.s.notifier.tracker.stats().clients)
	}},
	{"Memory", func(c *conn) string {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t := c.s.stats()
		return fmt.Sprintf("used_memory:%d\r\nused_memory_rss:%d\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"+
			"memory_budget:%d\r\nmemory_index:%d\r\nmemory_items:%d\r\nmemory_items_max:%d\r\nmemory_buffers:%d\r\nmemory_heap_limit:%d\r\n"+
			"requests_memory:%d\r\nrequests_memory_max:%d\r\n",
			m.HeapAlloc, m.Sys, t.Memory, t.IndexBytes, t.ItemBytes, t.ItemBytesMax, c.s.budget.Buffers(int64(t.IndexBytes)), c.s.budget.Heap(),
			t.RequestBytes, t.RequestBytesMax)
	}},
	{"Stats", func(c *conn) string { return c.s.frontend.Reached().String() + c.s.notifier.info() }},
	{"Persistence", func(*conn) string {
		return "loading:0\r\naof_enabled:1\r\naof_last_write_status:ok\r\n"
	}},
	{"Replication", func(c *conn) string {
		t := c.s.stats()
		return fmt.Sprintf("role:master\r\nprimary_partitions:%d\r\nbackup_partitions:%d\r\nlearner_partitions:%d\r\n", t.Primaries, t.Backups, t.Learners)
	}},
	{"Store", func(c *conn) string {
		t := c.s.stats()
		return fmt.Sprintf("keys:%d\r\nbytes:%d\r\ncorruptions:%d\r\ndisk_free:%d\r\n", t.Keys, t.Bytes, c.s.store.Corruptions(), t.DiskFree) + infoLog(&t)
	}},
	{"Cluster", func(c *conn) string {
		return fmt.Sprintf("cluster_enabled:1\r\nepoch:%d\r\n", c.view().Epoch)
	}},
	{"Keyspace", func(c *conn) string {
		n, _, err := c.countKeys()
		if err != nil || n == 0 {
			return ""
		}
		return fmt.Sprintf("db0:keys=%d,expires=0,avg_ttl=0\r\n", n)
	}},
}

// infoLog says how much of the log is needed, and what collection and checkpoints do.
func infoLog(t *vocab.ServerStats) string {
	flag := map[bool]int{true: 1}
	return fmt.Sprintf("log_keys:%d\r\nlog_segments:%d\r\nlog_disk_bytes:%d\r\nlog_live_bytes:%d\r\nlog_garbage_bytes:%d\r\nlog_tombstone_bytes:%d\r\n"+
		"log_written_bytes:%d\r\nlog_copied_bytes:%d\r\nlog_segments_freed:%d\r\nlog_collecting:%d\r\n"+
		"checkpoints:%d\r\ncheckpoint_bytes:%d\r\ncheckpointing:%d\r\nlog_index_bytes:%d\r\nlog_damage:%d\r\n",
		t.LogKeys, t.LogSegments, t.LogDisk, t.LogLive, t.LogGarbage(), t.LogTombstones,
		t.LogWritten, t.LogCopied, t.LogFreed, flag[t.Collecting],
		t.Checkpoints, t.CheckpointBytes, flag[t.Checkpointing], t.IndexBytes, t.LogDamage)
}

func (c *conn) infoServer() string {
	return fmt.Sprintf("%srun_id:%016x\r\nserver_id:%v\r\nfile_contents_ending:%d\r\n", c.s.front.InfoServer(), c.s.member.Instance(), c.s.id, c.s.janitor.Waiting())
}

// sayInfo is INFO [section …].
func (c *conn) sayInfo(args [][]byte) wire.Value {
	sections := make([]redis.Section, len(infoSections))
	for i, s := range infoSections {
		sections[i] = redis.Section{Name: s.name, Text: func() string { return s.text(c) }}
	}
	return redis.Info(sections, args)
}

// settings are what CONFIG GET tells, by name: what clients ask for and what follows
// from how a server works.
func (c *conn) settings() [][2]string {
	_, port := splitAddr(c.s.addr)
	return [][2]string{
		{"appendfsync", "always"},
		{"appendonly", "yes"},
		{"cluster-enabled", "yes"},
		{"databases", "1"},
		{"maxclients", strconv.Itoa(c.s.opts.Bounds.Connections)},
		{"maxmemory", "0"},
		{"maxmemory-policy", "noeviction"},
		{"notify-keyspace-events", redis.NotifyEvents},
		{"port", strconv.FormatInt(port, 10)},
		{"proto-max-bulk-len", strconv.Itoa(wire.ValueBytesMax)},
		{"save", ""},
		{"timeout", "0"},
	}
}

func (c *conn) sayConfigGet(args [][]byte) wire.Value {
	found := redis.Map()
	for _, kv := range c.settings() {
		if slices.ContainsFunc(args, func(pattern []byte) bool { return redis.Match(strings.ToLower(string(pattern)), kv[0]) }) {
			found.Array = append(found.Array, redis.Text(kv[0]), redis.Text(kv[1]))
		}
	}
	return found
}
