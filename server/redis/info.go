package redis

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"viewring/internal/tally"
	"viewring/internal/wire"
)

// Section is a part of INFO; Text is called only where it is asked for.
type Section struct {
	Name string
	Text func() string // lines that end in \r\n
	More bool          // it is told where it is asked for by name, or all are, and not by default
}

// Info is INFO [section …] of these sections.
func Info(sections []Section, args [][]byte) wire.Value {
	usual, all := len(args) == 0, false
	wanted := make(map[string]bool)
	for _, a := range args {
		name := strings.ToLower(string(a))
		all = all || name == "all" || name == "everything"
		usual = usual || name == "default"
		wanted[name] = true
	}
	var b strings.Builder
	for _, s := range sections {
		if all || usual && !s.More || wanted[strings.ToLower(s.Name)] {
			if b.Len() > 0 {
				b.WriteString("\r\n")
			}
			b.WriteString("# " + s.Name + "\r\n" + s.Text())
		}
	}
	return Verbatim(b.String())
}

// InfoServer is the lines of INFO's first section that a server and a gateway share.
func (f *Front) InfoServer() string {
	up := f.Now().Sub(f.Started)
	return fmt.Sprintf("redis_version:%s\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:viewring\r\nredis_mode:%s\r\nos:%s\r\narch_bits:%d\r\n"+
		"process_id:%d\r\ntcp_port:%d\r\nserver_time_usec:%d\r\nuptime_in_seconds:%d\r\nuptime_in_days:%d\r\n",
		Version, f.Mode, f.System, strconv.IntSize, f.Process, f.Port, f.Now().UnixMicro(), int(up.Seconds()), int(up.Hours()/24))
}

// Human is a number of bytes as INFO tells it beside the number itself.
func Human(bytes uint64) string {
	n, unit := float64(bytes), ""
	for _, unit = range []string{"B", "K", "M", "G", "T", "P"} {
		if n < 1024 {
			break
		}
		n /= 1024
	}
	if unit == "B" {
		return fmt.Sprintf("%dB", bytes)
	}
	return fmt.Sprintf("%.2f%s", n, unit)
}

// InfoMemory is the lines of INFO memory that a server and a gateway share: bytes that live in Go's heap, that the process
// has from the system, and that the system has.
func InfoMemory(used, rss, system uint64) string {
	return fmt.Sprintf("used_memory:%d\r\nused_memory_human:%s\r\nused_memory_rss:%d\r\nused_memory_rss_human:%s\r\n"+
		"allocator_allocated:%d\r\nallocator_active:%d\r\nallocator_resident:%d\r\ntotal_system_memory:%d\r\ntotal_system_memory_human:%s\r\n"+
		"maxmemory:0\r\nmaxmemory_human:0B\r\nmaxmemory_policy:noeviction\r\nmem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%d\r\nmem_allocator:go\r\n"+
		"active_defrag_running:0\r\nlazyfree_pending_objects:0\r\nlazyfreed_objects:0\r\n",
		used, Human(used), rss, Human(rss), used, rss, rss, system, Human(system), float64(rss)/float64(max(1, used)), int64(rss)-int64(used))
}

// InfoCPU is INFO cpu: the processor time of the process.
func InfoCPU(user, system time.Duration) string {
	return fmt.Sprintf("used_cpu_sys:%.6f\r\nused_cpu_user:%.6f\r\nused_cpu_sys_children:0.000000\r\nused_cpu_user_children:0.000000\r\n", system.Seconds(), user.Seconds())
}

// InfoReplication is the lines of INFO replication that monitors read. Every server is a master of some partitions, and others
// that it reaches have the copies; it has no offset, because each partition has its own log.
func InfoReplication(others int, runID string) string {
	return fmt.Sprintf("role:master\r\nconnected_slaves:%d\r\nmaster_failover_state:no-failover\r\nmaster_replid:%s\r\nmaster_replid2:%040d\r\n"+
		"master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\nrepl_backlog_size:0\r\nrepl_backlog_first_byte_offset:0\r\nrepl_backlog_histlen:0\r\n", others, runID, 0)
}

// InfoNever is the lines of INFO stats about what does not happen here: nothing is evicted, no process is forked, no replica
// is synced as a whole.
const InfoNever = "sync_full:0\r\nsync_partial_ok:0\r\nsync_partial_err:0\r\nevicted_keys:0\r\nevicted_clients:0\r\nlatest_fork_usec:0\r\ntotal_forks:0\r\n" +
	"migrate_cached_sockets:0\r\nslave_expires_tracked_keys:0\r\nactive_defrag_hits:0\r\nactive_defrag_misses:0\r\nactive_defrag_key_hits:0\r\nactive_defrag_key_misses:0\r\n" +
	"pubsubshard_channels:0\r\nunexpected_error_replies:0\r\n"

// InfoStats is the lines of INFO stats that are about commands.
func (m *Monitor) InfoStats() string {
	t := m.Totals()
	return fmt.Sprintf("total_commands_processed:%d\r\ninstantaneous_ops_per_sec:%d\r\nkeyspace_hits:%d\r\nkeyspace_misses:%d\r\ntotal_error_replies:%d\r\n",
		t.Commands, m.rate(t.Commands), t.Hits, t.Misses, t.Errors)
}

// rateSpan is how long ago the count was taken, at least, that rate compares with.
const rateSpan = time.Second

// rate is how many commands there were in a second lately, at least since the last look.
func (m *Monitor) rate(commands uint64) uint64 {
	m.lately.Lock()
	defer m.lately.Unlock()
	l, now := &m.lately, m.now()
	switch since := now.Sub(l.at); {
	case l.at.IsZero():
		l.at, l.commands = now, commands
	case since >= rateSpan:
		l.rate = uint64(float64(commands-l.commands) / since.Seconds())
		l.at, l.commands = now, commands
	}
	return l.rate
}

// InfoCommands is INFO commandstats. Commands that were refused before they were begun are
// apart from those that failed.
func (m *Monitor) InfoCommands() string {
	var b strings.Builder
	m.Each(func(name string, c *tally.OpCounts) {
		refused, failed := uint64(0), uint64(0)
		for e := endedErrors; int(e) < EndedCount; e++ {
			switch e.Code() {
			case wire.CodeMoved, wire.CodeNoAuth, wire.CodeBusy, wire.CodeUnavailable, wire.CodeClusterDown, wire.CodeNotEnoughCopies, wire.CodeReadOnly:
				refused += c.Outcomes[e]
			default:
				failed += c.Outcomes[e]
			}
		}
		usec := c.Times.Sum / 1000
		fmt.Fprintf(&b, "cmdstat_%s:calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d\r\n",
			name, c.Count(), usec, float64(c.Times.Sum)/1000/float64(c.Count()), refused, failed)
	})
	return b.String()
}

// InfoErrors is INFO errorstats.
func (m *Monitor) InfoErrors() string {
	var b strings.Builder
	total := m.ops.Total()
	for e := endedErrors; int(e) < EndedCount; e++ {
		if n := total[e]; n > 0 {
			fmt.Fprintf(&b, "errorstat_%s:count=%d\r\n", e.Code(), n)
		}
	}
	return b.String()
}

// InfoLatency is INFO latencystats: the bounds of the buckets of LATENCY HISTOGRAM.
func (m *Monitor) InfoLatency() string {
	var b strings.Builder
	m.Each(func(name string, c *tally.OpCounts) {
		fmt.Fprintf(&b, "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f\r\n", name, c.Times.Quantile(0.5), c.Times.Quantile(0.99), c.Times.Quantile(0.999))
	})
	return b.String()
}

// InfoSections are those of INFO that follow from the Monitor.
func (m *Monitor) InfoSections() []Section {
	return []Section{
		{Name: "Modules", Text: func() string { return "" }},
		{Name: "Commandstats", Text: m.InfoCommands, More: true},
		{Name: "Errorstats", Text: m.InfoErrors},
		{Name: "Latencystats", Text: m.InfoLatency, More: true},
	}
}
