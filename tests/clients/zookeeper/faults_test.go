package zookeeper

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"viewring/tests/harness"
)

// faultSession is how long a session of kazoo's lives without its client, seconds.
const faultSession = "10"

// recipes is python/faults.py at work.
type recipes struct {
	t     *testing.T
	mu    sync.Mutex
	last  recipesLine
	stop  func()
	ended chan struct{}
}

// recipesLine is a line of it.
type recipesLine struct {
	Over    bool
	Counts  map[string]int
	Found   []string          // what is wrong
	Unknown map[string]string // changes the answers to which were lost
}

func startRecipes(t *testing.T, hosts ...string) *recipes {
	t.Helper()
	python, err := python()
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command(python, "python/faults.py", strings.Join(hosts, ","), faultSession)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := &recipes{t: t, stop: func() { in.Close() }, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var l recipesLine
			if json.Unmarshal(lines.Bytes(), &l) != nil {
				continue // its end says that it failed
			}
			r.mu.Lock()
			r.last = l
			r.mu.Unlock()
		}
		_ = cmd.Wait() // its last line says how it ended
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-r.ended
	})
	return r
}

func (r *recipes) line() recipesLine {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// goOn waits until every recipe has done more than before.
func (r *recipes) goOn(after string) {
	r.t.Helper()
	before := r.line().Counts
	began := time.Now()
	defer func() {
		if r.t.Failed() {
			r.t.Logf("%s: %v, before that %v; found so far: %v", after, r.line().Counts, before, r.line().Found)
		}
	}()
	harness.Eventually(r.t, "every recipe goes on after: "+after, func() bool {
		if found := r.line().Found; len(found) > 0 {
			r.t.Fatalf("%s: %.2000s", after, strings.Join(found, "\n"))
		}
		now := r.line().Counts
		for name, n := range now {
			if n < before[name]+3 {
				return false
			}
		}
		select {
		case <-r.ended:
			r.t.Fatalf("faults.py has ended: %+v", r.line())
		default:
		}
		return len(now) > 0
	})
	r.t.Logf("%s: every recipe goes on after %v", after, time.Since(began).Round(10*time.Millisecond))
}

// finish ends the work, and fails the test with all that was wrong.
func (r *recipes) finish() {
	r.t.Helper()
	r.stop()
	select {
	case <-r.ended:
	case <-time.After(3 * time.Minute):
		r.t.Fatal("faults.py did not end")
	}
	l := r.line()
	if !l.Over {
		r.t.Fatal("faults.py ended too early")
	}
	for _, f := range l.Found {
		r.t.Error(f)
	}
	r.t.Logf("done: %v; unknown: %v", l.Counts, l.Unknown)
}

// TestRecipesThroughFaults has kazoo's recipes at work by two fronts, while a server, each
// front and the head of the view leaders are killed. No session may end that has a living
// client.
func TestRecipesThroughFaults(t *testing.T) {
	harness.Slow(t)
	c := harness.NewCluster(t, harness.Config{Servers: 5, Leaders: 3, Direct: true})
	var leaders []string
	for _, n := range c.Leaders {
		leaders = append(leaders, n.Addr)
	}
	shell := harness.NewShell(t, strings.Join(leaders, ","))
	fronts := []front{startFront(t, shell), startFront(t, shell)}
	r := startRecipes(t, fronts[0].addr, fronts[1].addr)
	r.goOn("the start")
	for i := range fronts {
		fronts[i].kill()
		r.goOn("a front is killed")
		fronts[i].Daemon = shell.Start("zk", "--listen", fronts[i].addr)
		harness.Eventually(t, "the front listens again", func() bool { return dials(fronts[i].addr) })
	}
	for _, n := range c.Servers[:2] {
		n.Kill()
		c.WaitDown(n)
		r.goOn(n.Name + " is killed")
		n.Start()
		c.WaitBalanced()
	}
	head := c.WaitLeaders()
	head.Kill()
	r.goOn("the head of the view leaders is killed")
	head.Start()
	c.WaitLeaders()
	r.goOn("all are back")
	r.finish()
}

// TestRecipesThroughFaultsOfZooKeeper proves the test above: ZooKeeper passes it.
func TestRecipesThroughFaultsOfZooKeeper(t *testing.T) {
	harness.Slow(t)
	if err := hasZooKeeper(); err != nil {
		t.Skip(err)
	}
	addrs, servers := startEnsemble(t)
	r := startRecipes(t, addrs...)
	r.goOn("the start")
	for i, s := range servers {
		s.kill()
		r.goOn(fmt.Sprintf("server %d is killed", i))
		s.start()
		harness.Eventually(t, "the server is back", func() bool { return serves(addrs[i]) })
	}
	r.finish()
}
