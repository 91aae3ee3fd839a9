package faults

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/wait"
	"viewring/internal/wire"
	"viewring/tests/harness"
	"viewring/tests/history"
)

// lockRun is what all lockers share.
type lockRun struct {
	locks   int
	ops     int // that are wanted
	think   time.Duration
	began   time.Time
	history history.LockHistory
	direct  map[string]string // where the view leaders listen, by where they are reached
	leader  *wire.Leader      // by a way that is never cut
	over    atomic.Bool       // faults are
	queues  []sampledQueue

	failed, closed, cuts atomic.Int64
}

func (r *lockRun) now() time.Duration { return time.Since(r.began) }
func (r *lockRun) goesOn() bool       { return !r.over.Load() || r.history.Len() < r.ops }

// TestLockHistory has clients take turns at locks while view leaders are killed,
// paused and cut off, and looks for an order that explains all they were told.
// VIEWRING_LOCK_OPS=10000 has 50 clients ask for so much.
func TestLockHistory(t *testing.T) {
	ops, clients, faults := 600, 12, 3
	if n, err := strconv.Atoi(os.Getenv("VIEWRING_LOCK_OPS")); err == nil {
		ops, clients, faults = n, 50, 12
	} else {
		harness.Slow(t)
	}
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Leaders: 3, Servers: 1, LeaderFlags: []string{"--partitions", "16"}})
	r := &lockRun{locks: 1 + clients/4, ops: ops, think: 300 * time.Millisecond, began: time.Now(), direct: make(map[string]string)}
	o := c.Options()
	for i, n := range c.Leaders {
		r.direct[o.Leaders[i]] = n.Addr
	}
	o.Dialer = (&way{direct: r.direct}).dial
	r.leader = wire.NewLeader(o.Leaders, wire.DialFunc(o.Dialer))
	t.Cleanup(func() { r.leader.Close() })
	var running sync.WaitGroup
	for i := range clients {
		l := r.newLocker(t, i, o)
		running.Go(l.run)
	}
	running.Go(func() { r.watchQueues(t.Context(), r.leader) })
	var disturbances []sampledFault
	kinds := make(map[string]int)
	for done := range faults {
		head := r.head(t, c)
		wait.For(t.Context(), time.Second)
		from := r.now()
		kinds[headFault(t, c, head, done)]++
		r.head(t, c)
		disturbances = append(disturbances, sampledFault{from, r.now()})
	}
	r.over.Store(true)
	r.finish(t, &running)
	took, checking := r.now(), time.Now()
	err := r.history.Check()
	t.Logf("%d operations by %d clients on %d locks in %v; head killed %d, paused %d, cut off %d times; %d clients cut off, %d closed their sessions; %d failed",
		r.history.Len(), clients, r.locks, took.Round(time.Millisecond), kinds["kill"], kinds["pause"], kinds["partition"], r.cuts.Load(), r.closed.Load(), r.failed.Load())
	if err != nil {
		t.Error(err)
	} else {
		t.Logf("porcupine: ok after %v", time.Since(checking).Round(time.Millisecond))
	}
	pairs, left, passed := r.checkQueues(disturbances)
	t.Logf("%d pairs seen in line, %d passed; %d while the head failed", pairs, len(passed), left)
	for _, p := range passed {
		t.Error(p)
	}
	if r.history.Len() < ops || pairs+left < ops/100 {
		t.Errorf("only %d operations of %d, %d and %d pairs in line", r.history.Len(), ops, pairs, left)
	}
}

// head waits until all view leaders are up, and returns their head.
func (r *lockRun) head(t *testing.T, c *harness.Cluster) (head *harness.Node) {
	t.Helper()
	harness.Eventually(t, "all view leaders are up", func() bool {
		g, err := r.leader.Group(t.Context())
		head = nil
		for _, m := range g.Members {
			for _, n := range c.Leaders {
				if err == nil && m.ID == g.Head && r.direct[m.Addr] == n.Addr {
					head = n
				}
			}
			if !m.Heard {
				return false
			}
		}
		return head != nil
	})
	return head
}

// finish waits until all clients have come to an end, as they must once nothing goes
// wrong any more.
func (r *lockRun) finish(t *testing.T, running *sync.WaitGroup) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		running.Wait()
		close(ended)
	}()
	for r.goesOn() && wait.For(t.Context(), 10*time.Millisecond) {
	}
	select {
	case <-ended:
	case <-time.After(2 * time.Minute):
		all, err := r.leader.Locks(t.Context())
		t.Fatalf("clients wait yet: %+v, %v", all, err)
	}
}

// headFault lets something happen to the head: a kill; a pause, or a partition, for
// longer than an election takes.
func headFault(t *testing.T, c *harness.Cluster, head *harness.Node, n int) string {
	switch n % 3 {
	case 0:
		head.Kill()
		wait.For(t.Context(), time.Second)
		head.Start()
		return "kill"
	case 1:
		head.Pause()
		wait.For(t.Context(), 3*time.Second)
		head.Resume()
		return "pause"
	}
	var others []string
	for _, n := range c.Leaders {
		if n != head {
			others = append(others, n.Name)
		}
	}
	c.Net.Hold([]string{head.Name}, others)
	c.Net.Hold(others, []string{head.Name})
	wait.For(t.Context(), 3*time.Second)
	c.Net.Heal()
	return "partition"
}
