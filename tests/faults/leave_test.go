package faults

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"viewring/internal/wire"
	"viewring/ring"
	"viewring/tests/harness"
)

// TestLeaveTellsClients: a client's map of the cluster may name a server that has left, and
// some clients look again only when somebody tells them (go-redis, for a minute). So the server
// that has left says where everything is until its clients have hung up. Then it ends.
func TestLeaveTellsClients(t *testing.T) {
	t.Parallel()
	cluster := harness.NewCluster(t, harness.Config{Servers: 5, Direct: true})
	leaves, next := cluster.Servers[4], cluster.Servers[3]
	ask := func(c *wire.Conn, key string) string {
		v, err := c.Do(t.Context(), []byte("GET"), []byte(key))
		if err != nil {
			return err.Error()
		}
		return v.Text()
	}
	early := dialPlain(t, leaves.Addr)
	if _, err := cluster.Admin.Leave(t.Context(), leaves.Addr); err != nil {
		t.Fatal(err)
	}
	cluster.WaitView("one has left", func(v *ring.View) bool { return len(v.Members) == 4 })
	leaves.Daemon().Stderr.Wait(t, "has left the cluster", leaves.Daemon().Done)
	for i := range 20 {
		key := fmt.Sprint("key", i)
		addr, told := "", ask(early, key)
		if _, err := fmt.Sscanf(told, "MOVED %d %s", new(int), &addr); err != nil || addr == leaves.Addr {
			t.Fatalf("%s at the server that has left: %q", key, told)
		}
		if told := ask(dialPlain(t, addr), key); strings.HasPrefix(told, "MOVED") {
			t.Errorf("%s at %s, where it is told to be: %q", key, addr, told)
		}
	}
	if _, err := cluster.Admin.Leave(t.Context(), next.Addr); err != nil { // what changes since is told, too
		t.Fatal(err)
	}
	cluster.WaitView("two have left", func(v *ring.View) bool { return len(v.Members) == 3 })
	harness.Eventually(t, "nobody is sent to the second", func() bool {
		for i := range 20 {
			if told := ask(early, fmt.Sprint("key", i)); !strings.HasPrefix(told, "MOVED") || strings.HasSuffix(told, next.Addr) {
				return false
			}
		}
		return true
	})
	late := dialPlain(t, leaves.Addr)
	_ = early.Close()
	if told := ask(late, "late"); !strings.HasPrefix(told, "MOVED") {
		t.Errorf("to a client that came after it has left: %q", told)
	}
	_ = late.Close()
	<-leaves.Daemon().Done
	if code := leaves.Daemon().Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// dialPlain connects as any client of Redis's protocol does.
func dialPlain(t *testing.T, addr string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(t.Context(), addr, new(net.Dialer).DialContext, wire.DefaultLimits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
