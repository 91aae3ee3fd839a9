package process

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"viewring/tests/harness"
)

// Idle clients take all the file descriptors that they can get of servers and of the view leader that
// have few: a server that is started again gets its copies all the same, and is told of.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	leader := s.StartWithin(64, "viewleader", "--listen", s.Leader, "--data", "leader", "--out-after", "5m")
	leader.Stderr.Wait(t, "view leader is up", leader.Done)
	leader.Stderr.Wait(t, "too few file descriptors for all clients", leader.Done)
	var servers []*harness.Daemon
	var addrs []string
	start := func(i int) {
		d := s.StartWithin(64, "server", "--listen", addrs[i], "--data", fmt.Sprint("s", i+1))
		d.Stderr.Wait(t, "joined the cluster", d.Done)
		d.Stderr.Wait(t, "too few file descriptors for all clients", d.Done)
		servers = append(servers, d)
	}
	for i := range 3 {
		addrs = append(addrs, harness.FreeAddr(t))
		start(i)
	}
	safe := func(what string) {
		t.Helper()
		harness.Eventually(t, what, func() bool {
			r := s.Run("", "query_servers", "--timeout", "5s")
			return strings.Contains(r.Stdout, "safe: all") && strings.Contains(r.Stdout, "; rebalanced")
		})
	}
	safe("the cluster has all copies")
	for _, addr := range append(addrs[:2:2], s.Leader) {
		for range 60 {
			c := dialPlain(t, addr)
			fmt.Fprintf(c, "PING\r\n")
		}
	}
	for i, d := range servers[:2] {
		d.Stderr.Wait(t, "file descriptors of the process", d.Done)
		if ended, _ := isOver(d); ended {
			t.Fatalf("server %d has ended", i+1)
		}
	}
	if err := servers[2].Cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-servers[2].Done
	start(2)
	safe("the server that was started again has its copies")
	var o struct{ Servers []map[string]any }
	if err := json.Unmarshal([]byte(s.OK("query_servers", "--json")), &o); err != nil {
		t.Fatal(err)
	}
	for _, m := range o.Servers {
		t.Logf("%v: %v of %v descriptors, %v clients", m["id"], m["files"], m["files_max"], m["clients"])
		if m["files_max"].(float64) != 64 {
			t.Errorf("%v says that it may have %v descriptors", m["id"], m["files_max"])
		}
	}
}

func isOver(d *harness.Daemon) (bool, int) {
	select {
	case <-d.Done:
		return true, d.Cmd.ProcessState.ExitCode()
	default:
		return false, 0
	}
}

// A limit with which nothing would work is refused, with what to do.
func TestTooFewDescriptors(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	for _, args := range [][]string{{"viewleader", "--listen", s.Leader, "--data", "leader"}, {"server", "--listen", harness.FreeAddr(t), "--data", "s1"}} {
		d := s.StartWithin(24, args...)
		<-d.Done
		if _, code := isOver(d); code != 4 || !strings.Contains(d.Stderr.Text(), "ulimit -n") {
			t.Errorf("%v: exit %d, %s", args, code, d.Stderr.Text())
		}
	}
}
