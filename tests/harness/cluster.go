package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/ring"
)

// Leader is the name of the view leader among the nodes.
const Leader = "leader"

// Cluster is a view leader and servers, each a process of its own, which reach
// each other through a Network.
type Cluster struct {
	Net     *Network
	Leader  *Node
	Leaders []*Node        // all view leaders, Leader first
	Servers []*Node        // changed by Add and Forget alone, on the test's goroutine
	Client  *client.Client // outside; made when the servers are up
	Admin   *admin.Cluster // likewise

	t      *testing.T
	shell  *Shell
	config Config
	addr   string // where servers find the view leaders: through the network

	serversMu sync.Mutex // of changes of Servers
}

// Config says how to run a Cluster.
type Config struct {
	Leaders     int // view leaders; 0: one
	Servers     int
	LeaderFlags []string                 // of the view leader
	ServerFlags []string                 // of every server
	Data        func(name string) string // a server's data folder; nil: in the test's
	Program     string                   // that nodes begin with; "": this build
	Secrets     *Secrets                 // all connections are encrypted, and begin with a password; nil: none
	Direct      bool                     // all are reached past the network, which takes its time: what is dead refuses
}

// Node is one process of a cluster, over all its starts.
type Node struct {
	Name    string
	Data    string // its folder
	Addr    string // where the others reach it
	Program string // that it is started with

	c    *Cluster
	args []string
	d    *Daemon
}

// NewCluster starts a cluster and waits until every copy is where it belongs.
func NewCluster(t *testing.T, config Config) *Cluster {
	t.Helper()
	c := &Cluster{t: t, config: config, Net: NewNetwork(t)}
	listen := FreeAddrs(t, max(1, config.Leaders))
	c.shell = NewShell(t, strings.Join(listen, ","))
	if config.Secrets != nil {
		c.shell.env = append(c.shell.env, config.Secrets.Env()...)
	}
	c.startLeaders(listen)
	for range config.Servers {
		c.Add()
	}
	var err error
	c.Client, err = client.Open(t.Context(), c.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Client.Close() })
	c.Admin, err = admin.Open(t.Context(), c.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Admin.Close() })
	c.WaitBalanced()
	return c
}

// Add starts one more server.
func (c *Cluster) Add() *Node {
	c.t.Helper()
	n := 1 + len(c.Servers)
	for slices.ContainsFunc(c.Servers, func(o *Node) bool { return o.Name == fmt.Sprint("s", n) }) {
		n++ // others have left
	}
	return c.add(fmt.Sprint("s", n))
}

func (c *Cluster) add(name string) *Node {
	c.t.Helper()
	n := &Node{Name: name, Data: filepath.Join(c.shell.Dir, name), Program: c.program(), c: c}
	if c.config.Data != nil {
		n.Data = c.config.Data(name)
	}
	listen := FreeAddr(c.t)
	n.Addr = c.reached(name, listen)
	n.args = append([]string{"server", "--viewleader", c.addr, "--listen", listen, "--advertise", n.Addr, "--data", n.Data}, c.config.ServerFlags...)
	c.serversMu.Lock()
	c.Servers = append(c.Servers, n)
	c.serversMu.Unlock()
	n.Start()
	return n
}

func (c *Cluster) program() string { return cmp.Or(c.config.Program, Program()) }

// StartGateway starts a gateway and returns where it listens.
func (c *Cluster) StartGateway() string {
	c.t.Helper()
	addr := FreeAddr(c.t)
	g := c.shell.Start("gateway", "--listen", addr)
	g.Stderr.Wait(c.t, "gateway is up", g.Done)
	return addr
}

// Open makes another client, outside.
func (c *Cluster) Open() *client.Client {
	c.t.Helper()
	cl, err := client.Open(c.t.Context(), c.Options())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { cl.Close() })
	return cl
}

// Addrs are the servers' addresses. Any goroutine may ask.
func (c *Cluster) Addrs() []string {
	c.serversMu.Lock()
	defer c.serversMu.Unlock()
	var addrs []string
	for _, n := range c.Servers {
		addrs = append(addrs, n.Addr)
	}
	return addrs
}

// Names are the names of nodes.
func Names(nodes ...*Node) []string {
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	return names
}

// Others are the servers but those named.
func (c *Cluster) Others(but ...*Node) []*Node {
	var others []*Node
	for _, n := range c.Servers {
		named := false
		for _, b := range but {
			named = named || b == n
		}
		if !named {
			others = append(others, n)
		}
	}
	return others
}

// Acting are the servers that act for a key now, its primary first. It waits until they are
// at least so many: on a busy machine one may just count as down.
func (c *Cluster) Acting(key string, least int) (acting []*Node) {
	c.t.Helper()
	c.WaitView(fmt.Sprintf("%d act for %s", least, key), func(v *ring.View) bool {
		acting = acting[:0]
		for _, id := range v.Partitions[ring.PartitionOf(ring.SlotOf(key), len(v.Partitions))].Acting {
			for _, n := range c.Servers {
				if v.Member(id).Addr == n.Addr {
					acting = append(acting, n)
				}
			}
		}
		return len(acting) >= least
	})
	return acting
}

// WaitView waits until the view is as wanted.
func (c *Cluster) WaitView(what string, ok func(*ring.View) bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if _, err := c.Admin.WaitView(ctx, ok); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

// WaitDown waits until the view leader takes a server for down.
func (c *Cluster) WaitDown(n *Node) {
	c.t.Helper()
	c.WaitView(n.Name+" down", func(v *ring.View) bool { return !n.up(v) })
}

// WaitUp waits until it takes it for up.
func (c *Cluster) WaitUp(n *Node) {
	c.t.Helper()
	c.WaitView(n.Name+" up", n.up)
}

func (n *Node) up(v *ring.View) bool {
	for i := range v.Members {
		if v.Members[i].Addr == n.Addr {
			return v.Members[i].Up
		}
	}
	return false
}

// WaitBalanced waits until all servers are up, each partition is on exactly its
// targets, and every server knows it.
func (c *Cluster) WaitBalanced() {
	c.t.Helper()
	why := ""
	over := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := c.Admin.Status(c.t.Context())
		if why = c.unbalanced(st, err); why == "" {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			c.t.Fatalf("not balanced within %v: %s", patience, why)
		}
	}
}

func (c *Cluster) unbalanced(st *admin.Status, err error) string {
	if err != nil {
		return err.Error()
	}
	for _, n := range c.Servers {
		if !n.up(st.View) {
			return n.Name + " is not up"
		}
	}
	return st.Unbalanced()
}

// CheckCopies looks into every server's store: each key is on exactly its
// targets, with equal copies. It returns how many keys there are.
func (c *Cluster) CheckCopies() int {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	a, err := c.Admin.Audit(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range a.Problems {
		c.t.Errorf("copies of %s: %s", p.Key, p.What)
	}
	if want := min(ring.Copies, len(c.Servers)); a.Copies != want*a.Keys {
		c.t.Errorf("%d copies of %d keys, want %d of each", a.Copies, a.Keys, want)
	}
	return a.Keys
}

// Scrub has a server's store read through now, and returns what that says.
func (c *Cluster) Scrub(n *Node) string {
	c.t.Helper()
	return c.shell.OK("scrub", "--server", n.Addr)
}

// Start starts the process, again on its data; flags are this start's. The test's end
// kills it: an orderly end of one server after the other, as the shell's daemons have
// it, would take seconds.
func (n *Node) Start(flags ...string) {
	n.c.t.Helper()
	n.d = n.c.shell.start(exec.Command(n.Program, append(slices.Clone(n.args), flags...)...))
	n.c.t.Cleanup(n.Kill) // before the shell's own end of it
	n.c.Net.Is(n.Name, n.d.Cmd.Process.Pid)
}

// ID is a server's id.
func (n *Node) ID() ring.ServerID {
	n.c.t.Helper()
	for _, m := range n.c.Admin.View().Members {
		if m.Addr == n.Addr {
			return m.ID
		}
	}
	n.c.t.Fatalf("%s is no member", n.Name)
	return 0
}

// Replace does what a server says whose store is beyond repair: its folder is put
// aside, a new server begins in an empty one, and the old one is removed.
func (n *Node) Replace() {
	n.c.t.Helper()
	n.c.shell.OK("remove", n.ID().String())
	if err := os.Rename(n.Data, n.Data+".damaged"); err != nil {
		n.c.t.Fatal(err)
	}
	n.Start()
}

// Kill ends the process as a crash does.
func (n *Node) Kill() { KillAll(n) }

// KillAll does so with many at once.
func KillAll(nodes ...*Node) {
	for _, n := range nodes {
		_ = n.d.Cmd.Process.Kill() // it may have ended
	}
	for _, n := range nodes {
		<-n.d.Done
	}
}

// Stop ends the process in order.
func (n *Node) Stop() {
	_ = n.d.Cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	<-n.d.Done
}

// Pause makes the process stand still until Resume.
func (n *Node) Pause() { n.signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (n *Node) Resume() { n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) {
	n.c.t.Helper()
	if err := n.d.Cmd.Process.Signal(s); err != nil {
		n.c.t.Fatalf("%v to %s: %v", s, n.Name, err)
	}
}

// Daemon is the process of the last start.
func (n *Node) Daemon() *Daemon { return n.d }

// Files lists the files of a node's data whose names match.
func (n *Node) Files(match func(name string) bool) []string {
	n.c.t.Helper()
	var found []string
	err := filepath.WalkDir(n.Data, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() && match(d.Name()) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		n.c.t.Fatal(err)
	}
	return found
}

// Ended says whether the process of the last start has ended, and its last words.
func (n *Node) Ended() (bool, string) {
	select {
	case <-n.d.Done:
		return true, strings.TrimSpace(n.d.Stderr.Text())
	default:
		return false, ""
	}
}

// Pass lets time pass in which a fault lasts.
func Pass(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
