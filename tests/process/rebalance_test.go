package process

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/client"
	"viewring/tests/harness"
)

// rebalanced is what 'rebalance --json' prints of a server.
type rebalanced struct {
	Server, Error string
	Paused        bool
	Limit, Left   uint64
	Gives         uint64
	Waits         []struct {
		For    string
		Copies uint64
	}
}

func rebalance(t *testing.T, s *harness.Shell, args ...string) []rebalanced {
	t.Helper()
	var o struct {
		Version int
		Servers []rebalanced
	}
	if err := json.Unmarshal([]byte(s.OK(append([]string{"rebalance", "--json"}, args...)...)), &o); err != nil || o.Version != 1 {
		t.Fatal(err, o)
	}
	return o.Servers
}

func testRebalance(t *testing.T, s *harness.Shell) {
	rebalance(t, s, "rate", "1048576")
	for i, r := range rebalance(t, s, "pause", "--server", "s2") {
		if i > 0 || !r.Paused || r.Limit != 1<<20 || r.Error != "" {
			t.Errorf("pause: %+v", r)
		}
	}
	for _, r := range rebalance(t, s, "status") {
		if r.Paused != (r.Server == "s2") || r.Limit != 1<<20 || r.Left != 0 {
			t.Errorf("status: %+v", r)
		}
	}
	if text := s.OK("rebalance", "status"); !strings.Contains(text, "s2: paused by 127.0.0.1 at ") || !strings.Contains(text, "1.0 MiB/s") || !strings.Contains(text, "stopped writes for at most ") {
		t.Errorf("status:\n%s", text)
	}
	rebalance(t, s, "resume")
	for _, r := range rebalance(t, s, "rate", "0") {
		if r.Paused || r.Limit != 0 {
			t.Errorf("rate 0: %+v", r)
		}
	}
	harness.Eventually(t, "copying would give way to clients", func() bool {
		s.OK("setr", "paced", "x")
		return slices.ContainsFunc(rebalance(t, s, "status"), func(r rebalanced) bool { return r.Gives > 0 })
	})
	s.Fails(2, "missing", "rebalance")
	s.Fails(2, "BYTES", "rebalance", "rate")
	s.Fails(2, "BYTES", "rebalance", "rate", "fast")
	s.Fails(2, "BYTES", "rebalance", "rate", "--", "-1")
	s.Fails(1, "not found", "rebalance", "status", "--server", "s9")
	s.Fails(2, "HOST:PORT", "rebalance", "pause", "--server", "nonsense")
}

// TestRebalancePaused: a server whose copying in is paused stays so over a restart, catches
// up with nothing, and with all when it is let go on.
func TestRebalancePaused(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Servers: 3})
	s := harness.NewShell(t, c.Leader.Addr)
	away := c.Servers[0]
	id := away.ID().String()
	rebalance(t, s, "pause", "--server", id)
	away.Kill()
	c.WaitDown(away)
	for i := range 200 {
		if _, err := c.Client.Set(t.Context(), fmt.Sprint("key ", i), []byte("new"), client.Always()); err != nil {
			t.Fatal(err)
		}
	}
	away.Start()
	c.WaitUp(away)
	harness.Eventually(t, "the server knows what it lacks", func() bool {
		r := rebalance(t, s, "status", "--server", id)[0]
		return r.Paused && r.Left > 0 && len(r.Waits) == 1 && r.Waits[0].For == "resume" && r.Waits[0].Copies == r.Left
	})
	if text := s.OK("rebalance", "status"); !strings.Contains(text, id+": its copying is paused, and ") { // by whom is known until a restart
		t.Errorf("status does not say why:\n%s", text)
	}
	if text := s.OK("query_servers"); !strings.Contains(text, "COPIES TO") || !strings.Contains(text, id+": its copying is paused") {
		t.Errorf("query_servers does not say why:\n%s", text)
	}
	left := rebalance(t, s, "status", "--server", id)[0].Left
	harness.Pass(t, 2*time.Second) // it would be done by then
	if r := rebalance(t, s, "status", "--server", id)[0]; r.Left != left {
		t.Errorf("%d partitions were left, %d are now", left, r.Left)
	}
	rebalance(t, s, "resume")
	c.WaitBalanced()
	c.CheckCopies()
}
