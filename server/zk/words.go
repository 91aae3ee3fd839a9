package zk

import (
	"fmt"
	"strings"
)

// versionText is what tools read where ZooKeeper tells its version: the oldest one whose clients find all
// that they may ask for here.
const versionText = "3.6.0-viewring, built on 01/01/2020 00:00 UTC"

// words answer the four-letter words, by their names. init fills it: what some of them say of connections refers to
// this map again.
var words map[string]func(f *Front) string

func init() {
	words = map[string]func(f *Front) string{
		"ruok": func(*Front) string { return "imok" },
		"isro": func(*Front) string { return "rw" },
		"envi": func(*Front) string { return "Environment:\nzookeeper.version=" + versionText + "\n" },
		"srvr": (*Front).sayServer,
		"stat": (*Front).sayStat,
		"mntr": (*Front).sayMonitor,
	}
}

// latency is the shortest, the mean and the longest time that requests took, ms. The
// shortest is not counted.
func (s *stats) latency() (mean float64, longest int64) {
	if n := s.latencyCount.Load(); n > 0 {
		mean = float64(s.latencySum.Load()) / float64(n) / 1000
	}
	return mean, s.latencyMax.Load() / 1000
}

// sayServer is srvr. Nobody counts the nodes.
func (f *Front) sayServer() string { return "Zookeeper version: " + versionText + "\n" + f.figures() }

func (f *Front) figures() string {
	s := &f.stats
	mean, longest := s.latency()
	return fmt.Sprintf("Latency min/avg/max: 0/%.0f/%d\nReceived: %d\nSent: %d\nConnections: %d\nOutstanding: %d\nZxid: 0x%x\nMode: standalone\nNode count: 0\n",
		mean, longest, s.received.Load(), s.sent.Load(), s.connected.Load(), s.outstanding.Load(), s.zxid.Load())
}

// sayStat is stat: srvr with a line for each client.
func (f *Front) sayStat() string {
	var b strings.Builder
	b.WriteString("Zookeeper version: " + versionText + "\nClients:\n")
	f.mu.Lock()
	for c := range f.mu.conns {
		fmt.Fprintf(&b, " /%s[1](queued=%d,recved=%d,sent=%d)\n", c.nc.RemoteAddr(), c.line.length(), c.received.Load(), c.sent.Load())
	}
	f.mu.Unlock()
	b.WriteString("\n" + f.figures())
	return b.String()
}

// sayMonitor is mntr.
func (f *Front) sayMonitor() string {
	s := &f.stats
	mean, longest := s.latency()
	var b strings.Builder
	fmt.Fprintf(&b, "zk_version\t%s\nzk_server_state\tstandalone\nzk_avg_latency\t%.3f\nzk_max_latency\t%d\nzk_min_latency\t0\n", versionText, mean, longest)
	for _, figure := range []struct {
		name  string
		value int64
	}{
		{"packets_received", s.received.Load()}, {"packets_sent", s.sent.Load()}, {"num_alive_connections", s.connected.Load()},
		{"outstanding_requests", s.outstanding.Load()}, {"global_sessions", s.sessions.Load()}, {"watch_count", s.watches.Load()},
		{"connection_rejected", s.turnedAway.Load()}, {"stale_sessions_expired", s.expired.Load()},
		{"viewring_streams", int64(f.hub.count())}, {"viewring_failed_requests", s.failed.Load()},
		{"viewring_not_reading", s.cut.Load()}, {"viewring_refused_logins", int64(f.refused.Count())}, {"viewring_other_protocols", s.garbage.Load()},
	} {
		fmt.Fprintf(&b, "zk_%s\t%d\n", figure.name, figure.value)
	}
	return b.String()
}
