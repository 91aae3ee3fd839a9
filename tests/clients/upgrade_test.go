package clients

import (
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"viewring/tests/harness"
)

// previousRelease is the commit that counts as the release before this one: what it has written this
// build reads, and the two speak with each other. Servers of builds before it (78ac040) may answer a
// plain client UNKNOWNOUTCOME while they drain.
const previousRelease = "94faa8c"

// buildRelease builds viewring as it was at a commit.
func buildRelease(t *testing.T, commit string) string {
	t.Helper()
	top := filepath.Join("..", "..")
	if err := exec.Command("git", "-C", top, "cat-file", "-e", commit+"^{commit}").Run(); err != nil {
		t.Skipf("the history has no %s here: %v", commit, err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "viewring")
	build := exec.Command("sh", "-c", `git -C "$0" archive "$1" | tar -x -C "$2" && cd "$2" && go build -o "$3" .`, top, commit, dir, program)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", commit, err, out)
	}
	return program
}

// TestUpgrade rolls a cluster from the previous release to this build under load, and back, as
// scripts/deploy/README.md says: the view leaders first, then the servers, one after the other; back
// the other way round. No write of a plain client fails, and none is lost.
func TestUpgrade(t *testing.T) {
	harness.Slow(t)
	previous := buildRelease(t, previousRelease)
	cluster := harness.NewCluster(t, harness.Config{Leaders: 3, Servers: 5, LeaderFlags: []string{"--down-after", "20s", harness.UserPartitions}, Direct: true, Program: previous})
	began := time.Now()
	stays := new(atomic.Pointer[harness.Node])
	stays.Store(cluster.Servers[4])
	drivers := rollingClients(t, cluster, nil, stays, func(who string, err error) {
		if t.Context().Err() == nil {
			t.Logf("%6.1f s: %s: %.300v", time.Since(began).Seconds(), who, err)
		}
	})
	for _, d := range drivers {
		if err := d.load(); err != nil {
			t.Fatalf("%s: load: %v", d.name(), err)
		}
	}
	change := func(n *harness.Node, program string) {
		n.Stop()
		n.Program = program
		n.Start()
		t.Logf("%6.1f s: %s runs again", time.Since(began).Seconds(), n.Name)
	}
	leaders := func(program string) {
		for _, n := range cluster.Leaders {
			change(n, program)
			cluster.WaitLeaders()
		}
	}
	servers := func(program string) {
		for i, n := range cluster.Servers {
			stays.Store(cluster.Servers[(i+1)%len(cluster.Servers)])
			change(n, program)
			cluster.WaitBalanced()
		}
	}
	leaders(harness.Program())
	servers(harness.Program())
	t.Log("all are upgraded")
	servers(previous)
	leaders(previous)
	dead := takenForDead(t, cluster)
	for _, d := range drivers {
		o, err := d.finish()
		if err != nil {
			t.Errorf("%s: finish: %v", d.name(), err)
		}
		if o.Errors > 0 && len(dead) == 0 || o.Lost > 0 || o.Acked < 20 {
			t.Errorf("%s: %+v", d.name(), o)
		}
		t.Logf("%s: %d writes, %d failed, %d lost, the longest took %d ms", d.name(), o.Acked, o.Errors, o.Lost, o.Longest)
	}
	if len(dead) > 0 {
		t.Logf("the machine stood still: failed writes say nothing, for servers were taken for dead that live: %q", dead)
	}
	cluster.CheckCopies()
}
