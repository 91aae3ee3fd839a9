package clients

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"viewring/client"
	"viewring/ring"
	"viewring/tests/harness"
	"viewring/viewleader/vocab"
)

// TestRolling restarts all servers, one after the other, and a view leader, round after
// round, as an operator does: SIGTERM, and the next one when all copies are back. At the end a
// server joins, and one leaves. No write of a plain client fails, though it has no request ids
// to ask again with. VIEWRING_ROLLING_ROUNDS says how many rounds, by default one.
func TestRolling(t *testing.T) {
	harness.Slow(t)
	for name, secrets := range map[string]*harness.Secrets{"plain": nil, "encrypted": harness.NewSecrets(t)} { // beside each other: they mostly wait
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			roll(t, secrets)
		})
	}
}

func roll(t *testing.T, secrets *harness.Secrets) {
	// Nobody is to be taken for dead on a busy machine: that would not be planned.
	cluster := harness.NewCluster(t, harness.Config{Leaders: 3, Servers: 5, LeaderFlags: []string{"--down-after", "20s", harness.UserPartitions}, Direct: true, Secrets: secrets})
	began := time.Now()
	stays := new(atomic.Pointer[harness.Node]) // it is not being restarted
	stays.Store(cluster.Servers[4])
	drivers := rollingClients(t, cluster, secrets, stays, func(who string, err error) {
		if t.Context().Err() == nil { // else the test has failed and is over
			t.Logf("%6.1f s: %s: %.300v", time.Since(began).Seconds(), who, err)
		}
	})
	for _, d := range drivers {
		if err := d.load(); err != nil {
			t.Fatalf("%s: load: %v", d.name(), err)
		}
	}
	rounds := int(harness.EnvUint(t, "VIEWRING_ROLLING_ROUNDS", 1))
	for round := range rounds {
		for i, n := range cluster.Servers {
			stays.Store(cluster.Servers[(i+1)%len(cluster.Servers)])
			at := time.Since(began)
			n.Stop()
			ended := time.Since(began)
			n.Start()
			cluster.WaitBalanced()
			t.Logf("%6.1f s: round %d: %s ended after %.1f s, all copies are back after %.1f s", at.Seconds(), round+1, n.Name,
				(ended - at).Seconds(), (time.Since(began) - ended).Seconds())
		}
		leader := cluster.Leaders[round%len(cluster.Leaders)]
		leader.Stop()
		leader.Start()
		cluster.WaitLeaders()
	}
	stays.Store(cluster.Servers[1])
	comeAndGo(t, cluster)
	t.Logf("%6.1f s: one has joined and one has left", time.Since(began).Seconds())
	dead := takenForDead(t, cluster)
	if len(dead) > 0 {
		t.Logf("the machine stood still: failed writes say nothing, for servers were taken for dead that live: %q", dead)
	}
	var table strings.Builder
	fmt.Fprintf(&table, "| client, %d rounds, encrypted: %v | writes | failed | lost | longest |\n|---|---|---|---|---|\n", rounds, secrets != nil)
	for _, d := range drivers {
		o, err := d.finish()
		if err != nil {
			t.Errorf("%s: finish: %v", d.name(), err)
		}
		if o.Errors > 0 && len(dead) == 0 || o.Lost > 0 || o.Acked < 20*rounds {
			t.Errorf("%s: %+v", d.name(), o)
		}
		fmt.Fprintf(&table, "| %s | %d | %d | %d | %d ms |\n", d.name(), o.Acked, o.Errors, o.Lost, o.Longest)
	}
	fmt.Print(table.String())
}

// takenForDead are the events of servers that were declared down, and lived: what comes of
// writes then is that of a crash. On a machine that is busy beyond measure it may happen.
func takenForDead(t *testing.T, cluster *harness.Cluster) (events []string) {
	t.Helper()
	all, err := cluster.Admin.Events(t.Context(), 0, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Kind == vocab.EventUp && strings.HasSuffix(e.Detail, "the same process") {
			events = append(events, fmt.Sprintf("%v %s", e.Server, e.Detail))
		}
	}
	return events
}

// comeAndGo lets a server join, and the first one leave.
func comeAndGo(t *testing.T, cluster *harness.Cluster) {
	t.Helper()
	cluster.Add()
	cluster.WaitBalanced()
	leaves := cluster.Servers[0]
	if _, err := cluster.Admin.Leave(t.Context(), leaves.Addr); err != nil {
		t.Fatal(err)
	}
	cluster.WaitView("one has left", func(v *ring.View) bool {
		return !slices.ContainsFunc(v.Members, func(m ring.Member) bool { return m.Addr == leaves.Addr })
	})
	cluster.Forget(cluster.Servers[0])
	cluster.WaitBalanced()
}

const (
	rollingEvery = 20 * time.Millisecond  // of each loop of a library
	rollingCLI   = 100 * time.Millisecond // of redis-cli: each command is a process
	rollingKeys  = 250                    // of each loop
)

// rollingClients are plain ones, and our own, as their users have them.
func rollingClients(t *testing.T, cluster *harness.Cluster, secrets *harness.Secrets, stays *atomic.Pointer[harness.Node], fail func(who string, err error)) []driver {
	t.Helper()
	options := &redis.ClusterOptions{Addrs: cluster.Addrs()}
	env := []string{fmt.Sprint("LOAD_EVERY=", rollingEvery.Milliseconds()), fmt.Sprint("LOAD_KEYS=", rollingKeys)}
	var flags []string
	if secrets != nil {
		options.TLSConfig, options.Password = secrets.TLS(t), harness.Word
		// Over TLS it does not see that an idle connection was closed, and tries four of them at
		// most (server/redis/README.md).
		options.ConnMaxIdleTime = 500 * time.Millisecond
		env = append(env, "CLIENT_PASSWORD="+harness.Word, "CLIENT_CA="+secrets.CA, "CLIENT_CERT="+secrets.Cert, "CLIENT_KEY="+secrets.Key)
		flags = []string{"--tls", "--cacert", secrets.CA, "--cert", secrets.Cert, "--key", secrets.Key, "--pass", harness.Word, "--no-auth-warning"}
	}
	libraries := []*library{openGoRedisCluster(t, options), ours(t, cluster)}
	var drivers []driver
	for _, l := range libraries {
		l.pace = pace{every: rollingEvery, keys: rollingKeys, fail: func(err error) { fail(l.title, err) }}
		drivers = append(drivers, l)
	}
	if _, err := exec.LookPath("redis-cli"); err == nil {
		c := newCLI(harness.NewShell(t, cluster.Leader.Addr), func() []string {
			host, port, err := net.SplitHostPort(stays.Load().Addr)
			if err != nil {
				panic(err) // the harness made it
			}
			return append([]string{"-h", host, "-p", port}, flags...)
		})
		c.pace = pace{every: rollingCLI, keys: rollingKeys, fail: func(err error) { fail(c.title, err) }}
		drivers = append(drivers, c)
	}
	if npm(t) {
		drivers = append(drivers, startNode(t, "ioredis", cluster.Addrs(), env...))
	}
	return drivers
}

// ours is the product's own client, as far as a load needs it.
func ours(t *testing.T, cluster *harness.Cluster) *library {
	c := cluster.Open()
	return &library{t: t, title: "viewring", prefix: "viewring", do: func(ctx context.Context, args ...any) (any, error) {
		key := fmt.Sprint(args[1])
		if args[0] == "GET" {
			v, err := c.Get(ctx, key)
			return string(v.Bytes), err
		}
		_, err := c.Set(ctx, key, fmt.Append(nil, args[2]), client.Always())
		return "OK", err
	}}
}
