package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viewring/client"
	"viewring/internal/wait"
	"viewring/tests/harness"
)

// leaderLoad is what goes on while view leaders die: clients that take turns at
// locks, count in keys, and a server that joins and leaves.
type leaderLoad struct {
	t       *testing.T
	c       *harness.Cluster
	running sync.WaitGroup
	over    chan struct{}

	grants, keyOps, keyFailed, lockFailed, twice, lost, back, joins atomic.Int64
	longestKey                                                      atomic.Int64 // ns

	mu     sync.Mutex
	holder map[string]string
	token  map[string]uint64
	counts map[string]int64
}

func startLeaderLoad(t *testing.T, c *harness.Cluster) *leaderLoad {
	l := &leaderLoad{t: t, c: c, over: make(chan struct{}),
		holder: make(map[string]string), token: make(map[string]uint64), counts: make(map[string]int64)}
	for i := range 8 {
		cl := c.Client
		if i%2 == 1 {
			cl = c.Open()
		}
		l.running.Go(func() { l.lock(cl, fmt.Sprintf("locks %d", i%3), fmt.Sprintf("client %d", i)) })
	}
	for i := range 4 {
		l.running.Go(func() { l.count(fmt.Sprintf("count %d", i)) })
	}
	l.running.Go(l.join)
	return l
}

func (l *leaderLoad) isOver() bool {
	select {
	case <-l.over:
		return true
	default:
		return false
	}
}

func (l *leaderLoad) stop() {
	close(l.over)
	l.running.Wait()
}

// lock takes turns at a lock with others and sees to it that it is alone.
func (l *leaderLoad) lock(cl *client.Client, name, who string) {
	ctx := l.t.Context()
	for !l.isOver() {
		g, err := cl.LockGet(ctx, name, who, client.LockOptions{Wait: -1})
		if err != nil {
			l.lockFailed.Add(1)
			l.t.Logf("lock: %v", err)
			continue
		}
		l.mu.Lock()
		if other := l.holder[name]; other != "" {
			l.twice.Add(1)
			l.t.Errorf("%s is held by %s with token %d, and by %s", name, who, g.Token, other)
		}
		if g.Token <= l.token[name] {
			l.back.Add(1)
			l.t.Errorf("%s: token %d after %d", name, g.Token, l.token[name])
		}
		l.holder[name], l.token[name] = who, g.Token
		l.mu.Unlock()
		l.grants.Add(1)
		wait.For(ctx, 2*time.Millisecond)
		l.mu.Lock()
		l.holder[name] = ""
		l.mu.Unlock()
		switch err := cl.LockRelease(ctx, name, who); {
		case errors.Is(err, client.ErrNotHeld):
			l.lost.Add(1)
			l.t.Errorf("%s lost %s: %v", who, name, err)
		case err != nil:
			l.lockFailed.Add(1)
			l.t.Logf("release: %v", err)
		}
	}
}

// count adds up in a key: one for each acknowledged operation.
func (l *leaderLoad) count(key string) {
	ctx, n := l.t.Context(), int64(0)
	for !l.isOver() {
		began := time.Now()
		got, err := l.c.Client.Incr(ctx, key, 1)
		n++
		if err != nil || got != n {
			l.keyFailed.Add(1)
			l.t.Errorf("%s: %d, %v; want %d", key, got, err, n)
			n = got
		}
		l.keyOps.Add(1)
		if d := int64(time.Since(began)); d > l.longestKey.Load() {
			l.longestKey.Store(d)
		}
		wait.For(ctx, time.Millisecond)
	}
}

// join has one more server join and leave again, over and over.
func (l *leaderLoad) join() {
	ctx := l.t.Context()
	for !l.isOver() {
		n := l.c.Add()
		l.c.WaitUp(n)
		if _, err := l.c.Admin.Leave(ctx, n.Addr); err != nil {
			l.t.Errorf("leave: %v", err)
			return
		}
		<-n.Daemon().Done // a server that has left ends
		l.c.Forget(n)
		l.joins.Add(1)
	}
}

// leaderConfig is the cluster. A machine that is busy with the tests does not make
// the view leader take servers for dead.
var leaderConfig = harness.Config{Leaders: 3, Servers: 3, LeaderFlags: []string{"--partitions", "64", "--down-after", "5s"}}

// TestViewLeadersKilled kills the head of three view leaders again and again.
func TestViewLeadersKilled(t *testing.T) {
	t.Parallel()
	kills := 3
	if harness.IsSlow() {
		kills = 20
	}
	config := leaderConfig
	config.Direct = true
	c := harness.NewCluster(t, config)
	l := startLeaderLoad(t, c)
	var took []time.Duration
	for i := range kills {
		head := c.WaitLeaders()
		held := l.grants.Load()
		head.Kill()
		killed := time.Now()
		probe := fmt.Sprintf("probe %d", i)
		if _, err := c.Client.LockGet(t.Context(), probe, "prober", client.LockOptions{}); err != nil {
			t.Errorf("kill %d: %v", i, err)
		}
		took = append(took, time.Since(killed))
		if err := c.Client.LockRelease(t.Context(), probe, "prober"); err != nil {
			t.Errorf("kill %d: release: %v", i, err)
		}
		t.Logf("kill %d: %s; %d grants before; a new lock after %v", i+1, head.Name, held, took[i].Round(time.Millisecond))
		head.Start()
	}
	c.WaitLeaders()
	l.stop()
	slices.Sort(took)
	t.Logf("kills %d: time until a new lock is granted: median %d ms, worst %d ms", kills, took[len(took)/2].Milliseconds(), took[len(took)-1].Milliseconds())
	t.Logf("grants %d: held twice %d, lost %d, tokens back %d, failed %d", l.grants.Load(), l.twice.Load(), l.lost.Load(), l.back.Load(), l.lockFailed.Load())
	t.Logf("key operations %d: failed %d, longest %d ms; joins and leaves %d", l.keyOps.Load(), l.keyFailed.Load(), time.Duration(l.longestKey.Load()).Milliseconds(), l.joins.Load())
	if n := l.lockFailed.Load(); n > 0 && slices.Max(took) < clientsWait {
		t.Errorf("%d lock operations failed", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if locks, err := c.Admin.Locks(ctx); err != nil || len(locks.Locks) > 0 {
		t.Errorf("left: %v, %v", locks, err)
	}
	c.WaitBalanced()
	c.CheckCopies()
}

// clientsWait is how long there may be no head before what clients ask of it fails: a machine
// that has too much to do may take longer to elect one.
const clientsWait = 3 * time.Second

// TestViewLeadersStandStill has the head stand still, and cut off from the other
// view leaders while clients reach it: others take over, also for those who wait in
// line at the old head, and it grants nothing any more.
func TestViewLeadersStandStill(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	c := harness.NewCluster(t, leaderConfig)
	l := startLeaderLoad(t, c)
	var longest time.Duration
	newLock := func(name string) {
		t.Helper()
		began := time.Now()
		harness.Eventually(t, "a new lock", func() bool {
			_, err := c.Client.LockGet(t.Context(), name, "prober", client.LockOptions{})
			return err == nil
		})
		took := time.Since(began)
		longest = max(longest, took)
		t.Logf("%s: a new lock after %v", name, took.Round(time.Millisecond))
		if err := c.Client.LockRelease(t.Context(), name, "prober"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	progress := func() {
		t.Helper()
		before := l.grants.Load()
		harness.Eventually(t, "locks are granted", func() bool { return l.grants.Load() > before+20 })
	}
	head := c.WaitLeaders()
	head.Pause()
	newLock("stalled")
	progress()
	head.Resume()
	head = c.WaitLeaders()
	progress()

	var others []string
	for _, n := range c.Leaders {
		if n != head {
			others = append(others, n.Name)
		}
	}
	c.Net.Drop(harness.Names(head), others)
	c.Net.Drop(others, harness.Names(head))
	newLock("cut off")
	progress()
	c.Net.Heal()
	c.WaitLeaders()
	progress()
	l.stop()
	if n := l.lockFailed.Load(); n > 0 && longest < clientsWait {
		t.Errorf("%d lock operations failed", n)
	}
	t.Logf("grants %d: held twice %d, lost %d, tokens back %d", l.grants.Load(), l.twice.Load(), l.lost.Load(), l.back.Load())
	t.Logf("key operations %d: failed %d, longest %d ms", l.keyOps.Load(), l.keyFailed.Load(), time.Duration(l.longestKey.Load()).Milliseconds())
	c.WaitBalanced()
	c.CheckCopies()
}
