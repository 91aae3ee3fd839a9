// Command peers measures viewring beside Redis, etcd, NATS, Olric and the least that its engine and
// network cost (floor), three copies each, on this machine and in the same run, and
// prints the medians as a table. It also draws how long sets take while a server is
// killed and another joins. Run it by run.sh.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	viewring string        // the binary
	out      string        // folder for what is written
	runs     int           // of which the medians are printed
	span     time.Duration // of each measurement
	keys     int

	overwrite time.Duration // of goals, as what follows
	idle      time.Duration
	many      int

	turns bool   // of the measurement of rebalancing
	rows  string // of ZooKeeper's clients: the measurements whose names have it
}

// members are what this program runs as when it is started by itself, by the first
// argument.
var members = map[string]func(args []string){
	etcdMember:  runEtcdMember,
	natsMember:  runNATSMember,
	olricMember: runOlricMember,
	floorMember: runFloorMember,
}

// measuredSystems are what is measured, the first beside the others.
var measuredSystems = []starter{
	{"viewring", "viewring", startViewring},
	{"redis", "Redis 7, appendfsync always, WAIT 2", startRedis},
	{"etcd", "etcd", startEtcd},
	{"nats", "NATS JetStream KV, R3, sync always", startNATS},
	{"olric", "Olric, 3 replicas, write quorum 2, memory only", startOlric},
	{"floor", "engine and network alone", startFloor},
}

func main() {
	if len(os.Args) > 1 && members[os.Args[1]] != nil {
		members[os.Args[1]](os.Args[2:])
		return
	}
	var o options
	flag.StringVar(&o.viewring, "viewring", "", "`path` of the viewring binary")
	flag.StringVar(&o.out, "out", ".", "write table.md and timeline.svg into this `folder`")
	flag.IntVar(&o.runs, "runs", 3, "measure so many `times`")
	flag.DurationVar(&o.span, "span", 3*time.Second, "measure each row for so long")
	flag.IntVar(&o.keys, "keys", 100_000, "`number` of different keys")
	only := flag.String("only", "", "only these `systems`, with commas: viewring, redis, etcd, nats, olric, floor or timeline")
	goals := flag.Bool("goals", false, "measure disks, memory and idleness instead, and write goals.md")
	flag.DurationVar(&o.overwrite, "overwrite", time.Minute, "with -goals, overwrite the keys for so long")
	flag.DurationVar(&o.idle, "idle", 10*time.Second, "with -goals, watch idle servers for so long")
	flag.IntVar(&o.many, "many", 1_000_000, "with -goals, `number` of keys of the large case; 0: leave it out")
	locks := flag.Bool("locks", false, "measure locks, beside etcd alone, and write locks.md")
	zooKeeper := flag.Bool("zookeeper", false, "measure ZooKeeper's clients, beside ZooKeeper alone, and write zookeeper.md")
	records := flag.Bool("records", false, "measure appends of records, and write records.md")
	classic := flag.Bool("classic", false, "measure producers and consumers of records while a server is killed, and write classic.md, .csv and .svg")
	rebalance := flag.Bool("rebalance", false, "measure joins, leaves, crashes and returns, and write rebalance.md and .csv")
	size := flag.Int("size", 128, "with -rebalance and -grow, so many `MiB` of values")
	flag.BoolVar(&o.turns, "turns", false, "with -rebalance, let servers copy and pause them in turns, and compare the turns")
	grow := flag.Bool("grow", false, "measure a fifth server that joins four beside a load, of viewring, Redis Cluster and Olric, and write grow.md")
	large := flag.Bool("tree", false, "measure a tree of a million nodes, beside ZooKeeper alone, and write tree.md")
	flag.StringVar(&o.rows, "rows", "", "with -zookeeper, only the measurements whose names have this `text`, and nobody is killed unless it is \"killed\"")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := os.MkdirAll(o.out, 0o755); err != nil { // before the minutes that its table takes
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
	measure := func() error { return run(ctx, &o, *only) }
	if *goals {
		measure = func() error { return runGoals(ctx, &o, *only) }
	}
	if *locks {
		measure = func() error { return runLocks(ctx, &o, *only) }
	}
	if *zooKeeper {
		measure = func() error { return runZooKeeper(ctx, &o, *only) }
	}
	if *records {
		measure = func() error { return runRecords(ctx, &o, *only) }
	}
	if *classic {
		measure = func() error { return runClassic(ctx, &o) }
	}
	if *rebalance {
		measure = func() error { return runRebalance(ctx, &o, *size) }
	}
	if *grow {
		measure = func() error { return runGrow(ctx, &o, *only, *size) }
	}
	if *large {
		measure = func() error { return runTree(ctx, &o, *only) }
	}
	if err := measure(); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options, only string) error {
	if err := tabulate(ctx, o, only, "table.md", measure); err != nil {
		return err
	}
	if only != "" && only != "timeline" {
		return nil
	}
	scratch, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	return timeline(ctx, o, filepath.Join(scratch, "timeline"))
}

// tabulate measures the systems, one after the other and over again, and writes the
// table to a file.
func tabulate(ctx context.Context, o *options, only, file string, measure func(context.Context, *options, starter, string, *table) error) error {
	scratch, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	disk, err := diskSpeed(scratch)
	if err != nil {
		return err
	}
	fmt.Println(disk)
	var names, titles []string
	for _, s := range measuredSystems {
		names, titles = append(names, s.name), append(titles, s.title)
	}
	t := newTable(disk.String(), names, titles)
	for n := range o.runs {
		for _, start := range measuredSystems {
			if only != "" && !slices.Contains(strings.Split(only, ","), start.name) {
				continue
			}
			dir := filepath.Join(scratch, fmt.Sprint(start.name, n))
			if err := measure(ctx, o, start, dir, t); err != nil {
				return fmt.Errorf("%s: %w", start.name, err)
			}
			_ = os.RemoveAll(dir) // scratch
		}
	}
	text := t.String()
	fmt.Print("\n", text)
	return os.WriteFile(filepath.Join(o.out, file), []byte(text), 0o644)
}

// measure takes one run of one system.
func measure(ctx context.Context, o *options, start starter, dir string, t *table) error {
	s, err := start.start(ctx, o, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	if _, err := s.load(ctx, load{mode: "get", connections: 256, pipeline: 1, valueSize: 1024, span: time.Second / 10, fill: true}); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	t.add(s.name, "memory, MiB", float64(residentBytes(s.pids))/(1<<20))
	for _, row := range rows {
		if row.pipeline > 1 && s.noPipeline {
			continue
		}
		l := row.load
		l.span = o.span
		if err := settle(ctx); err != nil {
			return err
		}
		cpu, written := processorTime(s.pids), writtenBytes(s.pids)
		r, err := s.load(ctx, l)
		if err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		cpu, written = processorTime(s.pids)-cpu, writtenBytes(s.pids)-written
		fmt.Printf("%-9s %-18s %8.0f/s  p50 %6dµs  p99 %6dµs  %d errors\n", s.name, row.name, r.PerSecond, r.P50, r.P99, r.Errors)
		if r.Operations == 0 {
			return fmt.Errorf("%s: nothing was answered", row.name)
		}
		t.add(s.name, row.name, r.PerSecond)
		if row.details {
			t.add(s.name, row.name+", p50 µs", float64(r.P50))
			t.add(s.name, row.name+", p99 µs", float64(r.P99))
			t.add(s.name, row.name+", CPU µs of the servers", float64(cpu.Microseconds())/float64(r.Operations))
			t.add(s.name, row.name+", CPU µs of the load", r.ClientCPU)
		}
		if row.writes {
			t.add(s.name, "bytes to disk per user byte, three copies", float64(written)/float64(r.Operations)/float64(l.valueSize))
		}
		if l.valueSize > 1024 {
			t.add(s.name, row.name+", MiB/s", r.PerSecond*float64(l.valueSize)/(1<<20))
		}
	}
	return nil
}

// row is a measurement.
type row struct {
	load
	name    string
	details bool // CPU and latencies are rows too
	writes  bool // the disk's bytes are a row too
}

var rows = []row{
	{name: "set at 1", load: load{mode: "set", connections: 1, pipeline: 1, valueSize: 1024}},
	{name: "set at 64", load: load{mode: "set", connections: 64, pipeline: 1, valueSize: 1024}, details: true, writes: true},
	{name: "set at 256", load: load{mode: "set", connections: 256, pipeline: 1, valueSize: 1024}},
	{name: "get at 64", load: load{mode: "get", connections: 64, pipeline: 1, valueSize: 1024}, details: true},
	{name: "95/5 at 64", load: load{mode: "mix", reads: 95, connections: 64, pipeline: 1, valueSize: 1024}},
	{name: "set at 64 × 16", load: load{mode: "set", connections: 64, pipeline: 16, valueSize: 1024}},
	{name: "get at 64 × 16", load: load{mode: "get", connections: 64, pipeline: 16, valueSize: 1024}},
	{name: "set 64 KiB at 16", load: load{mode: "set", connections: 16, pipeline: 1, valueSize: 64 << 10, keys: 1000}},
}
