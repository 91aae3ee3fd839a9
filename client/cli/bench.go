package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/bench"
)

func (a *app) benchCmd() *cobra.Command {
	var o bench.Options
	var mode string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure sets and gets per second",
		Long: `Measure a running cluster: first sets, each acknowledged when it is on disk on
every acting replica, then gets. Each connection has one request under way at a
time. The keys stay in the store, named bench/….`,
		Example: "  viewring bench\n  viewring bench --connections 16 --value-size 100 --mode get",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			modes := []string{mode}
			switch mode {
			case "set", "mix":
			case "both":
				modes = []string{"set", "get"}
			case "get":
			default:
				return usagef("--mode must be set, get, mix or both, not %q", mode)
			}
			if o.Connections < 1 || o.Keys < 1 || o.ValueSize < 0 || o.Duration <= 0 {
				return usagef("--connections, --keys and --seconds must be above 0")
			}
			return a.bench(cmd.Context(), o, modes)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Connections, "connections", 64, "`number` of connections")
	f.IntVar(&o.ValueSize, "value-size", 1024, "`bytes` in a value")
	f.IntVar(&o.Keys, "keys", 100_000, "`number` of different keys")
	seconds := 5.0
	f.Float64Var(&seconds, "seconds", seconds, "measure each mode for so many seconds")
	f.StringVar(&mode, "mode", "both", "set, get, mix (half and half), or both one after the other")
	cmd.PreRun = func(*cobra.Command, []string) { o.Duration = time.Duration(seconds * float64(time.Second)) }
	return cmd
}

func (a *app) bench(ctx context.Context, o bench.Options, modes []string) error {
	c, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := bench.New(ctx, c, o)
	if err != nil {
		return err
	}
	defer b.Close()
	var results []map[string]any
	for _, mode := range modes {
		r, err := b.Run(ctx, mode)
		if err != nil {
			return err
		}
		perSecond := float64(r.Operations) / r.Took.Seconds()
		if !a.flags.json {
			a.printf("%-4s %9.0f/s   p50 %-9s p99 %-9s p99.9 %-9s longest %-9s (%d operations, %d errors, %d connections, %d bytes)\n", mode, perSecond,
				span(r.Percentile(50)), span(r.Percentile(99)), span(r.Percentile(99.9)), span(r.Percentile(100)), r.Operations, r.Errors, o.Connections, o.ValueSize)
			if r.Errors > 0 {
				fmt.Fprintf(a.env.Stderr, "first error: %v\n", r.First)
			}
		}
		results = append(results, map[string]any{"mode": mode, "operations": r.Operations, "errors": r.Errors, "seconds": r.Took.Seconds(), "per_second": perSecond,
			"p50_us": r.Percentile(50).Microseconds(), "p99_us": r.Percentile(99).Microseconds(), "p999_us": r.Percentile(99.9).Microseconds(), "max_us": r.Percentile(100).Microseconds()})
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "connections": o.Connections, "value_size": o.ValueSize, "keys": o.Keys, "results": results})
	}
	return nil
}
