package process

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"viewring/client"
	"viewring/tests/harness"
)

// TestWait: wait ends well once what is asked for holds, and says what is missing where it does not.
func TestWait(t *testing.T) {
	t.Parallel()
	all := harness.FreeAddrs(t, 4)
	leader, addrs := all[0], all[1:]
	s := harness.NewShell(t, leader)
	early := s.Start("wait", "--servers", "3", "--safe", "--timeout", "2m") // before there is a cluster
	s.Fails(3, "not known within", "wait", "--safe", "--timeout", "300ms")
	s.Fails(2, "for what?", "wait")
	s.Fails(2, "unexpected", "wait", "--safe", "now")
	s.Start("viewleader", "--listen", leader, "--data", "leader", "--partitions", "64")
	var last *harness.Daemon
	server := func(i int) {
		last = s.Start("server", "--listen", addrs[i], "--data", fmt.Sprint("s", i+1))
		last.Stderr.Wait(t, "joined the cluster", last.Done)
	}
	for i := range addrs {
		server(i)
	}
	<-early.Done
	if code := early.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("exit %d, %s", code, early.Stderr.Text())
	}
	s.OK("wait", "--balanced", "--timeout", "2m")
	var o struct {
		Version, Up    int
		Safe, Balanced bool
		Epoch          uint64
	}
	if err := json.Unmarshal([]byte(s.OK("wait", "--safe", "--json")), &o); err != nil || o.Version != 1 || o.Up != 3 || !o.Safe || !o.Balanced || o.Epoch == 0 {
		t.Errorf("%+v, %v", o, err)
	}
	misses := func(what string, args ...string) { // a busy machine may not answer in time
		t.Helper()
		harness.Eventually(t, what, func() bool {
			r := s.Run("", append([]string{"wait", "--timeout", "300ms"}, args...)...)
			return r.Code == 1 && strings.Contains(r.Stderr, what)
		})
	}
	misses("the epoch is", "--epoch", "1000000")
	misses("3 servers up", "--servers", "4")
	_ = last.Cmd.Process.Kill()
	<-last.Done
	misses("with too few copies", "--safe")
	server(2)
	s.OK("wait", "--safe", "--epoch", "4", "--timeout", "2m")
}

// TestUndrain: a drained server serves again without a restart; what can't be taken back is told.
func TestUndrain(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Servers: 4, LeaderFlags: []string{"--partitions", "64"}})
	c.WaitBalanced()
	s := harness.NewShell(t, c.Leader.Addr)
	n := c.Servers[1]
	id := n.ID().String()
	keys := c.Open()
	set := func(value string) {
		t.Helper()
		var puts []client.Put
		for i := range 100 {
			puts = append(puts, client.Put{Key: "k" + strings.Repeat("x", i), Value: []byte(value)})
		}
		for _, r := range keys.SetMany(t.Context(), puts) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	set("before")
	s.OK("drain", id)
	set("meanwhile")
	if got := s.OK("undrain", id); !strings.Contains(got, id+" serves again") {
		t.Errorf("undrain: %s", got)
	}
	s.OK("wait", "--safe", "--balanced", "--timeout", "2m")
	s.OK("undrain", id) // has nothing to do
	if n := c.CheckCopies(); n < 100 {
		t.Errorf("%d keys", n)
	}
	if got := s.OK("events"); !strings.Contains(got, "undrained") {
		t.Errorf("events:\n%s", got)
	}
	s.Fails(4, "not a member", "undrain", "s9")
	s.OK("drain", id)
	n.Kill()
	c.WaitDown(n)
	s.Fails(4, "start it, which ends its drain", "undrain", id)
}
