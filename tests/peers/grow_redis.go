package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/redis/go-redis/v9"
)

// redisNode is a server of Redis Cluster.
type redisNode struct{ addr string }

// redisCluster is one whose primaries have two replicas each.
type redisCluster struct {
	group
	dir   string
	nodes []redisNode
}

// start starts n more servers, which belong to no cluster yet.
func (c *redisCluster) start(n int) ([]string, error) {
	addrs, err := freeAddrs(2 * n)
	if err != nil {
		return nil, err
	}
	for i := range n {
		_, number, _ := net.SplitHostPort(addrs[i]) // our own
		_, bus, _ := net.SplitHostPort(addrs[n+i])
		data := filepath.Join(c.dir, number)
		if err := os.MkdirAll(data, 0o755); err != nil {
			return nil, err
		}
		if err := c.add(data+".log", "redis-server", "--port", number, "--cluster-port", bus, "--bind", "127.0.0.1", "--dir", data, "--cluster-enabled", "yes",
			"--appendonly", "yes", "--appendfsync", "always", "--save", ""); err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, redisNode{addrs[i]})
	}
	return addrs[:n], nil
}

// ask runs redis-cli at a server.
func (c *redisCluster) ask(ctx context.Context, addr string, args ...string) (string, error) {
	host, number, _ := net.SplitHostPort(addr) // our own
	out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"-h", host, "-p", number}, args...)...).CombinedOutput()
	return string(out), err
}

// manage runs redis-cli --cluster.
func (c *redisCluster) manage(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "redis-cli", append([]string{"--cluster"}, args...)...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "[ERR]") {
		return fmt.Errorf("redis-cli --cluster %s: %w\n%s", strings.Join(args, " "), err, out[max(0, len(out)-500):])
	}
	return nil
}

// agree waits until all servers know each other and where all slots are, and so many replicas hold what their
// primary has.
func (c *redisCluster) agree(ctx context.Context, replicas int) error {
	return untilWithin(ctx, moverWait, "all servers of Redis Cluster agree", func() bool {
		online := 0
		for _, n := range c.nodes {
			info, err := c.ask(ctx, n.addr, "CLUSTER", "INFO")
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", len(c.nodes))) {
				return false
			}
			info, err = c.ask(ctx, n.addr, "INFO", "replication")
			if err != nil {
				return false
			}
			online += strings.Count(info, "state=online")
		}
		return online == replicas && c.manage(ctx, "check", c.nodes[0].addr) == nil
	})
}

func growRedis(ctx context.Context, _ *options, dir string) (_ *grown, err error) {
	c := &redisCluster{dir: dir}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	addrs, err := c.start(3 * growFrom)
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		if err := until(ctx, "redis-server answers", func() bool { out, _ := c.ask(ctx, addr, "PING"); return strings.HasPrefix(out, "PONG") }); err != nil {
			return nil, err
		}
	}
	if err := c.manage(ctx, append(append([]string{"create"}, addrs...), "--cluster-replicas", "2", "--cluster-yes")...); err != nil {
		return nil, err
	}
	if err := c.agree(ctx, 2*growFrom); err != nil {
		return nil, err
	}
	cl := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	stop := func() {
		_ = cl.Close() // it has nothing to lose
		c.stop()
	}
	return &grown{store: redisStore{cl}, grow: c.grow, stop: stop}, nil
}

// grow adds a primary, moves its share of the slots to it, and gives it two replicas.
func (c *redisCluster) grow(ctx context.Context) error {
	old := c.nodes[0].addr
	added, err := c.start(3)
	if err != nil {
		return err
	}
	for _, addr := range added {
		if err := until(ctx, "redis-server answers", func() bool { out, _ := c.ask(ctx, addr, "PING"); return strings.HasPrefix(out, "PONG") }); err != nil {
			return err
		}
	}
	if err := c.manage(ctx, "add-node", added[0], old); err != nil {
		return err
	}
	id, err := c.ask(ctx, added[0], "CLUSTER", "MYID")
	if err != nil {
		return err
	}
	id = strings.TrimSpace(id)
	for _, replica := range added[1:] {
		if err := c.knows(ctx, old, id); err != nil {
			return err
		}
		if err := c.manage(ctx, "add-node", replica, old); err != nil {
			return err
		}
		if err := c.knows(ctx, replica, id); err != nil { // by what others tell it: 'add-node --cluster-slave' does not wait for that
			return err
		}
		if out, err := c.ask(ctx, replica, "CLUSTER", "REPLICATE", id); err != nil || !strings.HasPrefix(out, "OK") {
			return fmt.Errorf("CLUSTER REPLICATE: %s, %w", out, err)
		}
	}
	if err := c.agree(ctx, 2*growFrom+2); err != nil {
		return err
	}
	if err := c.manage(ctx, "rebalance", old, "--cluster-use-empty-masters"); err != nil {
		return err
	}
	return c.agree(ctx, 2*growFrom+2)
}

// knows waits until a server knows another one, and all agree.
func (c *redisCluster) knows(ctx context.Context, addr, id string) error {
	return until(ctx, "a new primary is known", func() bool {
		nodes, err := c.ask(ctx, addr, "CLUSTER", "NODES")
		return err == nil && strings.Contains(nodes, id) && !strings.Contains(nodes, "handshake") && c.manage(ctx, "check", c.nodes[0].addr) == nil
	})
}

// redisStore is Redis Cluster by go-redis, whose defaults follow moves and ask again.
type redisStore struct{ cl *redis.ClusterClient }

func (s redisStore) set(ctx context.Context, key string, value []byte) error {
	return s.cl.Set(ctx, key, value, 0).Err()
}

func (s redisStore) get(ctx context.Context, key string) ([]byte, error) {
	v, err := s.cl.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return v, err
}
