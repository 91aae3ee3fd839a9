package server

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"viewring/internal/wire"
	"viewring/server/machine"
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
		return fmt.Sprintf("connected_clients:%d\r\ncluster_connections:%d\r\nmaxclients:%d\r\nwatches:%d\r\ntracking_clients:%d\r\n",
			c.s.frontend.Connected(), c.s.linked(), c.s.opts.Bounds.Connections, c.s.lanes.Watches(), c.s.notifier.tracker.stats().clients)
	}},
	{"Memory", func(c *conn) string {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t := c.s.stats()
		return redis.InfoMemory(m.HeapAlloc, m.Sys, uint64(machine.Memory())) + fmt.Sprintf("memory_budget:%d\r\nmemory_index:%d\r\nmemory_items:%d\r\nmemory_items_max:%d\r\nmemory_buffers:%d\r\nmemory_heap_limit:%d\r\n"+
			"requests_memory:%d\r\nrequests_memory_max:%d\r\n",
			t.Memory, t.IndexBytes, t.ItemBytes, t.ItemBytesMax, c.s.budget.Buffers(int64(t.IndexBytes)), c.s.budget.Heap(),
			t.RequestBytes, t.RequestBytesMax)
	}},
	{"Persistence", (*conn).infoPersistence},
	{"Stats", func(c *conn) string {
		reached := c.s.frontend.Reached()
		return fmt.Sprintf("total_connections_received:%d\r\n", reached.Accepted.Load()) + c.s.monitor.InfoStats() + reached.String() + redis.InfoNever + c.s.notifier.info()
	}},
	{"Replication", func(c *conn) string {
		t := c.s.stats()
		return redis.InfoReplication(c.s.linked(), c.s.runID()) + fmt.Sprintf("primary_partitions:%d\r\nbackup_partitions:%d\r\nlearner_partitions:%d\r\n", t.Primaries, t.Backups, t.Learners)
	}},
	{"CPU", func(*conn) string { return redis.InfoCPU(machine.ProcessorTime()) }},
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
	return fmt.Sprintf("%srun_id:%s\r\nserver_id:%v\r\nfile_contents_ending:%d\r\n", c.s.front.InfoServer(), c.s.runID(), c.s.id, c.s.janitor.Waiting())
}

// runID is this start of the server, in the form of Redis.
func (s *Server) runID() string { return fmt.Sprintf("%040x", s.member.Instance()) }

// linked is how many other servers this one reaches.
func (s *Server) linked() (n int) {
	for _, l := range s.links.States() {
		if l.Linked {
			n++
		}
	}
	return n
}

// infoPersistence says what is on the disk, in the words for Redis's append-only file: that is the log, its
// rewriting is collection. Nothing is ever acknowledged that is not saved.
func (c *conn) infoPersistence() string {
	t, flag := c.s.stats(), map[bool]int{true: 1}
	return fmt.Sprintf("loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\nrdb_last_save_time:%d\r\nrdb_last_bgsave_status:ok\r\n"+
		"rdb_last_bgsave_time_sec:-1\r\nrdb_current_bgsave_time_sec:-1\r\nrdb_saves:%d\r\naof_enabled:1\r\naof_rewrite_in_progress:%d\r\naof_rewrite_scheduled:0\r\n"+
		"aof_last_rewrite_time_sec:-1\r\naof_current_rewrite_time_sec:-1\r\naof_last_bgrewrite_status:ok\r\naof_rewrites:%d\r\naof_last_write_status:ok\r\n"+
		"aof_current_size:%d\r\naof_base_size:%d\r\n",
		c.s.wall()/1000, t.Checkpoints, flag[t.Collecting], t.LogFreed, t.LogDisk, t.LogLive)
}

// sayInfo is INFO [section …].
func (c *conn) sayInfo(args [][]byte) wire.Value {
	var sections []redis.Section
	for _, s := range infoSections {
		sections = append(sections, redis.Section{Name: s.name, Text: func() string { return s.text(c) }})
	}
	more := slices.Index(infoNames(), "Store")
	return redis.Info(slices.Insert(sections, more, c.s.monitor.InfoSections()...), args)
}

func infoNames() (names []string) {
	for _, s := range infoSections {
		names = append(names, s.name)
	}
	return names
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
		{"latency-monitor-threshold", strconv.FormatInt(c.s.opts.Monitor.SpikesFrom.Milliseconds(), 10)},
		{"maxclients", strconv.Itoa(c.s.opts.Bounds.Connections)},
		{"maxmemory", "0"},
		{"maxmemory-policy", "noeviction"},
		{"notify-keyspace-events", redis.NotifyEvents},
		{"port", strconv.FormatInt(port, 10)},
		{"proto-max-bulk-len", strconv.Itoa(wire.ValueBytesMax)},
		{"save", ""},
		{"slowlog-log-slower-than", strconv.FormatInt(c.s.slowerThan(), 10)},
		{"slowlog-max-len", strconv.Itoa(c.s.opts.Monitor.SlowLen)},
		{"timeout", "0"},
	}
}

// slowerThan is from when on the slow log has commands, in microseconds; -1: it has none.
func (s *Server) slowerThan() int64 {
	if s.opts.Monitor.SlowerThan < 0 {
		return -1
	}
	return s.opts.Monitor.SlowerThan.Microseconds()
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
