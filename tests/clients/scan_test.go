package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"

	"viewring/tests/harness"
)

// scanKeys are the keys of TestScan: some of one slot, more than a page has, and some of
// many.
const (
	scanOfOneSlot = 40
	scanOfMany    = 200
)

// scanner goes through all keys as its users do. It adds each name that comes.
type scanner struct {
	name string
	scan func(ctx context.Context, add func(names ...string) error) error
}

// Every client comes to the end of a scan, however it keeps cursors, and is told each
// key: at the servers of a cluster, and at a gateway.
func TestScan(t *testing.T) {
	cluster := harness.NewCluster(t, harness.Config{Servers: 3, Direct: true})
	shell := harness.NewShell(t, cluster.Leader.Addr)
	gateway := harness.FreeAddr(t)
	g := shell.Start("gateway", "--listen", gateway)
	g.Stderr.Wait(t, "gateway is up", g.Done)
	c := redis.NewClient(&redis.Options{Addr: gateway})
	defer c.Close()
	wanted := make(map[string]bool)
	for i := range scanOfOneSlot + scanOfMany {
		name := fmt.Sprint("{user:1}:", i)
		if i >= scanOfOneSlot {
			name = fmt.Sprint("key:", i)
		}
		wanted[name] = true
		if err := c.Set(t.Context(), name, "v", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range scanners(t, c, cluster.Addrs(), gateway) {
		t.Run(s.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			found, count := make(map[string]bool), 0
			err := s.scan(ctx, func(names ...string) error {
				for _, n := range names {
					found[n] = true
				}
				if count += len(names); count > 10*len(wanted) {
					return fmt.Errorf("%d names, %d different ones, and no end", count, len(found))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for name := range wanted {
				if !found[name] {
					t.Errorf("%s was not told", name)
				}
			}
			t.Logf("%d names, %d of %d keys, and an end", count, len(found), len(wanted))
		})
	}
}

func scanners(t *testing.T, c *redis.Client, servers []string, gateway string) []scanner {
	all := []scanner{
		{"go-redis, by a gateway", func(ctx context.Context, add func(...string) error) error { return iterate(ctx, c, add) }},
		{"go-redis ClusterClient", func(ctx context.Context, add func(...string) error) error { return goRedisCluster(ctx, servers, add) }},
		{"rueidis", func(ctx context.Context, add func(...string) error) error { return rueidisCluster(ctx, servers, add) }},
	}
	for name, keep := range map[string]func(cursor string) (string, error){
		"a double, as node-redis 4": func(cursor string) (string, error) {
			f, err := strconv.ParseFloat(cursor, 64)
			return strconv.FormatFloat(f, 'f', -1, 64), err
		},
		"64 bits with a sign, as lettuce": func(cursor string) (string, error) {
			n, err := strconv.ParseInt(cursor, 10, 64)
			return strconv.FormatInt(n, 10), err
		},
		"any integer, as redis-py": func(cursor string) (string, error) {
			n, ok := new(big.Int).SetString(cursor, 10)
			if !ok {
				return "", fmt.Errorf("cursor %q", cursor)
			}
			return n.String(), nil
		},
	} {
		all = append(all, scanner{name, func(ctx context.Context, add func(...string) error) error { return byCursor(ctx, c, keep, add) }})
	}
	return append(all, npmScanners(t, servers[0], gateway)...)
}

func iterate(ctx context.Context, c *redis.Client, add func(...string) error) error {
	it := c.Scan(ctx, 0, "*", 7).Iterator()
	for it.Next(ctx) {
		if err := add(it.Val()); err != nil {
			return err
		}
	}
	return it.Err()
}

func goRedisCluster(ctx context.Context, servers []string, add func(...string) error) error {
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: servers})
	defer c.Close()
	found := make(chan string)
	failed := make(chan error, 1)
	go func() {
		failed <- c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			return iterate(ctx, node, func(names ...string) error {
				for _, n := range names {
					found <- n
				}
				return ctx.Err()
			})
		})
		close(found)
	}()
	var err error
	for n := range found {
		if err == nil {
			err = add(n)
		}
	}
	if ferr := <-failed; err == nil {
		err = ferr
	}
	return err
}

func rueidisCluster(ctx context.Context, servers []string, add func(...string) error) error {
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: servers, DisableCache: true})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, node := range c.Nodes() {
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			entry, err := node.Do(ctx, node.B().Scan().Cursor(cursor).Count(7).Build()).AsScanEntry()
			if err == nil {
				err = add(entry.Elements...)
			}
			if err != nil {
				return err
			}
			cursor = entry.Cursor
		}
	}
	return nil
}

// byCursor keeps a cursor as a client does.
func byCursor(ctx context.Context, c *redis.Client, keep func(string) (string, error), add func(...string) error) error {
	for cursor, first := "0", true; first || cursor != "0"; first = false {
		reply, err := c.Do(ctx, "SCAN", cursor, "COUNT", 7).Slice()
		if err != nil {
			return err
		}
		for _, n := range reply[1].([]any) {
			if err := add(n.(string)); err != nil {
				return err
			}
		}
		if cursor, err = keep(reply[0].(string)); err != nil {
			return err
		}
	}
	return nil
}

func npmScanners(t *testing.T, server, gateway string) (all []scanner) {
	if !npm(t) {
		return nil
	}
	for library, title := range map[string]string{"ioredis": "ioredis", "redis4": "node-redis 4.7", "redis5": "node-redis 5", "redis": "node-redis 6"} {
		for where, args := range map[string][]string{"cluster": {server, strconv.Itoa(scanOfOneSlot + scanOfMany), "cluster"}, "gateway": {gateway, strconv.Itoa(scanOfOneSlot + scanOfMany)}} {
			all = append(all, scanner{title + ", " + where + " (npm)", func(ctx context.Context, add func(...string) error) error {
				cmd := exec.CommandContext(ctx, "node", append([]string{"scan.mjs", library}, args...)...)
				cmd.Dir = "node"
				out, err := cmd.Output()
				if exit, ok := err.(*exec.ExitError); ok {
					err = fmt.Errorf("%w: %s", err, exit.Stderr)
				}
				if err != nil {
					return err
				}
				var names []string
				if err := json.Unmarshal(out, &names); err != nil {
					return err
				}
				return add(names...)
			}})
		}
	}
	return all
}
