package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/olric-data/olric"
	"github.com/olric-data/olric/config"
)

// olricMember is the argument by which this program runs as a member of Olric.
const olricMember = "olric-member"

// runOlricMember runs one: where clients connect, where it gossips, where all do.
func runOlricMember(args []string) {
	c := config.New("local")
	c.LogLevel, c.LogVerbosity, c.LogOutput = config.LogLevelError, 1, os.Stderr
	c.BindAddr, c.BindPort = hostPort(args[0])
	c.MemberlistConfig.BindAddr, c.MemberlistConfig.BindPort = hostPort(args[1])
	c.MemberlistConfig.AdvertiseAddr, c.MemberlistConfig.AdvertisePort = hostPort(args[1])
	for peer := range strings.SplitSeq(args[2], ",") {
		if peer != args[1] {
			c.Peers = append(c.Peers, peer)
		}
	}
	c.ReplicaCount, c.WriteQuorum, c.ReplicationMode, c.MemberCountQuorum = 3, 2, config.SyncReplicationMode, 2
	db, err := olric.New(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		<-asked()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = db.Shutdown(ctx) // the process ends
	}()
	if err := db.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// hostPort takes apart an address that freeAddrs has made.
func hostPort(addr string) (string, int) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		panic(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		panic(err)
	}
	return host, n
}

// olricClient is a client with a pool of so many connections to each member.
func olricClient(addrs []string, connections int) (*olric.ClusterClient, olric.DMap, error) {
	c := config.NewClient()
	c.PoolSize = connections
	client, err := olric.NewClusterClient(addrs, olric.WithConfig(c), olric.WithLogger(log.New(io.Discard, "", 0)))
	if err != nil {
		return nil, nil, err
	}
	m, err := client.NewDMap("bench")
	if err != nil {
		_ = client.Close(context.Background()) // never used
		return nil, nil, err
	}
	return client, m, nil
}

// olricMembers are members that gossip with each other, in memory alone: a write is answered when two
// have it, a read by its partition's owner.
type olricMembers struct {
	group
	dir             string
	clients, gossip []string // addresses
}

// grow starts n more, and waits until all know each other.
func (ms *olricMembers) grow(ctx context.Context, n int) error {
	addrs, err := freeAddrs(2 * n)
	if err != nil {
		return err
	}
	ms.clients, ms.gossip = append(ms.clients, addrs[:n]...), append(ms.gossip, addrs[n:]...)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for i := len(ms.clients) - n; i < len(ms.clients); i++ {
		if err := ms.add(filepath.Join(ms.dir, fmt.Sprint("o", i, ".log")), self, olricMember, ms.clients[i], ms.gossip[i], strings.Join(ms.gossip, ",")); err != nil {
			return err
		}
	}
	return until(ctx, "Olric answers", func() bool { return olricUp(ctx, ms.clients) })
}

// startOlric starts three members, all of which have every key.
func startOlric(ctx context.Context, o *options, dir string) (*system, error) {
	run := &olricMembers{dir: dir}
	if err := run.grow(ctx, 3); err != nil {
		run.stop()
		return nil, err
	}
	clients := run.clients
	all := callers{most: 1, dial: func(_ context.Context, value []byte) (*caller, error) {
		c, m, err := olricClient(clients, 256)
		if err != nil {
			return nil, err
		}
		return &caller{
			set:   func(ctx context.Context, key string) error { return m.Put(ctx, key, value) },
			get:   func(ctx context.Context, key string) error { _, err := m.Get(ctx, key); return err },
			close: func() { _ = c.Close(context.Background()) }, // nothing of it is wanted any more
		}, nil
	}}
	return &system{name: "olric", noPipeline: true, pids: run.pids, stop: run.stop, load: func(ctx context.Context, l load) (result, error) {
		return all.load(ctx, o, l)
	}}, nil
}

// olricUp reports whether all members know each other and a write gets through.
func olricUp(ctx context.Context, addrs []string) bool {
	c, m, err := olricClient(addrs, 1)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close(context.Background()) }() // it only asked
	asking, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, addr := range addrs {
		s, err := c.Stats(asking, addr)
		if err != nil || len(s.ClusterMembers) != len(addrs) {
			return false
		}
	}
	return m.Put(asking, "ready", "") == nil
}
