package cli

import (
	"net"
	"time"

	"github.com/spf13/cobra"
)

// MetricsOptions are the flags for the port of metrics.
type MetricsOptions struct {
	Listen string // "": none
	Pprof  bool
}

func metricsFlags(cmd *cobra.Command, o *MetricsOptions) {
	cmd.Flags().StringVar(&o.Listen, "metrics", "", "serve metrics to Prometheus, /healthz and /readyz at `HOST:PORT`")
	cmd.Flags().BoolVar(&o.Pprof, "pprof", false, "with --metrics: serve Go's profiles there, too")
}

// check fills in the host, which is this machine unless another was said.
func (o *MetricsOptions) check(insecure bool) (err error) {
	if o.Listen == "" {
		if o.Pprof {
			return usagef("--pprof needs --metrics HOST:PORT")
		}
		return nil
	}
	anywhere := insecure || !o.Pprof // profiles show, and cost, more than figures do
	if o.Listen, err = addrOf("--metrics", o.Listen); err != nil {
		return err
	}
	if !anywhere && !isLoopback(o.Listen) {
		return codeError{exitRefused, usagef("--pprof at %s would show profiles to everyone who can reach it: leave one out, or say --insecure if that is meant", o.Listen)}
	}
	return nil
}

// MonitorOptions are the flags of SLOWLOG and LATENCY.
type MonitorOptions struct {
	SlowerThan time.Duration // negative: no slow log
	SlowLen    int
	SpikesFrom time.Duration // 0: no events
}

func monitorFlags(cmd *cobra.Command, o *MonitorOptions) {
	f := cmd.Flags()
	f.DurationVar(&o.SlowerThan, "slowlog-slower-than", 100*time.Millisecond, "SLOWLOG has commands that take so long, -1ns for none")
	f.IntVar(&o.SlowLen, "slowlog-max-len", 128, "SLOWLOG keeps this `number` of them")
	f.DurationVar(&o.SpikesFrom, "latency-monitor-threshold", 0, "LATENCY has what takes so long, 0 for nothing")
}

func (o *MonitorOptions) check() error {
	if o.SlowLen < 0 || o.SlowLen > slowLenMax {
		return usagef("--slowlog-max-len must be 0 to %d", slowLenMax)
	}
	if o.SpikesFrom < 0 {
		return usagef("--latency-monitor-threshold cannot be negative")
	}
	if *o == (MonitorOptions{}) {
		o.SlowerThan = -1 // no entries are kept
	}
	return nil
}

// slowLenMax bounds what the slow log takes: about 300 bytes an entry.
const slowLenMax = 100_000

// isLoopback reports whether only this machine reaches an address.
func isLoopback(addr string) bool {
	host, _, _ := net.SplitHostPort(addr) // checked before
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
