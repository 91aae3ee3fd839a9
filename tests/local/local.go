// Package local runs a cluster within this process, for examples: they have no process of
// a test to ask for one, and are to be quick. Tests of what happens when processes end
// use package harness.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"viewring/client"
	"viewring/client/admin"
	"viewring/internal/secure"
	"viewring/internal/wait"
	"viewring/server"
	"viewring/viewleader"
)

// Cluster is a view leader and servers.
type Cluster struct {
	Leader string // the view leader's address

	dir     string
	end     context.CancelFunc
	leader  *viewleader.Service
	servers []*server.Server
}

// Options of a Cluster.
type Options struct {
	Servers  int    // s1, s2, …
	Password string // that the cluster asks for; "": none
}

const (
	partitions = 16 // few: each server starts with them at once
	patience   = time.Minute
	downAfter  = time.Minute // of silence: a busy machine keeps a server from nothing that an example shows
)

// Start starts a cluster and waits until all copies are where they belong. Close it.
func Start(o Options) (*Cluster, error) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cluster{end: cancel}
	if err := c.start(ctx, o); err != nil {
		c.Close()
		return nil, fmt.Errorf("local cluster: %w", err)
	}
	return c, nil
}

// kept are the clusters that Main closes.
var kept []*Cluster

// Keep is Start for examples: the cluster lives until Main ends, and an error panics.
// Examples run one after the other.
func Keep(o Options) *Cluster {
	c, err := Start(o)
	if err != nil {
		panic(err)
	}
	kept = append(kept, c)
	return c
}

// Main runs a package's tests, and then closes what Keep started. It returns the exit code.
func Main(m interface{ Run() int }) int {
	code := m.Run()
	for _, c := range kept {
		c.Close()
	}
	return code
}

// Options are those with which a client reaches the cluster.
func (c *Cluster) Options() client.Options {
	return client.Options{Leaders: []string{c.Leader}, ViewCache: client.NoViewCache, ConnectTimeout: patience}
}

func (c *Cluster) start(ctx context.Context, o Options) (err error) {
	if c.dir, err = os.MkdirTemp("", "viewring-local-"); err != nil {
		return err
	}
	var secrets secure.Config
	if o.Password != "" {
		file := filepath.Join(c.dir, "password")
		if err := os.WriteFile(file, []byte(o.Password+"\n"), 0o600); err != nil {
			return err
		}
		if secrets, err = secure.Load(secure.Files{Password: file}); err != nil {
			return err
		}
	}
	quiet := slog.New(slog.DiscardHandler)
	c.leader, err = viewleader.Start(ctx, viewleader.Options{Listen: "127.0.0.1:0", Data: filepath.Join(c.dir, "leader"), Partitions: partitions, DownAfter: downAfter,
		Secure: secrets, Logger: quiet})
	if err != nil {
		return err
	}
	c.Leader = c.leader.Addr()
	for i := range o.Servers {
		s, err := server.Start(ctx, server.Options{Listen: "127.0.0.1:0", Data: filepath.Join(c.dir, fmt.Sprint("s", i+1)), LeaderAddrs: []string{c.Leader},
			Lanes: 1, Memory: 256 << 20, Secure: secrets, Logger: quiet, Console: io.Discard})
		if err != nil {
			return err
		}
		c.servers = append(c.servers, s)
	}
	if o.Servers == 0 {
		return nil
	}
	return c.waitBalanced(ctx, client.Options{Leaders: []string{c.Leader}, Dialer: secrets.Dialer(nil), ViewCache: client.NoViewCache})
}

func (c *Cluster) waitBalanced(ctx context.Context, o client.Options) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a, err := admin.Open(ctx, o)
	if err != nil {
		return err
	}
	defer a.Close()
	for {
		st, err := a.Status(ctx)
		if err != nil {
			return err
		}
		why := st.Unbalanced()
		if why == "" {
			return nil
		}
		if !wait.For(ctx, 10*time.Millisecond) {
			return errors.New(why)
		}
	}
}

// Close ends the cluster and removes its data.
func (c *Cluster) Close() {
	for _, s := range c.servers {
		_ = s.Close() // of an example, as all here
	}
	if c.leader != nil {
		_ = c.leader.Close()
	}
	c.end()
	_ = os.RemoveAll(c.dir)
}
