package server

import (
	"regexp"
	"strings"
	"testing"
)

// leftOut are the fields of Redis's INFO that there are none of, with why. The others are here, of the same type.
var leftOut = map[string]string{
	"^(gcc_version|multiplexing_api|atomicvar_api|monotonic_clock|executable|config_file|io_threads|hz|configured_hz|lru_clock|process_supervised)":                                            "about Redis's program",
	"^(used_memory_(peak|overhead|startup|dataset|lua|vm|scripts|functions)|number_of_|allocator_(frag|rss)|rss_overhead|mem_(not_counted|replication|total_replication|clients|cluster|aof))": "about Redis's memory: see memory_index and the like",
	"^(current_(cow|fork|save)|rdb_last_(cow|load)|aof_last_cow|aof_rewrites_consecutive|module_fork)":                                                                                         "about Redis's forks",
	"^(total_net_|instantaneous_(in|out)put|total_(reads|writes)_processed|io_threaded|reply_buffer|client_recent)":                                                                            "bytes of the network are not counted",
	"^(expired_|expire_cycle|total_eviction|current_eviction|total_active_defrag|current_active_defrag|dump_payload)":                                                                          "nothing is evicted, and what expires is deleted by the primaries' sweeps, which are not counted",
	"^(blocked_clients|clients_in_timeout_table)":   "no command holds up others",
	"^used_cpu_.*_main_thread|^cmdstat_|^latency_p": "no thread is the main one; which commands there are differs",
}

// TestInfoAsRedis: INFO has the sections and fields of Redis 7, of the same types, but for those that are left out.
func TestInfoAsRedis(t *testing.T) {
	t.Parallel()
	theirs := infoFields(t, startRedis(t))
	c := startCluster(t, 1, 16, 1)
	ours := infoFields(t, c.servers[1].Addr())
	number := regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?%?$`)
	compared := 0
next:
	for name, value := range theirs {
		for pattern := range leftOut {
			if regexp.MustCompile(pattern).MatchString(name) {
				continue next
			}
		}
		got, ok := ours[name]
		compared++
		if !ok {
			t.Errorf("INFO has no %s, Redis says %q", name, value)
		} else if number.MatchString(got) != number.MatchString(value) {
			t.Errorf("%s is %q, Redis says %q", name, got, value)
		}
	}
	if compared < 80 {
		t.Errorf("only %d fields compared", compared)
	}
}

// infoFields are the fields of INFO by name, and the sections as fields.
func infoFields(t *testing.T, addr string) map[string]string {
	t.Helper()
	v, err := ask(t, dial(t, addr), "INFO", "everything")
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(v.Text()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name != "" {
			fields[name] = value
		}
	}
	return fields
}
