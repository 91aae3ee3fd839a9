package process

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"viewring/client/admin"
	"viewring/ring"
	"viewring/tests/harness"
)

// planned is what 'plan --json' prints, as far as the tests look at it.
type planned struct {
	Version, Copies, Pending, Moved, Fewest int
	Seconds                                 float64
	Meanwhile                               [4]int
	Servers                                 []struct {
		ID         string
		New, Goes  bool
		Copies     int
		CopiesThen int    `json:"copies_then"`
		ToCopy     int    `json:"to_copy"`
		WeightThen int    `json:"weight_then"`
		ZoneThen   string `json:"zone_then"`
	}
	Bytes       uint64
	BalanceThen struct{ Copies, Primaries float64 } `json:"balance_then"`
	Routes      []struct {
		From, To string
		Copies   int
	}
}

func planOf(t *testing.T, s *harness.Shell, args ...string) (p planned) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.OK(append([]string{"plan", "--json"}, args...)...)), &p); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, r := range p.Routes {
		sum += r.Copies
	}
	if p.Version != 1 || sum != p.Copies {
		t.Errorf("plan %v: version %d, %d copies, and its routes come to %d", args, p.Version, p.Copies, sum)
	}
	return p
}

// testPlan: three servers have all partitions three times.
func testPlan(t *testing.T, s *harness.Shell) {
	join := planOf(t, s, "join", "--count", "2", "--zone", "a,b")
	if n := len(join.Servers); n != 5 || !join.Servers[4].New || join.Copies != join.Moved || join.Moved < join.Fewest || join.Meanwhile[3] != harness.Partitions() {
		t.Errorf("plan join: %+v", join)
	}
	if leave := planOf(t, s, "leave", "s2"); leave.Copies != 0 || leave.Meanwhile[3] != harness.Partitions() || !leave.Servers[1].Goes {
		t.Errorf("plan leave, of one of three: %+v", leave)
	}
	if remove := planOf(t, s, "remove", "s2", "s3"); remove.Copies != 0 || remove.Meanwhile != [4]int{0, harness.Partitions(), 0, 0} || remove.Seconds != 0 {
		t.Errorf("plan remove, of two of three: %+v", remove)
	}
	for want, args := range map[string][]string{
		"no partition has fewer copies": {"leave", "s1"},
		"copies of partitions are":      {"join"},
		"s4 (new)":                      {"join"},
		"s1 (goes)":                     {"remove", "s1"},
		fmt.Sprintf("1 copy of %d partitions", harness.Partitions()): {"remove", "s1", "s2"},
	} {
		if got := s.OK(append([]string{"plan"}, args...)...); !strings.Contains(got, want) {
			t.Errorf("plan %v does not say %q:\n%s", args, want, got)
		}
	}
	if heavy := planOf(t, s, "join", "--weight", "64"); heavy.Servers[3].CopiesThen != harness.Partitions() || heavy.Servers[3].WeightThen != 64 {
		t.Errorf("plan join, of one that outweighs the others: %+v", heavy)
	}
	if same := planOf(t, s, "set-zone", "s1", "x"); same.Copies != 0 || same.Servers[0].ZoneThen != "x" || same.BalanceThen.Copies != 1 {
		t.Errorf("plan set-zone, of one of three: %+v", same)
	}
	planOf(t, s, "set-weight", "s2", "5")
	before := planOf(t, s, "join").Bytes
	if r := s.Run(strings.Repeat("x", 8<<20), "file", "put", "-", "/planned"); r.Code != 0 {
		t.Fatal(r.Stderr)
	}
	harness.Eventually(t, "a plan counts what is not keys", func() bool { return planOf(t, s, "join").Bytes > before+2<<20 })
	s.OK("file", "rm", "/planned")
	s.Fails(4, "no server", "plan", "set-weight", "s99", "2")
	for _, args := range [][]string{{"plan", "set-weight", "s1", "0"}, {"plan", "join", "--weight", "65"}, {"set-weight", "s1", "much"}, {"set-zone", "s1"}, {"server", "--weight", "0"}} {
		s.Fails(2, "", args...)
	}
	s.Fails(4, "no server", "plan", "leave", "s99")
	s.Fails(4, "no server would be left", "plan", "remove", "s1", "s2", "s3")
	s.Fails(2, "missing", "plan", "leave")
	s.Fails(2, "missing", "plan")
	s.Fails(2, "--count", "plan", "join", "--count", "0")
	s.Fails(2, "--zone", "plan", "join", "--count", "3", "--zone", "a,b")
}

// TestPlanComesTrue compares plans with what then happens: the copies of each server, and
// within a twentieth the bytes that are copied.
func TestPlanComesTrue(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Servers: 4})
	s := harness.NewShell(t, c.Leader.Addr)
	const keys = 24_000
	s.OK("bench", "--keys", fmt.Sprint(keys), "--value-size", "1024", "--seconds", "0.1")
	c.WaitBalanced()
	for _, tt := range []struct {
		plan    []string
		members int // then
		do      func()
	}{
		{[]string{"join"}, 5, func() { c.Add() }},
		{[]string{"set-weight", "s2", "3"}, 5, func() { s.OK("set-weight", "s2", "3", "--yes") }},
		{[]string{"leave", "s1"}, 4, func() { s.OK("leave", "s1") }},
	} {
		harness.Eventually(t, "heartbeats tell what servers have, and of what moved away nothing is left", func() bool {
			st, err := c.Admin.Status(t.Context())
			if err != nil {
				return false
			}
			sum := uint64(0)
			for _, h := range st.Servers {
				if sum += h.Stats.Keys; h.Stats.Carried() != h.Stats.Bytes {
					return false
				}
			}
			return sum == 3*keys
		})
		before := copiedIn(t, c)
		plan, began := planOf(t, s, tt.plan...), time.Now()
		tt.do()
		harness.Eventually(t, "the cluster has rebalanced", func() bool {
			st, err := c.Admin.Status(t.Context())
			return err == nil && st.Safety().Balanced && len(st.View.Members) == tt.members
		})
		took := time.Since(began)
		copied := uint64(0)
		for id, n := range copiedIn(t, c) {
			copied += n - before[id]
		}
		t.Logf("%v: %d copies, %d bytes planned, %d copied; %.1f s planned, %.1f s to the end", tt.plan, plan.Copies, plan.Bytes, copied, plan.Seconds, took.Seconds())
		if off := math.Abs(float64(copied)/float64(plan.Bytes) - 1); off > 0.05 {
			t.Errorf("%v: %d bytes were copied, the plan said %d", tt.plan, copied, plan.Bytes)
		}
		checkPlanned(t, c, plan)
	}
}

// copiedIn is what each server has copied in since its start.
func copiedIn(t *testing.T, c *harness.Cluster) map[ring.ServerID]uint64 {
	t.Helper()
	all := make(map[ring.ServerID]uint64)
	for _, m := range c.Admin.View().Members {
		server, err := admin.DialServer(t.Context(), m.Addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := server.Rebalancing(t.Context())
		_ = server.Close() // it was asked
		if err != nil {
			t.Fatal(err)
		}
		all[m.ID] = r.Bytes
	}
	return all
}

// checkPlanned wants each server to hold what the plan said.
func checkPlanned(t *testing.T, c *harness.Cluster, plan planned) {
	t.Helper()
	st, err := c.Admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	for _, s := range plan.Servers {
		for _, m := range st.View.Members {
			primary, backup, _ := st.Roles(m.ID)
			if m.ID.String() == s.ID && primary+backup != s.CopiesThen {
				t.Errorf("%s has %d copies, the plan said %d", s.ID, primary+backup, s.CopiesThen)
			}
		}
		moved += s.ToCopy
	}
	if moved != plan.Moved || plan.Moved > plan.Fewest*5/4 {
		t.Errorf("the plan was %+v", plan)
	}
}
