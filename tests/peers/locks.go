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

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"viewring/client"
	"viewring/client/admin"
)

// locker is one client of a lock service, with a session and a connection of its own.
type locker interface {
	// pair takes a lock, waiting for it, and releases it.
	pair(ctx context.Context, lock string) error
	close()
}

// lockService is three members of one that run, and a way to ask them.
type lockService struct {
	name string
	pids []int
	stop func()
	open func(ctx context.Context, n int) (locker, error)
}

var lockServices = []struct {
	name  string
	start func(ctx context.Context, o *options, dir string) ([]*lockService, error)
}{{"viewring", viewringLocks}, {"etcd", etcdLocks}}

// lockRow is a measurement of locks.
type lockRow struct {
	name    string
	clients int
	shared  bool // all want the same lock; otherwise each has its own
}

var lockRows = []lockRow{
	{"1 client", 1, false},
	{"64 clients, a lock each", 64, false},
	{"64 clients, one lock", 64, true},
}

// lockWarmup is for connections and caches before each measurement, lockAging for
// members to be as after some time: with logs that they overwrite, not new ones.
const (
	lockWarmup = 300 * time.Millisecond
	lockAging  = 4 * time.Second
)

// runLocks measures lock get and release in turns: both services run all the time, and
// load is on one of them.
func runLocks(ctx context.Context, o *options, only string) error {
	scratch, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	sync, err := syncTime(scratch)
	if err != nil {
		return err
	}
	about := fmt.Sprintf("Three members each, which sync before they answer; an fdatasync\nof 512 bytes takes %d µs here. A pair is a lock get and its release.", sync.Microseconds())
	fmt.Println(about)
	var services []*lockService
	for _, l := range lockServices {
		if only != "" && only != l.name {
			continue
		}
		started, err := l.start(ctx, o, filepath.Join(scratch, l.name))
		if err != nil {
			return err
		}
		defer started[0].stop()
		services = append(services, started...)
	}
	for _, s := range services {
		if _, err := measured(ctx, s, lockRows[1], lockAging); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	t := newTable(about, []string{"viewring", "etcd", "etcd's leader"}, []string{"viewring", "etcd", "etcd, its leader asked directly"})
	for n := range o.runs {
		for _, row := range lockRows {
			turns := slices.Clone(services)
			if n%2 == 1 {
				slices.Reverse(turns)
			}
			for _, s := range turns {
				if err := measureLocks(ctx, o, s, row, t); err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, row.name, err)
				}
			}
		}
	}
	text := t.String()
	fmt.Print("\n", text)
	return os.WriteFile(filepath.Join(o.out, "locks.md"), []byte(text), 0o644)
}

// cost is what a row came to.
type cost struct {
	result
	servers float64 // CPU time of the members per pair, µs
}

// measured has the clients of a row take locks for a while.
func measured(ctx context.Context, s *lockService, row lockRow, span time.Duration) (c cost, err error) {
	var clients []locker
	defer func() {
		for _, l := range clients {
			l.close()
		}
	}()
	for n := range row.clients {
		l, err := s.open(ctx, n)
		if err != nil {
			return c, err
		}
		clients = append(clients, l)
	}
	if _, err := pairs(ctx, clients, row, lockWarmup); err != nil {
		return c, err
	}
	if err := settle(ctx); err != nil {
		return c, err
	}
	cpu := processorTime(s.pids)
	if c.result, err = pairs(ctx, clients, row, span); err == nil && c.Operations == 0 {
		err = errors.New("no lock was granted")
	}
	c.servers = float64((processorTime(s.pids) - cpu).Microseconds()) / float64(c.Operations)
	return c, err
}

// measureLocks takes one row of one service.
func measureLocks(ctx context.Context, o *options, s *lockService, row lockRow, t *table) error {
	c, err := measured(ctx, s, row, o.span)
	if err != nil {
		return err
	}
	fmt.Printf("%-13s %-24s %7.0f pairs/s  p50 %6dµs  p99 %6dµs  servers %5.0fµs, load %5.0fµs a pair\n",
		s.name, row.name, c.PerSecond, c.P50, c.P99, c.servers, c.ClientCPU)
	t.add(s.name, row.name+": pairs/s", c.PerSecond)
	t.add(s.name, row.name+": p50 µs", float64(c.P50))
	t.add(s.name, row.name+": p99 µs", float64(c.P99))
	t.add(s.name, row.name+": CPU µs of the servers", c.servers)
	return nil
}

// pairs has all clients take and release locks for a while. Any failure ends it.
func pairs(ctx context.Context, clients []locker, row lockRow, span time.Duration) (result, error) {
	took, failed := make([][]time.Duration, len(clients)), make([]error, len(clients))
	var running sync.WaitGroup
	cpu, began := ownProcessorTime(), time.Now()
	end := began.Add(span)
	for n, c := range clients {
		lock := "bench"
		if !row.shared {
			lock = fmt.Sprint("bench-", n)
		}
		running.Go(func() {
			for now := time.Now(); now.Before(end) && failed[n] == nil; {
				failed[n] = c.pair(ctx, lock)
				then := time.Now()
				took[n] = append(took[n], then.Sub(now))
				now = then
			}
		})
	}
	running.Wait()
	return summary(took, time.Since(began), ownProcessorTime()-cpu), errors.Join(failed...)
}

// viewringLocker is a session of viewring.
type viewringLocker struct {
	c      *client.Client
	s      *client.Session
	holder string
}

func (l *viewringLocker) pair(ctx context.Context, lock string) error {
	if _, err := l.s.LockGet(ctx, lock, l.holder, client.LockOptions{Wait: -1}); err != nil {
		return err
	}
	return l.s.LockRelease(ctx, lock, l.holder)
}

func (l *viewringLocker) close() {
	_ = l.s.Close(context.Background()) // it held nothing
	_ = l.c.Close()
}

// viewringLocks starts three view leaders.
func viewringLocks(ctx context.Context, o *options, dir string) ([]*lockService, error) {
	addrs, err := freeAddrs(3)
	if err != nil {
		return nil, err
	}
	var run group
	for i, addr := range addrs {
		data := filepath.Join(dir, fmt.Sprint("leader", i))
		if err := run.add(data+".log", o.viewring, "viewleader", "--listen", addr, "--peers", strings.Join(addrs, ","), "--data", data); err != nil {
			return nil, err
		}
	}
	opts := client.Options{Leaders: addrs, ViewCache: client.NoViewCache}
	err = until(ctx, "a head of three view leaders", func() bool {
		g, err := admin.ViewLeaders(ctx, opts)
		return err == nil && len(g.Members) == 3 && !slices.ContainsFunc(g.Members, func(m admin.ViewLeader) bool { return !m.Up })
	})
	if err != nil {
		run.stop()
		return nil, err
	}
	return []*lockService{{name: "viewring", pids: run.pids, stop: run.stop, open: func(ctx context.Context, n int) (locker, error) {
		c, err := client.Open(ctx, opts)
		if err != nil {
			return nil, err
		}
		s, err := c.OpenSession(ctx, client.SessionOptions{})
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		return &viewringLocker{c, s, fmt.Sprint("client-", n)}, nil
	}}}, nil
}

// etcdLocker is a session of etcd's.
type etcdLocker struct {
	c *clientv3.Client
	s *concurrency.Session
}

func (l *etcdLocker) pair(ctx context.Context, lock string) error {
	m := concurrency.NewMutex(l.s, lock)
	if err := m.Lock(ctx); err != nil {
		return err
	}
	return m.Unlock(ctx)
}

func (l *etcdLocker) close() {
	_ = l.s.Close() // it held nothing
	_ = l.c.Close()
}

// etcdLocks starts three members of etcd. Its clients take turns asking the members
// they are given, and followers pass commands on: asked besides is the leader alone,
// which spares that.
func etcdLocks(ctx context.Context, _ *options, dir string) ([]*lockService, error) {
	e, err := etcdUp(ctx, dir)
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context, endpoints []string) (locker, error) {
		c, err := etcdClient(endpoints)
		if err != nil {
			return nil, err
		}
		s, err := concurrency.NewSession(c, concurrency.WithContext(ctx))
		if err != nil {
			_ = c.Close()
			return nil, err
		}
		return &etcdLocker{c, s}, nil
	}
	return []*lockService{
		{name: "etcd", pids: e.pids, stop: e.stop, open: func(ctx context.Context, _ int) (locker, error) {
			return open(ctx, e.endpoints)
		}},
		{name: "etcd's leader", pids: e.pids, stop: e.stop, open: func(ctx context.Context, _ int) (locker, error) {
			leader, err := e.leader(ctx)
			if err != nil {
				return nil, err
			}
			return open(ctx, []string{leader})
		}},
	}, nil
}

// leader returns the endpoint of the member that leads.
func (e *etcdCluster) leader(ctx context.Context) (string, error) {
	c, err := etcdClient(e.endpoints)
	if err != nil {
		return "", err
	}
	defer c.Close()
	for _, endpoint := range e.endpoints {
		st, err := c.Status(ctx, endpoint)
		if err != nil {
			return "", err
		}
		if st.Leader == st.Header.MemberId {
			return endpoint, nil
		}
	}
	return "", errors.New("no member of etcd leads")
}
