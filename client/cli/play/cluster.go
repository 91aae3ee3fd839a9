package play

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/client/cli/children"
	"viewring/client/cli/network"
	"viewring/internal/port"
	"viewring/ring"
)

// Config says how to run a cluster.
type Config struct {
	Binary      string                      // viewring itself
	Dir         string                      // all of the cluster's data and logs
	LeaderAddr  string                      // "": a private port
	PublicPorts bool                        // servers look for ports where people expect them
	LeaderFlags []string                    // further flags of the view leader
	ServerFlags []string                    // further flags of each server
	Metrics     string                      // the address of the view leader's; servers have the ports behind it, or any that are free; "": none
	Dialer      client.DialFunc             // to the cluster, as the flags want it; nil: net.Dialer
	Log         func(name string) io.Writer // nil: files in Dir
	Network     bool                        // they reach each other through a network that can be cut
	OnEnd       func(name string)           // called when a process that was up has ended, for whatever reason; may be nil
}

// startPatience bounds a process's start until the cluster knows it.
const startPatience = 60 * time.Second

// portTries is how often a start is repeated when the port was taken meanwhile.
const portTries = 10

// Cluster is a view leader and servers as child processes.
type Cluster struct {
	cfg       Config
	group     *children.Group
	leader    *node
	admin     *admin.Cluster
	net       *network.Network // nil: they reach each other directly
	isRunning bool             // its processes are not this one's: group is nil, and nodes is empty

	mu    sync.Mutex // guards nodes; verbs and the recorder read it
	nodes []*node
}

// node is one process of the cluster, over all its starts.
type node struct {
	name    string // leader, s1, s2, …
	addr    string // where the others reach it
	listen  string // where it listens
	metrics string // where its metrics are; "": nowhere
	args    []string
	child   *children.Child // nil before the first start
	paused  bool
	id      ring.ServerID
	before  map[ring.ServerID]uint64 // the members' incarnations when it was last started
}

// Start starts the view leader and connects to it. Close ends everything.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cluster folder: %w", err)
	}
	group, err := children.NewGroup()
	if err != nil {
		return nil, err
	}
	c := &Cluster{cfg: cfg, group: group}
	if cfg.Network {
		c.net = network.New()
	}
	if err := c.startLeader(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends all processes and waits for them.
func (c *Cluster) Close() error {
	if c.admin != nil {
		_ = c.admin.Close() // has nothing to lose
	}
	if c.isRunning {
		return nil
	}
	err := c.group.Close()
	if c.net != nil {
		c.net.Close()
	}
	return err
}

// reached has a node listen at an address, and be reached there or through the network.
func (c *Cluster) reached(n *node, listen string) (err error) {
	n.listen, n.addr = listen, listen
	if c.net != nil {
		n.addr, err = c.net.Listen(n.name, listen)
	}
	return err
}

// Dir returns the cluster's folder.
func (c *Cluster) Dir() string { return c.cfg.Dir }

// LeaderAddr returns the view leader's address.
func (c *Cluster) LeaderAddr() string { return c.leader.listen }

// Metrics returns where the metrics of the processes that run are, the view leader's first.
func (c *Cluster) Metrics() (addrs []string) {
	for _, n := range append([]*node{c.leader}, c.servers()...) {
		if n.running() && n.metrics != "" {
			addrs = append(addrs, n.metrics)
		}
	}
	return addrs
}

// serveMetrics has a node serve metrics, if the cluster is to: the port is that of the view leader
// and the server's number, where that is free.
func (c *Cluster) serveMetrics(n *node, number int) error {
	if c.cfg.Metrics == "" {
		return nil
	}
	host, text, err := net.SplitHostPort(c.cfg.Metrics)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	first, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	n.metrics = net.JoinHostPort(host, strconv.Itoa(first+number))
	if !c.cfg.PublicPorts || first+number >= 1<<16 || port.Check(n.metrics) != nil {
		free, err := port.Free()
		if err != nil {
			return err
		}
		_, text, _ := net.SplitHostPort(free) // it has a port
		n.metrics = net.JoinHostPort(host, text)
	}
	n.args = append(n.args, "--metrics", n.metrics)
	return nil
}

// Addrs returns the addresses of the servers that run, by name.
func (c *Cluster) Addrs() map[string]string {
	addrs := make(map[string]string)
	for _, n := range c.servers() {
		if n.running() {
			addrs[n.name] = n.addr
		}
	}
	return addrs
}

func (c *Cluster) servers() []*node {
	if c.isRunning {
		return c.members()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}

func (n *node) running() bool { return n.child != nil && n.child.Running() }

func (c *Cluster) startLeader(ctx context.Context) error {
	for try := 1; ; try++ {
		addr := c.cfg.LeaderAddr
		if addr == "" {
			var err error
			if addr, err = port.Free(); err != nil {
				return err
			}
		}
		c.leader = &node{name: "leader"}
		if err := c.reached(c.leader, addr); err != nil {
			return err
		}
		c.leader.args = append([]string{"viewleader", "--listen", addr, "--data", filepath.Join(c.cfg.Dir, "leader")}, c.cfg.LeaderFlags...)
		if err := c.serveMetrics(c.leader, 0); err != nil {
			return err
		}
		if err := c.launch(c.leader); err != nil {
			return err
		}
		err := c.connect(ctx)
		if err == nil {
			c.tellEnd(c.leader)
		}
		if err == nil || c.cfg.LeaderAddr != "" || c.leader.running() || try == portTries || !c.portTaken(c.leader) {
			return err
		}
	}
}

// connect opens the operator's client, which waits for the view leader.
func (c *Cluster) connect(ctx context.Context) error {
	ctx, cancel := c.whileRunning(ctx, c.leader)
	defer cancel()
	operator, err := admin.Open(ctx, client.Options{Leaders: []string{c.leader.listen}, Dialer: c.cfg.Dialer, ViewCache: client.NoViewCache, ConnectTimeout: startPatience, Persist: true})
	if err != nil {
		return c.explain(c.leader, err)
	}
	c.admin = operator
	return nil
}

// Add starts another server and waits until the view has it.
func (c *Cluster) Add(ctx context.Context) (string, error) {
	for try := 1; ; try++ {
		number := c.nextNumber()
		addr, err := c.serverAddr(number)
		if err != nil {
			return "", err
		}
		n := &node{name: fmt.Sprintf("s%d", number)}
		if err := c.reached(n, addr); err != nil {
			return "", err
		}
		n.args = append([]string{"server", "--viewleader", c.leader.addr, "--listen", addr, "--data", filepath.Join(c.cfg.Dir, n.name)}, c.cfg.ServerFlags...)
		if c.net != nil {
			n.args = append(n.args, "--advertise", n.addr)
		}
		if err := c.serveMetrics(n, number); err != nil {
			return "", err
		}
		err = c.launchAndWait(ctx, n)
		if err == nil {
			c.tellEnd(n)
			c.mu.Lock()
			c.nodes = append(c.nodes, n)
			c.mu.Unlock()
			return n.name, nil
		}
		if n.running() || try == portTries || !c.portTaken(n) {
			return "", err
		}
	}
}

// nextNumber is the number of the next server's folder: one that was never used.
func (c *Cluster) nextNumber() int {
	for i := len(c.servers()) + 1; ; i++ {
		name := fmt.Sprintf("s%d", i)
		if !slices.ContainsFunc(c.servers(), func(n *node) bool { return n.name == name }) {
			return i
		}
	}
}

// serverAddr is where a server is to listen. Where people expect servers it is where it was
// before, or where no other member was, which may still come back there.
func (c *Cluster) serverAddr(number int) (string, error) {
	if !c.cfg.PublicPorts {
		return port.Free()
	}
	taken := make(map[string]bool)
	for _, m := range c.admin.View().Members {
		if m.ID != ring.ServerID(number) {
			taken[m.Addr] = true
		} else if port.Check(m.Addr) == nil {
			return m.Addr, nil
		}
	}
	return port.FirstFree(taken)
}

// launch starts a node's process.
func (c *Cluster) launch(n *node) error {
	log, err := c.logOf(n.name)
	if err != nil {
		return err
	}
	args := append(slices.Clone(n.args), "--exit-with-parent")
	n.child, err = c.group.Start(children.Spec{Name: n.name, Path: c.cfg.Binary, Args: args, Env: plainEnv(), Stdout: log, Stderr: log})
	if f, ok := log.(*os.File); ok {
		_ = f.Close() // the child has its own
	}
	n.paused = false
	if err == nil && c.net != nil {
		c.net.Is(n.name, n.child.Pid())
	}
	return err
}

// tellEnd has OnEnd called when a node that is up ends.
func (c *Cluster) tellEnd(n *node) {
	if c.cfg.OnEnd == nil {
		return
	}
	child := n.child
	go func() { // ends with the child, for which the group waits
		<-child.Done()
		c.cfg.OnEnd(child.Name)
	}()
}

func (c *Cluster) logOf(name string) (io.Writer, error) {
	if c.cfg.Log != nil {
		return c.cfg.Log(name), nil
	}
	f, err := os.OpenFile(c.logPath(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	return f, nil
}

func (c *Cluster) logPath(name string) string { return filepath.Join(c.cfg.Dir, name+".log") }

// launchAndWait starts a server and waits until the view has its new incarnation.
func (c *Cluster) launchAndWait(ctx context.Context, n *node) error {
	n.before = make(map[ring.ServerID]uint64)
	for _, m := range c.admin.View().Members {
		n.before[m.ID] = m.Incarnation
	}
	if err := c.launch(n); err != nil {
		return err
	}
	ctx, cancel := c.whileRunning(ctx, n)
	defer cancel()
	_, err := c.admin.WaitView(ctx, func(v *ring.View) bool {
		for i := range v.Members {
			if m := &v.Members[i]; m.Addr == n.addr && m.Up && m.Incarnation != n.before[m.ID] {
				n.id = m.ID
				return true
			}
		}
		return false
	})
	if err != nil {
		return c.explain(n, fmt.Errorf("%s did not join within %v", n.name, startPatience))
	}
	return nil
}

// whileRunning bounds a wait for a node's start by its life and by patience.
func (c *Cluster) whileRunning(ctx context.Context, n *node) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	child := n.child
	go func() { // ends with the context at the latest
		select {
		case <-child.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// explain adds the last words of a process that has ended.
func (c *Cluster) explain(n *node, err error) error {
	if n.running() {
		return err
	}
	tail := c.tail(n)
	if tail == "" {
		return fmt.Errorf("%s has ended: %w", n.name, cmpErr(n.child.Err(), err))
	}
	return fmt.Errorf("%s has ended: %s", n.name, tail)
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// tail returns the last lines of a node's log, when it is a file.
func (c *Cluster) tail(n *node) string {
	b, err := os.ReadFile(c.logPath(n.name))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n  ")
}

// portTaken reports whether a node that has ended did not get its port: another program
// was given the same one and listens there.
func (c *Cluster) portTaken(n *node) bool { return port.Check(n.listen) != nil }

// find returns the nodes that a script's word names: s1, …, leader, all.
func (c *Cluster) find(name string) ([]*node, error) {
	switch name {
	case "leader":
		return []*node{c.leader}, nil
	case "all":
		return append([]*node{c.leader}, c.servers()...), nil
	}
	if c.isRunning {
		return c.member(name)
	}
	for _, n := range c.servers() {
		if n.name == name {
			return []*node{n}, nil
		}
	}
	return nil, fmt.Errorf("no server %q here", name)
}

// Kill ends processes by SIGKILL, all at once.
func (c *Cluster) Kill(name string) error {
	nodes, err := c.find(name)
	if err != nil {
		return err
	}
	var ending sync.WaitGroup
	for _, n := range nodes {
		if n.running() {
			_ = n.child.Signal(syscall.SIGKILL) // it may have ended this moment
			ending.Go(func() { <-n.child.Done() })
		}
	}
	ending.Wait()
	return nil
}

func (c *Cluster) kill(_ context.Context, name string) error { return c.Kill(name) }

// pause stops processes (SIGSTOP) until resume.
func (c *Cluster) pause(_ context.Context, name string) error {
	return c.signal(name, syscall.SIGSTOP, true)
}

// resume lets them go on (SIGCONT).
func (c *Cluster) resume(_ context.Context, name string) error {
	return c.signal(name, syscall.SIGCONT, false)
}

func (c *Cluster) signal(name string, sig syscall.Signal, paused bool) error {
	nodes, err := c.find(name)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if !n.running() {
			return fmt.Errorf("%s does not run", n.name)
		}
		if err := n.child.Signal(sig); err != nil {
			return err
		}
		n.paused = paused
	}
	return nil
}

// Terminate ends a server by SIGTERM, which drains it, and waits for its end.
func (c *Cluster) Terminate(ctx context.Context, name string) error {
	nodes, err := c.find(name)
	if err != nil {
		return err
	}
	n := nodes[0]
	if len(nodes) > 1 || !n.running() {
		return fmt.Errorf("terminate wants one process that runs, not %s", name)
	}
	if err := n.child.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-n.child.Done():
		return n.child.Err()
	case <-ctx.Done():
		return fmt.Errorf("%s did not end: %w", name, context.Cause(ctx))
	}
}

// Restart starts processes again on their data, ending in order those that run.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	nodes, err := c.find(name)
	if err != nil {
		return err
	}
	var stopping sync.WaitGroup
	for _, n := range nodes {
		if n.running() {
			stopping.Go(func() { n.child.Stop(ctx) })
		}
	}
	stopping.Wait()
	errs := make([]error, len(nodes))
	var starting sync.WaitGroup
	for i, n := range nodes {
		starting.Go(func() {
			if n == c.leader {
				errs[i] = c.launch(n)
			} else {
				errs[i] = c.launchAndWait(ctx, n)
			}
			if errs[i] == nil {
				c.tellEnd(n)
			}
		})
	}
	starting.Wait()
	return errors.Join(errs...)
}

// Forget stops a server that has left and takes it off the list.
func (c *Cluster) Forget(ctx context.Context, name string) error {
	nodes, err := c.find(name)
	if err != nil {
		return err
	}
	nodes[0].child.Stop(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = slices.DeleteFunc(c.nodes, func(n *node) bool { return n == nodes[0] })
	return nil
}

// names lists the servers.
func (c *Cluster) names() []string {
	var names []string
	for _, n := range c.servers() {
		names = append(names, n.name)
	}
	return names
}
