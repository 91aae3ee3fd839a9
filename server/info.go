package server

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"viewring/internal/wire"
	"viewring/server/redis"
	"viewring/viewleader/vocab"
)

// redisVersion is the version of Redis whose replies these are.
const redisVersion = "7.0.15"

func (c *conn) sayTime([][]byte) wire.Value {
	now := time.Now().UnixMicro()
	return redis.Array(redis.Text(strconv.FormatInt(now/1e6, 10)), redis.Text(strconv.FormatInt(now%1e6, 10)))
}

// infoSections are those of INFO, in their order.
var infoSections = []struct {
	name string
	text func(c *conn) string
}{
	{"Server", (*conn).infoServer},
	{"Clients", func(c *conn) string {
		return fmt.Sprintf("connected_clients:%d\r\nmaxclients:%d\r\n", c.s.conns.Load(), c.s.opts.Bounds.Connections)
	}},
	{"Memory", func(c *conn) string {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		t := c.s.stats()
		return fmt.Sprintf("used_memory:%d\r\nused_memory_rss:%d\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"+
			"memory_budget:%d\r\nmemory_index:%d\r\nmemory_items:%d\r\nmemory_items_max:%d\r\nmemory_buffers:%d\r\nmemory_heap_limit:%d\r\n"+
			"requests_memory:%d\r\nrequests_memory_max:%d\r\n",
			m.HeapAlloc, m.Sys, t.Memory, t.IndexBytes, t.ItemBytes, t.ItemBytesMax, c.s.budget.buffers(int64(t.IndexBytes)), c.s.budget.heap.Load(),
			t.RequestBytes, t.RequestBytesMax)
	}},
	{"Stats", func(c *conn) string { return c.s.reached.String() }},
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
	_, port := splitAddr(c.s.addr)
	up := time.Since(c.s.started)
	return fmt.Sprintf("redis_version:%s\r\nredis_mode:cluster\r\nos:%s %s\r\narch_bits:%d\r\nprocess_id:%d\r\nrun_id:%016x\r\ntcp_port:%d\r\n"+
		"server_id:%v\r\nuptime_in_seconds:%d\r\nuptime_in_days:%d\r\n",
		redisVersion, runtime.GOOS, runtime.GOARCH, strconv.IntSize, os.Getpid(), c.s.instance, port, c.s.id,
		int(up.Seconds()), int(up.Hours()/24))
}

// sayInfo is INFO [section …].
func (c *conn) sayInfo(args [][]byte) wire.Value {
	all := len(args) == 0
	wanted := make(map[string]bool)
	for _, a := range args {
		name := strings.ToLower(string(a))
		all = all || name == "all" || name == "everything" || name == "default"
		wanted[name] = true
	}
	var b strings.Builder
	for _, s := range infoSections {
		if all || wanted[strings.ToLower(s.name)] {
			if b.Len() > 0 {
				b.WriteString("\r\n")
			}
			b.WriteString("# " + s.name + "\r\n" + s.text(c))
		}
	}
	return redis.Verbatim(b.String())
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

func (c *conn) sayCommand([][]byte) wire.Value {
	all := redis.Array()
	for _, cmd := range redis.Table {
		all.Array = append(all.Array, cmd.Describe())
	}
	return all
}

func (c *conn) sayCommandCount([][]byte) wire.Value { return redis.Number(int64(len(redis.Table))) }

func (c *conn) sayCommandInfo(args [][]byte) wire.Value {
	if len(args) == 0 {
		return c.sayCommand(nil)
	}
	all := redis.Array()
	for _, a := range args {
		v := redis.Nil()
		if cmd := redis.Lookup(string(a)); cmd != nil {
			v = cmd.Describe()
		}
		all.Array = append(all.Array, v)
	}
	return all
}

func (c *conn) sayCommandDocs(args [][]byte) wire.Value {
	all := redis.Map()
	add := func(cmd *redis.Command) {
		all.Array = append(all.Array, redis.Text(cmd.Name), cmd.Document())
	}
	for _, a := range args {
		if cmd := redis.Lookup(string(a)); cmd != nil {
			add(cmd)
		}
	}
	if len(args) == 0 {
		for _, cmd := range redis.Table {
			add(cmd)
		}
	}
	return all
}

// sayCommandList is COMMAND LIST [FILTERBY MODULE name|ACLCAT category|PATTERN pattern].
func (c *conn) sayCommandList(args [][]byte) wire.Value {
	keep := func(*redis.Command) bool { return true }
	if len(args) > 0 {
		if len(args) != 3 || !strings.EqualFold(string(args[0]), "FILTERBY") {
			return redis.Fail(redis.ErrSyntax)
		}
		what := string(args[2])
		switch strings.ToUpper(string(args[1])) {
		case "MODULE":
			keep = func(*redis.Command) bool { return false }
		case "ACLCAT":
			keep = func(cmd *redis.Command) bool { return slices.Contains(cmd.Categories, strings.ToLower(what)) }
		case "PATTERN":
			keep = func(cmd *redis.Command) bool { return redis.Match(strings.ToLower(what), cmd.Name) }
		default:
			return redis.Fail(redis.ErrSyntax)
		}
	}
	names := redis.Array()
	for _, cmd := range redis.Table {
		for _, one := range append([]*redis.Command{cmd}, cmd.Subs...) {
			if keep(one) && (one == cmd || len(args) > 0) {
				names.Array = append(names.Array, redis.Text(one.Name))
			}
		}
	}
	return names
}

func (c *conn) sayCommandGetKeys(args [][]byte) wire.Value {
	cmd := lookUp(commands, args[0])
	if cmd == nil || cmd.row == nil {
		return redis.Fail("ERR Invalid command specified")
	}
	if len(cmd.row.Subs) > 0 && len(args) > 1 && cmd.row.Sub(args[1]) == nil {
		return redis.Fail("ERR Invalid command specified")
	}
	if cmd.row.Keys.Step == 0 {
		return redis.Fail("ERR The command has no key arguments")
	}
	if !cmd.row.Takes(len(args)) {
		return redis.Fail("ERR Invalid number of arguments specified for command")
	}
	keys := redis.Array()
	for _, k := range cmd.row.KeysOf(args[1:]) {
		keys.Array = append(keys.Array, redis.Text(string(k)))
	}
	return keys
}
