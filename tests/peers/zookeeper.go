package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/ring"
)

// member is a process that can be killed and started again.
type member struct {
	name, log string
	args      []string
	cmd       *exec.Cmd
	stop      func()
}

func (m *member) start() (err error) {
	m.cmd, m.stop, err = process(m.log, m.args[0], m.args[1:]...)
	return err
}

func (m *member) kill() {
	_ = m.cmd.Process.Kill() // it may have ended
	_ = m.cmd.Wait()         // killed
}

// victim is what is killed to see how long clients wait then.
type victim struct {
	name string
	find func(ctx context.Context) (*member, error)
}

// zkService is what ZooKeeper's clients talk to.
type zkService struct {
	name, title string
	addrs       []string // for clients
	leaders     string   // viewring's
	members     []*member
	victims     []victim
	whole       func(ctx context.Context) bool // all are up, and have all that they should
}

func (s *zkService) start(ctx context.Context) error {
	for _, m := range s.members {
		if err := m.start(); err != nil {
			s.stop()
			return err
		}
	}
	if err := until(ctx, s.name+" is up", func() bool { return s.whole(ctx) }); err != nil {
		s.stop()
		return err
	}
	return nil
}

func (s *zkService) stop() {
	for _, m := range s.members {
		if m.stop != nil {
			m.stop()
		}
	}
}

func (s *zkService) pids() (pids []int) {
	for _, m := range s.members {
		pids = append(pids, m.cmd.Process.Pid)
	}
	return pids
}

// dialled says whether somebody listens.
func dialled(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

// viewringZK is three view leaders, three servers and two fronts; flags as by default.
func viewringZK(o *options, dir string) (*zkService, error) {
	addrs, err := freeAddrs(8)
	if err != nil {
		return nil, err
	}
	leaders, servers, fronts := addrs[:3], addrs[3:6], addrs[6:]
	all := strings.Join(leaders, ",")
	s := &zkService{name: "viewring", title: "viewring, two fronts", addrs: fronts, leaders: all}
	add := func(name string, args ...string) {
		s.members = append(s.members, &member{name: name, log: filepath.Join(dir, name+".log"), args: append([]string{o.viewring}, args...)})
	}
	for i, addr := range leaders {
		name := fmt.Sprint("leader", i)
		add(name, "viewleader", "--listen", addr, "--peers", all, "--data", filepath.Join(dir, name))
	}
	for i, addr := range servers {
		name := fmt.Sprint("server", i)
		add(name, "server", "--viewleader", all, "--listen", addr, "--data", filepath.Join(dir, name))
	}
	for i, addr := range fronts {
		add(fmt.Sprint("front", i), "zk", "--viewleader", all, "--listen", addr)
	}
	opts := client.Options{Leaders: leaders, ViewCache: client.NoViewCache}
	s.whole = func(ctx context.Context) bool { return viewringWhole(ctx, opts, servers, fronts) }
	s.victims = []victim{
		{"a server", func(context.Context) (*member, error) { return s.members[3], nil }},
		{"a front", func(context.Context) (*member, error) { return s.members[6], nil }},
		{"who leads", func(ctx context.Context) (*member, error) {
			g, err := admin.ViewLeaders(ctx, opts)
			if err != nil {
				return nil, err
			}
			for _, m := range g.Members {
				if m.Head {
					return s.members[slices.Index(leaders, m.Addr)], nil
				}
			}
			return nil, errors.New("no view leader is the head")
		}},
	}
	return s, nil
}

func viewringWhole(ctx context.Context, opts client.Options, servers, fronts []string) bool {
	g, err := admin.ViewLeaders(ctx, opts)
	if err != nil || len(g.Members) != 3 || slices.ContainsFunc(g.Members, func(m admin.ViewLeader) bool { return !m.Up }) {
		return false
	}
	if !dialled(fronts[0]) || !dialled(fronts[1]) {
		return false
	}
	a, err := admin.Open(ctx, opts)
	if err != nil {
		return false
	}
	defer a.Close()
	st, err := a.Status(ctx)
	if err != nil || len(st.View.Members) != len(servers) {
		return false
	}
	return !slices.ContainsFunc(st.View.Members, func(m ring.Member) bool { return !m.Up }) && st.Unbalanced() == ""
}

// zooKeeperJar is ZooKeeper as Debian has it.
const zooKeeperJar = "/usr/share/java/zookeeper.jar"

// zooKeeper is three servers of it with the settings that it comes with: each syncs what it
// accepts, and a majority of them answers.
func zooKeeper(_ *options, dir string) (*zkService, error) {
	if _, err := os.Stat(zooKeeperJar); err != nil {
		return nil, fmt.Errorf("%w (Debian: zookeeper)", err)
	}
	addrs, err := freeAddrs(9)
	if err != nil {
		return nil, err
	}
	s := &zkService{name: "zookeeper", title: "ZooKeeper", addrs: addrs[:3]}
	quorum := ""
	for i := range 3 {
		_, election, _ := net.SplitHostPort(addrs[6+i]) // our own
		quorum += fmt.Sprintf("server.%d=%s:%s\n", i+1, addrs[3+i], election)
	}
	for i, addr := range s.addrs {
		host, port, _ := net.SplitHostPort(addr) // our own
		data := filepath.Join(dir, fmt.Sprint("zk", i))
		text := fmt.Sprintf("tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=%s\nclientPort=%s\nclientPortAddress=%s\nmaxClientCnxns=0\nadmin.enableServer=false\n%s", data, port, host, quorum)
		if err := errors.Join(os.MkdirAll(data, 0o755), os.WriteFile(data+".cfg", []byte(text), 0o644), os.WriteFile(filepath.Join(data, "myid"), fmt.Append(nil, i+1), 0o644)); err != nil {
			return nil, err
		}
		s.members = append(s.members, &member{name: fmt.Sprint("zk", i), log: data + ".log",
			args: []string{"java", "-cp", zooKeeperJar, "org.apache.zookeeper.server.quorum.QuorumPeerMain", data + ".cfg"}})
	}
	s.whole = func(context.Context) bool {
		return !slices.ContainsFunc(s.addrs, func(addr string) bool { return mode(addr) == "" })
	}
	led := func(leads bool) func(context.Context) (*member, error) {
		return func(context.Context) (*member, error) {
			for i, addr := range s.addrs {
				if (mode(addr) == "leader") == leads {
					return s.members[i], nil
				}
			}
			return nil, errors.New("none leads, or all do")
		}
	}
	s.victims = []victim{{"a server", led(false)}, {"who leads", led(true)}}
	return s, nil
}

// mode is whether a server of ZooKeeper leads or follows; "" while it does neither.
func mode(addr string) string {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second)) // what fails says nothing
	_, _ = io.WriteString(c, "srvr")
	said, _ := io.ReadAll(c)
	_, rest, _ := strings.Cut(string(said), "Mode: ")
	m, _, _ := strings.Cut(rest, "\n")
	return m
}

// revive starts a member that was killed, and waits until all is whole again.
func (s *zkService) revive(ctx context.Context, m *member) error {
	if err := m.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*startWait)
	defer cancel()
	return until(ctx, m.name+" is back", func() bool { return s.whole(ctx) })
}
