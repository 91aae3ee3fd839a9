package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/bench"
)

func (a *app) benchCmd() *cobra.Command {
	var o bench.Options
	var mode string
	var addrs []string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure sets and gets per second",
		Long: `Measure a running cluster: first sets, each acknowledged when it is on disk on
every acting replica, then gets. Each connection goes to one server and asks for
keys that it is primary of, drawn at random. Before anything is measured all of
them are set. The keys stay in the store, named bench/….

With --addr it measures anything that speaks RESP and takes every key at those
addresses. The processor time of servers is counted where they run on this
machine.`,
		Example: "  viewring bench\n  viewring bench --connections 16 --value-size 100 --mode get\n" +
			"  viewring bench --mode mix --reads 95 --pipeline 16\n  viewring bench --addr 127.0.0.1:6379 --wait 2",
		Args: wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			modes := []string{mode}
			switch mode {
			case "set", "mix", "get":
			case "both":
				modes = []string{"set", "get"}
			default:
				return usagef("--mode must be set, get, mix or both, not %q", mode)
			}
			if o.Connections < 1 || o.Keys < o.Connections || o.ValueSize < 0 || o.Duration <= 0 || o.Pipeline < 1 {
				return usagef("--connections, --pipeline and --seconds must be above 0, and --keys at least as many as connections")
			}
			if o.Reads < 0 || o.Reads > 100 || o.Wait < 0 {
				return usagef("--reads must be 0 to 100, and --wait not below 0")
			}
			if o.ExactlyOnce && len(addrs) > 0 {
				return usagef("--exactly-once is viewring's own: it goes without --addr")
			}
			return a.bench(cmd.Context(), o, modes, addrs)
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Connections, "connections", 64, "`number` of connections")
	f.IntVar(&o.ValueSize, "value-size", 1024, "`bytes` in a value")
	f.IntVar(&o.Keys, "keys", 100_000, "`number` of different keys")
	f.IntVar(&o.Pipeline, "pipeline", 1, "`number` of requests under way on each connection")
	f.IntVar(&o.Reads, "reads", 50, "in --mode mix, `percent` of the requests that are gets")
	f.IntVar(&o.Wait, "wait", 0, "let each set, or pipeline of sets, wait for this `number` of replicas: Redis's WAIT")
	f.BoolVar(&o.Filled, "filled", false, "the keys are there from a run before: do not set them first")
	f.BoolVar(&o.ExactlyOnce, "exactly-once", false, "give each set a request id, as viewring's own clients do, instead of a plain SET")
	f.StringSliceVar(&addrs, "addr", nil, "measure what speaks RESP at `HOST:PORT`, several with commas, instead of a cluster")
	seconds := 5.0
	f.Float64Var(&seconds, "seconds", seconds, "measure each mode for so many seconds")
	f.StringVar(&mode, "mode", "both", "set, get, mix, or both: set and get one after the other")
	cmd.PreRun = func(*cobra.Command, []string) { o.Duration = time.Duration(seconds * float64(time.Second)) }
	return cmd
}

func (a *app) openBench(ctx context.Context, o bench.Options, addrs []string) (*bench.Bench, error) {
	o.Dialer = a.dialer()
	if len(addrs) > 0 {
		return bench.NewPlain(ctx, addrs, o)
	}
	c, err := a.openCluster(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return bench.New(ctx, c.View(), o)
}

func (a *app) bench(ctx context.Context, o bench.Options, modes []string, addrs []string) error {
	b, err := a.openBench(ctx, o, addrs)
	if err != nil {
		return benchError(ctx, err)
	}
	defer b.Close()
	var results []map[string]any
	for _, mode := range modes {
		r, err := b.Run(ctx, mode)
		if err != nil {
			return benchError(ctx, err)
		}
		if !a.flags.json {
			a.printBench(mode, r)
		}
		results = append(results, map[string]any{"mode": mode, "operations": r.Operations, "errors": r.Errors, "seconds": r.Took.Seconds(), "per_second": perSecond(r),
			"p50_us": r.Percentile(50).Microseconds(), "p99_us": r.Percentile(99).Microseconds(), "p999_us": r.Percentile(99.9).Microseconds(), "max_us": r.Percentile(100).Microseconds(),
			"servers_seen": r.Servers, "server_cpu_us": micros(r, r.ServerCPU), "client_cpu_us": micros(r, r.ClientCPU)})
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "connections": o.Connections, "pipeline": o.Pipeline, "value_size": o.ValueSize, "keys": o.Keys,
			"reads": o.Reads, "results": results})
	}
	return nil
}

// benchError says so of what Ctrl-C ended.
func benchError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return codeError{exitUnknown, errors.New("bench: interrupted")}
	}
	return err
}

func perSecond(r *bench.Result) float64 { return float64(r.Operations) / r.Took.Seconds() }

// micros is a processor time per operation.
func micros(r *bench.Result, d time.Duration) float64 {
	return float64(r.PerOperation(d).Nanoseconds()) / 1000
}

func (a *app) printBench(mode string, r *bench.Result) {
	a.printf("%-4s %9.0f/s   p50 %-9s p99 %-9s p99.9 %-9s longest %-9s (%d operations, %d errors)\n", mode, perSecond(r),
		span(r.Percentile(50)), span(r.Percentile(99)), span(r.Percentile(99.9)), span(r.Percentile(100)), r.Operations, r.Errors)
	if r.Servers > 0 {
		a.printf("               processor time per operation: %.1fµs in %s, %.1fµs here\n", micros(r, r.ServerCPU), count(r.Servers, "server"), micros(r, r.ClientCPU))
	}
	if r.Errors > 0 {
		a.tell("first error: %v\n", r.First)
	}
}
