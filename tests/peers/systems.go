package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"viewring/internal/port"
)

// load is what is asked of a system for a while.
type load struct {
	mode        string // set, get or mix
	reads       int    // percent, in a mix
	connections int
	pipeline    int
	valueSize   int
	keys        int // 0: the usual number
	span        time.Duration
	fill        bool // set all keys first
}

// result is what a load came to, as viewring bench --json has it.
type result struct {
	Operations int     `json:"operations"`
	Errors     int     `json:"errors"`
	PerSecond  float64 `json:"per_second"`
	P50        int64   `json:"p50_us"`
	P99        int64   `json:"p99_us"`
	ClientCPU  float64 `json:"client_cpu_us"`
}

// summary sums up what clients measured, each in a slice of its own; span is how long
// they went on, cpu what this process used.
func summary(took [][]time.Duration, span, cpu time.Duration) result {
	all := slices.Concat(took...)
	slices.Sort(all)
	r := result{Operations: len(all), PerSecond: float64(len(all)) / span.Seconds()}
	if len(all) > 0 {
		r.P50, r.P99 = all[len(all)/2].Microseconds(), all[len(all)*99/100].Microseconds()
		r.ClientCPU = float64(cpu.Nanoseconds()) / 1000 / float64(len(all))
	}
	return r
}

// system is one that runs.
type system struct {
	name       string
	pids       []int
	noPipeline bool
	load       func(context.Context, load) (result, error)
	stop       func()
}

// starter starts a system; title is the head of its column.
type starter struct {
	name  string
	title string
	start func(ctx context.Context, o *options, dir string) (*system, error)
}

// startWait bounds a start.
const startWait = 60 * time.Second

// process starts a child that dies with us, and returns how to end it.
func process(log string, name string, args ...string) (*exec.Cmd, func(), error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return nil, nil, err
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) // what one that was killed said stays
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(name, args...)
	cmd.Stderr = out
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	return started(cmd, out)
}

func started(cmd *exec.Cmd, out io.Closer) (*exec.Cmd, func(), error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	_ = out.Close() // the child has its own
	return cmd, func() {
		_ = cmd.Process.Signal(os.Interrupt)
		timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // however it ended
		timer.Stop()
	}, nil
}

// group is processes that end together.
type group struct {
	pids  []int
	stops []func()
}

// add starts one more; when it can't, all end.
func (g *group) add(log, name string, args ...string) error {
	cmd, stop, err := process(log, name, args...)
	if err != nil {
		g.stop()
		return err
	}
	g.pids, g.stops = append(g.pids, cmd.Process.Pid), append(g.stops, stop)
	return nil
}

func (g *group) stop() {
	for _, stop := range g.stops {
		stop()
	}
}

// asked returns what says that a member's process shall end.
func asked() <-chan os.Signal {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	return stop
}

// freeAddrs returns n addresses here that nobody listens at now.
func freeAddrs(n int) (addrs []string, err error) {
	for range n {
		addr, err := port.Free()
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// until waits for a condition.
func until(ctx context.Context, what string, done func() bool) error {
	return untilWithin(ctx, startWait, what, done)
}

// untilWithin waits for a condition for so long.
func untilWithin(ctx context.Context, most time.Duration, what string, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// settle lets what a load has left behind come to rest.
func settle(ctx context.Context) error {
	select {
	case <-time.After(300 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bench runs viewring bench.
func bench(ctx context.Context, o *options, l load, args ...string) (result, error) {
	keys := l.keys
	if keys == 0 {
		keys = o.keys
	}
	args = append(args, "bench", "--json", "--mode", l.mode, "--reads", strconv.Itoa(l.reads), "--connections", strconv.Itoa(l.connections),
		"--pipeline", strconv.Itoa(l.pipeline), "--value-size", strconv.Itoa(l.valueSize), "--keys", strconv.Itoa(keys),
		"--seconds", fmt.Sprint(l.span.Seconds()))
	if !l.fill && l.keys == 0 {
		args = append(args, "--filled")
	}
	cmd := exec.CommandContext(ctx, o.viewring, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return result{}, err
	}
	var r struct{ Results []result }
	if err := json.Unmarshal(out, &r); err != nil || len(r.Results) != 1 {
		return result{}, fmt.Errorf("bench said %q: %w", out, err)
	}
	return r.Results[0], nil
}

// startViewring starts a cluster of three.
func startViewring(ctx context.Context, o *options, dir string) (*system, error) {
	c, err := viewringUp(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	return &system{name: "viewring", pids: c.pids, stop: c.stop, load: func(ctx context.Context, l load) (result, error) {
		return bench(ctx, o, l, "--viewleader", c.Viewleader)
	}}, nil
}

// cluster is what viewring up says of itself.
type cluster struct {
	Viewleader string
	Servers    []string
	pids       []int // of the view leader and the servers
	byName     map[string]int
	stop       func()
}

func viewringUp(ctx context.Context, o *options, dir string, args ...string) (*cluster, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	said, err := os.Create(dir + ".json")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(dir + ".log")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(o.viewring, "up", "--private", "--json", "--data", dir)
	cmd.Args = append(cmd.Args, args...)
	cmd.Stdout, cmd.Stderr = said, log
	cmd, stop, err := started(cmd, log)
	if err != nil {
		return nil, err
	}
	c := &cluster{stop: stop, byName: make(map[string]int)}
	err = until(ctx, "viewring up", func() bool {
		b, _ := os.ReadFile(said.Name()) // in the making
		return json.Unmarshal(b, c) == nil
	})
	if err != nil {
		stop()
		return nil, err
	}
	for pid, args := range childrenOf(cmd.Process.Pid) {
		c.pids = append(c.pids, pid)
		c.byName[filepath.Base(args[len(args)-1])] = pid
		for i := range args {
			if args[i] == "--data" {
				c.byName[filepath.Base(args[i+1])] = pid
			}
		}
	}
	return c, nil
}

// startRedis starts a primary and two replicas, all of which sync every write
// before they answer; each set, or pipeline of sets, then waits for two replicas.
func startRedis(ctx context.Context, o *options, dir string) (*system, error) {
	addr, run, err := redisServers(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &system{name: "redis", pids: run.pids, stop: run.stop, load: func(ctx context.Context, l load) (result, error) {
		return bench(ctx, o, l, "--addr", addr, "--wait", "2")
	}}, nil
}

// redisServers starts them, and returns the address of the primary.
func redisServers(ctx context.Context, dir string) (addr string, run *group, err error) {
	run = &group{}
	var ports []string
	addrs, err := freeAddrs(3)
	if err != nil {
		return "", nil, err
	}
	for i, addr := range addrs {
		_, number, _ := net.SplitHostPort(addr) // our own
		ports = append(ports, number)
		data := filepath.Join(dir, strconv.Itoa(i))
		if err := os.MkdirAll(data, 0o755); err != nil {
			return "", nil, err
		}
		args := []string{"--port", number, "--bind", "127.0.0.1", "--dir", data, "--appendonly", "yes", "--appendfsync", "always", "--save", ""}
		if i > 0 {
			args = append(args, "--replicaof", "127.0.0.1 "+ports[0])
		}
		if err := run.add(filepath.Join(dir, "log", strconv.Itoa(i)), "redis-server", args...); err != nil {
			return "", nil, err
		}
	}
	err = until(ctx, "redis has two replicas", func() bool {
		out, _ := exec.Command("redis-cli", "-p", ports[0], "INFO", "replication").Output()
		return strings.Count(string(out), "state=online") == 2
	})
	if err != nil {
		run.stop()
		return "", nil, err
	}
	return addrs[0], run, nil
}
