package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// The large tree: one directory of many nodes, and many of few.
const (
	treeBig     = 100_000
	treeDirs    = 9_000
	treeFew     = 100 // nodes of each, and of one Multi
	treeValue   = 100 // bytes
	treeClients = 16
)

// growTree makes the tree by Multis of creations, and returns how many nodes it has.
func growTree(s *zkService) (int, error) {
	clients, end, err := s.open(treeClients)
	if err != nil {
		return 0, err
	}
	defer end()
	everyone, value := zk.WorldACL(zk.PermAll), make([]byte, treeValue)
	for _, path := range []string{"/tree", "/tree/big", "/tree/small"} {
		if _, err := clients[0].Create(path, nil, 0, everyone); err != nil {
			return 0, err
		}
	}
	few := func(c *zk.Conn, dir string, from int) error {
		ops := make([]any, treeFew)
		for i := range ops {
			ops[i] = &zk.CreateRequest{Path: fmt.Sprintf("%s/node-%06d", dir, from+i), Data: value, Acl: everyone}
		}
		again := false
		return persistently(func() error {
			_, err := c.Multi(ops...)
			if again && errors.Is(err, zk.ErrNodeExists) { // the answer to the one before was lost
				return nil
			}
			again = true
			return err
		})
	}
	const pieces = treeBig/treeFew + treeDirs
	var next atomic.Int64
	var running sync.WaitGroup
	failed := make([]error, len(clients))
	for n, c := range clients {
		running.Go(func() {
			for failed[n] == nil {
				i := int(next.Add(1)) - 1
				dir := fmt.Sprintf("/tree/small/dir-%04d", i)
				switch {
				case i >= pieces:
					return
				case i >= treeDirs:
					failed[n] = few(c, "/tree/big", (i-treeDirs)*treeFew)
				default:
					failed[n] = persistently(func() error {
						_, err := c.Create(dir, nil, 0, everyone)
						if errors.Is(err, zk.ErrNodeExists) {
							return nil
						}
						return err
					})
					if failed[n] == nil {
						failed[n] = few(c, dir, 0)
					}
				}
			}
		})
	}
	running.Wait()
	return 3 + treeDirs + pieces*treeFew, errors.Join(failed...)
}

// persistently asks again while connections break; the client makes new ones.
func persistently(do func() error) (err error) {
	for range 100 {
		if err = do(); !errors.Is(err, zk.ErrConnectionClosed) {
			return err
		}
	}
	return err
}

// listed runs viewring meta list, and tells how long it took and its memory at most, MiB.
func listed(ctx context.Context, o *options, s *zkService, lines int, args ...string) (took time.Duration, rss float64, err error) {
	cmd := exec.CommandContext(ctx, o.viewring, append([]string{"meta", "list", "--viewleader", s.leaders}, args...)...)
	var out bytes.Buffer
	cmd.Stdout = &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for over := false; !over; {
		select {
		case err = <-ended:
			over = true
		case <-time.After(5 * time.Millisecond): // its rusage has this program's memory too, of before the exec
			rss = max(rss, float64(named([]int{cmd.Process.Pid}, "status", "VmHWM"))/1024)
		}
	}
	took = time.Since(began)
	if got := bytes.Count(out.Bytes(), []byte("\n")); err == nil && got != lines {
		err = fmt.Errorf("meta list %v told %d nodes of %d", args, got, lines)
	}
	return took, rss, err
}

// measureTree grows a tree and lists it.
func measureTree(ctx context.Context, o *options, s *zkService, t *table) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	defer s.stop()
	began := time.Now()
	nodes, err := growTree(s)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	add := func(row string, figure float64) {
		fmt.Printf("%-10s %-60s %10.2f\n", s.name, row, figure)
		t.add(s.name, row, figure)
	}
	add(fmt.Sprintf("create %d nodes, s", nodes), time.Since(began).Seconds())
	rss := func(when string) {
		add(when+": memory of all processes now, MiB", float64(residentBytes(s.pids()))/(1<<20))
		add(when+": memory of all processes at most, MiB", float64(named(s.pids(), "status", "VmHWM"))/1024)
	}
	rss("created")
	c, err := s.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	for range 3 {
		began = time.Now()
		names, _, err := c.Children("/tree/big")
		if err != nil || len(names) != treeBig {
			return fmt.Errorf("list: %d children, %w", len(names), err)
		}
		add("getChildren of 100,000, s", time.Since(began).Seconds())
	}
	if s.leaders != "" {
		for _, l := range []struct {
			lines int
			args  []string
		}{{treeBig, []string{"/tree/big"}}, {nodes - 1, []string{"-r", "/tree"}}} {
			took, rss, err := listed(ctx, o, s, l.lines, l.args...)
			if err != nil {
				return err
			}
			add(fmt.Sprintf("meta list %s, %d nodes, s", l.args[0], l.lines), took.Seconds())
			add(fmt.Sprintf("meta list %s: memory of the command at most, MiB", l.args[0]), rss)
		}
	}
	rss("listed")
	return nil
}

// runTree measures both with a large tree.
func runTree(ctx context.Context, o *options, only string) error {
	scratch, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	about := fmt.Sprintf("A directory of %d nodes and %d of %d, with values of\n%d bytes, made by multis of %d.", treeBig, treeDirs, treeFew, treeValue, treeFew)
	t := newTable(about, []string{"viewring", "zookeeper"}, []string{"viewring, two fronts", "ZooKeeper"})
	for i, make := range []func(*options, string) (*zkService, error){viewringZK, zooKeeper} {
		s, err := make(o, filepath.Join(scratch, fmt.Sprint(i)))
		if err == nil && (only == "" || only == s.name) {
			err = measureTree(ctx, o, s, t)
		}
		if err != nil {
			return err
		}
	}
	text := t.String()
	fmt.Print("\n", text)
	return os.WriteFile(filepath.Join(o.out, "tree.md"), []byte(text), 0o644)
}
