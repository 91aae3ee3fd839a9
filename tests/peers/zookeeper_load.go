package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"
)

const (
	zkClients  = 64   // at most
	zkNodes    = 100  // in a directory
	zkValue    = 1024 // bytes
	zkSession  = 10 * time.Second
	zkWarmup   = time.Second
	killWait   = 2 * time.Second // of sets before a process is killed
	afterKill  = 20 * time.Second
	killsLoad  = 16 // clients that set meanwhile
	zkBasePath = "/bench"
)

type mute struct{}

func (mute) Printf(string, ...any) {}

// zkRow is a measurement: what client n does the ith time.
type zkRow struct {
	name    string
	clients int
	do      func(c *zk.Conn, n, i int) error
}

func zkDir(n int) string     { return fmt.Sprintf("%s/c%02d", zkBasePath, n) }
func zkNode(n, i int) string { return fmt.Sprintf("%s/n%02d", zkDir(n), i%zkNodes) }

func zkRows() (rows []zkRow) {
	value := make([]byte, zkValue)
	everyone := zk.WorldACL(zk.PermAll)
	began := time.Now().UnixNano()
	set := func(c *zk.Conn, n, i int) error { _, err := c.Set(zkNode(n, i), value, -1); return err }
	for _, clients := range []int{1, zkClients} {
		at := fmt.Sprintf(" at %d", clients)
		rows = append(rows,
			zkRow{"create" + at, clients, func(c *zk.Conn, n, i int) error {
				_, err := c.Create(fmt.Sprintf("%s/m%02d/%d-%d-%d", zkBasePath, n, clients, time.Now().UnixNano()-began, i), value, 0, everyone)
				return err
			}},
			zkRow{"set" + at, clients, set},
			zkRow{"get" + at, clients, func(c *zk.Conn, n, i int) error { _, _, err := c.Get(zkNode(n, i)); return err }},
			zkRow{"list of 100" + at, clients, func(c *zk.Conn, n, _ int) error {
				names, _, err := c.Children(zkDir(n))
				if err == nil && len(names) != zkNodes {
					err = fmt.Errorf("%d children", len(names))
				}
				return err
			}})
	}
	return append(rows, zkRow{"set at 64, one directory", zkClients, func(c *zk.Conn, n, _ int) error { _, err := c.Set(zkNode(0, n), value, -1); return err }})
}

func (s *zkService) connect() (*zk.Conn, error) {
	c, events, err := zk.Connect(s.addrs, zkSession, zk.WithLogger(mute{}))
	if err != nil {
		return nil, err
	}
	over := time.After(startWait)
	for {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				go func() { // else its events are dropped, and told in the log
					for range events {
					}
				}()
				return c, nil
			}
		case <-over:
			c.Close()
			return nil, fmt.Errorf("%s: no session", s.name)
		}
	}
}

func (s *zkService) fill() error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	everyone, value := zk.WorldACL(zk.PermAll), make([]byte, zkValue)
	_, err = c.Create(zkBasePath, nil, 0, everyone)
	for n := 0; n < zkClients && err == nil; n++ {
		if _, err = c.Create(zkDir(n), nil, 0, everyone); err != nil {
			break
		}
		if _, err = c.Create(fmt.Sprintf("%s/m%02d", zkBasePath, n), nil, 0, everyone); err != nil {
			break
		}
		var ops []any
		for i := range zkNodes {
			ops = append(ops, &zk.CreateRequest{Path: zkNode(n, i), Data: value, Acl: everyone})
		}
		_, err = c.Multi(ops...)
	}
	return err
}

// open opens clients, each with a connection and session of its own.
func (s *zkService) open(n int) (clients []*zk.Conn, end func(), err error) {
	end = func() {
		for _, c := range clients {
			c.Close()
		}
	}
	for range n {
		c, err := s.connect()
		if err != nil {
			end()
			return nil, nil, err
		}
		clients = append(clients, c)
	}
	return clients, end, nil
}

// during has all clients of a row at work for a while. Any failure ends it.
func (row *zkRow) during(clients []*zk.Conn, span time.Duration) (result, error) {
	took, failed := make([][]time.Duration, len(clients)), make([]error, len(clients))
	var running sync.WaitGroup
	cpu, began := ownProcessorTime(), time.Now()
	end := began.Add(span)
	for n, c := range clients {
		running.Go(func() {
			for now, i := time.Now(), 0; now.Before(end) && failed[n] == nil; i++ {
				failed[n] = row.do(c, n, i)
				then := time.Now()
				took[n] = append(took[n], then.Sub(now))
				now = then
			}
		})
	}
	running.Wait()
	return summary(took, time.Since(began), ownProcessorTime()-cpu), errors.Join(failed...)
}

func measureZK(ctx context.Context, o *options, s *zkService, row zkRow, t *table) error {
	clients, end, err := s.open(row.clients)
	if err != nil {
		return err
	}
	defer end()
	if _, err := row.during(clients, zkWarmup); err != nil {
		return err
	}
	if err := settle(ctx); err != nil {
		return err
	}
	cpu, calls := processorTime(s.pids()), systemCalls(s.pids())
	r, err := row.during(clients, o.span)
	if err != nil {
		return err
	}
	cpu, calls = processorTime(s.pids())-cpu, systemCalls(s.pids())-calls
	fmt.Printf("%-10s %-26s %8.0f/s  p50 %6dµs  p99 %6dµs\n", s.name, row.name, r.PerSecond, r.P50, r.P99)
	t.add(s.name, row.name+", 1/s", r.PerSecond)
	if row.clients > 1 {
		t.add(s.name, row.name+", p99 µs", float64(r.P99))
		t.add(s.name, row.name+", CPU µs of the servers", float64(cpu.Microseconds())/float64(r.Operations))
		t.add(s.name, row.name+", reads and writes of the servers", float64(calls)/float64(r.Operations))
		t.add(s.name, row.name+", CPU µs of the clients", r.ClientCPU)
	}
	return nil
}

// failover kills a process while clients set, each a node in a directory of its own. The
// longest wait is that of one client between two answered sets; it sets again after an error.
func failover(ctx context.Context, s *zkService, v victim, t *table) error {
	clients, end, err := s.open(killsLoad)
	if err != nil {
		return err
	}
	defer end()
	gaps, failed := make([]time.Duration, len(clients)), make([]int, len(clients))
	value := make([]byte, zkValue)
	var running sync.WaitGroup
	over, killed := make(chan struct{}), make(chan struct{})
	for n, c := range clients {
		running.Go(func() {
			last, seen := time.Now(), false
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				case <-killed:
					seen = true
				default:
				}
				if _, err := c.Set(zkNode(n, i), value, -1); err != nil {
					failed[n]++
					continue
				}
				now := time.Now()
				if seen || isClosed(killed) {
					gaps[n] = max(gaps[n], now.Sub(last))
				}
				last = now
			}
		})
	}
	pause(ctx, killWait)
	m, err := v.find(ctx)
	if err == nil {
		fmt.Printf("%-10s %s is killed at %s\n", s.name, m.name, time.Now().UTC().Format("15:04:05.000"))
		m.kill()
		close(killed)
		pause(ctx, afterKill)
	}
	close(over)
	running.Wait()
	if err != nil {
		return err
	}
	errs := 0
	for _, f := range failed {
		errs += f
	}
	longest := slices.Max(gaps)
	fmt.Printf("%-10s %s is killed: %v, %d errors\n", s.name, v.name, longest, errs)
	t.add(s.name, v.name+" is killed: longest wait, ms", float64(longest.Milliseconds()))
	t.add(s.name, v.name+" is killed: errors", float64(errs))
	return s.revive(ctx, m)
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// runZooKeeper measures both in turns: they run all the time, and load is on one of them.
func runZooKeeper(ctx context.Context, o *options, only string) error {
	scratch, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	sync, err := syncTime(scratch)
	if err != nil {
		return err
	}
	about := fmt.Sprintf("Three servers each, which sync before they answer; an fdatasync\nof 512 bytes takes %d µs here. Values have 1 KiB.", sync.Microseconds())
	fmt.Println(about)
	var services []*zkService
	var names, titles []string
	for _, make := range []func(*options, string) (*zkService, error){viewringZK, zooKeeper} {
		s, err := make(o, filepath.Join(scratch, fmt.Sprint(len(names))))
		if err != nil {
			return err
		}
		names, titles = append(names, s.name), append(titles, s.title)
		if only != "" && only != s.name {
			continue
		}
		if err := s.start(ctx); err != nil {
			return err
		}
		defer s.stop()
		if err := s.fill(); err != nil {
			return fmt.Errorf("%s: fill: %w", s.name, err)
		}
		services = append(services, s)
	}
	t := newTable(about, names, titles)
	for n := range o.runs {
		for _, row := range zkRows() {
			if !strings.Contains(row.name, o.rows) {
				continue
			}
			turns := slices.Clone(services)
			if n%2 == 1 {
				slices.Reverse(turns)
			}
			for _, s := range turns {
				if err := measureZK(ctx, o, s, row, t); err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, row.name, err)
				}
			}
		}
	}
	for _, s := range services {
		t.add(s.name, "memory at most, all processes, MiB", float64(named(s.pids(), "status", "VmHWM"))/1024)
	}
	kills := o.runs
	if o.rows != "" && o.rows != "killed" {
		kills = 0
	}
	for range kills {
		for _, s := range services {
			for _, v := range s.victims {
				if err := failover(ctx, s, v, t); err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, v.name, err)
				}
			}
		}
	}
	text := t.String()
	fmt.Print("\n", text)
	return os.WriteFile(filepath.Join(o.out, "zookeeper.md"), []byte(text), 0o644)
}
