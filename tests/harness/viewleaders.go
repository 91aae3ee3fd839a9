package harness

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"viewring/client"
	"viewring/client/admin"
)

// startLeaders starts the view leaders, which listen at these addresses and reach
// each other through the network.
func (c *Cluster) startLeaders(listen []string) {
	c.t.Helper()
	var reached []string
	for i, at := range listen {
		name := Leader
		if i > 0 {
			name = fmt.Sprint(Leader, i+1)
		}
		n := &Node{Name: name, Data: filepath.Join(c.shell.Dir, name), Addr: at, Program: c.program(), c: c}
		n.args = append([]string{"viewleader", "--listen", at, "--data", n.Data, partitionsFlag()}, c.config.LeaderFlags...)
		reached = append(reached, c.reached(name, at))
		c.Leaders = append(c.Leaders, n)
	}
	c.Leader, c.addr = c.Leaders[0], strings.Join(reached, ",")
	for i, n := range c.Leaders {
		if len(listen) > 1 {
			n.args = append(n.args, "--advertise", reached[i], "--peers", c.addr)
		}
		n.Start()
	}
	if len(listen) > 1 {
		c.WaitLeaders()
	}
}

// reached is where others reach who listens at an address.
func (c *Cluster) reached(name, listen string) string {
	if c.config.Direct {
		return listen
	}
	return c.Net.Listen(name, listen)
}

// Options are those of clients outside.
func (c *Cluster) Options() client.Options {
	var addrs []string
	for _, n := range c.Leaders {
		addrs = append(addrs, n.advertised())
	}
	o := client.Options{Leaders: addrs, ViewCache: client.NoViewCache, ConnectTimeout: patience}
	if s := c.config.Secrets; s != nil {
		o.Dialer = client.SecureDialer(nil, s.TLS(c.t), Word)
	}
	return o
}

// WaitLeaders waits until all view leaders are up and know everything, and returns
// the head.
func (c *Cluster) WaitLeaders() *Node { return c.WaitGroup("all view leaders", c.Leaders...) }

// WaitGroup waits until the group of view leaders is these, all up, and returns the
// head.
func (c *Cluster) WaitGroup(what string, nodes ...*Node) *Node {
	c.t.Helper()
	over := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		g, err := admin.ViewLeaders(c.t.Context(), c.Options())
		if head := c.groupIs(g, err, nodes); head != nil {
			return head
		}
		select {
		case <-tick.C:
		case <-over:
			c.t.Fatalf("%s: not seen within %v; last %+v, %v", what, patience, g, err)
		}
	}
}

func (c *Cluster) groupIs(g *admin.ViewLeaderGroup, err error, nodes []*Node) (head *Node) {
	if err != nil || len(g.Members) != len(nodes) || len(g.Awaited) > 0 {
		return nil
	}
	for _, m := range g.Members {
		i := slices.IndexFunc(nodes, func(n *Node) bool { return m.Addr == n.advertised() })
		if i < 0 || !m.Up || !m.Voter || m.Lag > 10 {
			return nil
		}
		if m.Head {
			head = nodes[i]
		}
	}
	return head
}

// advertised is where other processes reach the node.
func (n *Node) advertised() string {
	if i := slices.Index(n.args, "--advertise"); i >= 0 {
		return n.args[i+1]
	}
	return n.Addr
}

// Forget leaves out a server that has left.
func (c *Cluster) Forget(n *Node) {
	c.serversMu.Lock()
	defer c.serversMu.Unlock()
	c.Servers = slices.DeleteFunc(c.Servers, func(o *Node) bool { return o == n })
}
