package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/tree"
	"viewring/tests/harness"
)

// owners are clients with sessions, and the nodes that go with them.
type owners struct {
	t  *testing.T
	c  *harness.Cluster
	tr *tree.Tree

	mu      sync.Mutex
	created int
	closed  int
	died    int
	lost    int // sessions that ended though their clients lived
	missing []string
}

const (
	ownersDirs = 12
	ownersTTL  = 3 * time.Second
)

// TestEphemeral has sessions come, close and die while servers and the head of the view
// leaders are killed: each node is there as long as its session surely is, and all are
// gone once their sessions are.
func TestEphemeral(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Leaders: 3, Servers: 5, LeaderFlags: []string{"--partitions", "16"}})
	c.WaitBalanced()
	o := &owners{t: t, c: c, tr: openTree(t, c)}
	for i := range ownersDirs {
		if _, err := o.tr.Create(t.Context(), fmt.Sprint("/e", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	running := harness.Beside(t)
	for i := range 12 {
		running.Go(func() { o.client(ctx, rand.New(rand.NewPCG(uint64(i), 16))) })
	}
	for round := range 6 {
		n := c.Acting(fmt.Sprint("/e", 2*round), 1)[0]
		if round%3 == 2 {
			n = c.WaitLeaders()
		}
		n.Kill()
		if round%3 != 2 {
			c.WaitDown(n)
		}
		n.Start()
		c.WaitLeaders()
		c.WaitBalanced()
	}
	stop()
	running.Wait()
	ended := time.Now()
	for i := range ownersDirs {
		dir := fmt.Sprint("/e", i)
		harness.Eventually(t, "all nodes of ended sessions are gone", func() bool {
			left, err := o.list(dir)
			return err == nil && len(left) == 0
		})
	}
	t.Logf("%d nodes of sessions, of which %d were closed, %d died and %d were lost; all nodes gone %v after the last",
		o.created, o.closed, o.died, o.lost, time.Since(ended).Round(time.Millisecond))
	for _, why := range o.missing {
		t.Error(why)
	}
	if o.created < 100 || o.closed == 0 || o.died == 0 {
		t.Error("too little happened")
	}
}

func openTree(t *testing.T, c *harness.Cluster) *tree.Tree {
	t.Helper()
	tr, err := tree.Open(t.Context(), c.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

func (o *owners) list(dir string) (left []string, err error) {
	for child, err := range o.tr.List(o.t.Context(), dir) {
		if err != nil {
			return nil, err
		}
		left = append(left, child.Path)
	}
	return left, nil
}

// client opens sessions, one after the other.
func (o *owners) client(ctx context.Context, rng *rand.Rand) {
	for ctx.Err() == nil {
		c, err := client.Open(o.t.Context(), o.c.Options())
		if err != nil {
			o.t.Error(err)
			return
		}
		s, err := c.OpenSession(o.t.Context(), client.SessionOptions{TTL: ownersTTL})
		if err != nil {
			_ = c.Close()
			continue // no view leader, for too long
		}
		o.own(ctx, s, rng)
		dies := rng.IntN(3) == 0
		if !dies {
			_ = s.Close(o.t.Context())
		}
		_ = c.Close() // without that, nobody tells the view leader any more: it died
		o.mu.Lock()
		switch {
		case errors.Is(s.Err(), client.ErrSessionLost) && !dies:
			o.lost++
		case dies:
			o.died++
		default:
			o.closed++
		}
		o.mu.Unlock()
	}
}

// own creates nodes, and looks at them for a while.
func (o *owners) own(ctx context.Context, s *client.Session, rng *rand.Rand) {
	var paths []string
	for range 1 + rng.IntN(5) {
		path := fmt.Sprintf("/e%d/n-", rng.IntN(ownersDirs))
		creating, cancel := context.WithTimeout(o.t.Context(), time.Duration(1+rng.IntN(4000))*time.Millisecond)
		made, err := o.tr.CreateEphemeral(creating, s, path, nil, tree.Sequential)
		cancel()
		if err == nil {
			paths = append(paths, made)
		}
	}
	o.mu.Lock()
	o.created += len(paths)
	o.mu.Unlock()
	for end := time.Now().Add(time.Duration(rng.IntN(4000)) * time.Millisecond); time.Now().Before(end) && ctx.Err() == nil && len(paths) > 0; {
		i := rng.IntN(len(paths))
		if rng.IntN(20) == 0 {
			_ = o.tr.Remove(o.t.Context(), paths[i], tree.Always()) // or not: nobody looks at it any more
			paths = slices.Delete(paths, i, i+1)
			continue
		}
		_, err := o.tr.Get(o.t.Context(), paths[i])
		if errors.Is(err, tree.ErrNoNode) && time.Now().Before(s.Until()) && s.Err() == nil {
			o.mu.Lock()
			o.missing = append(o.missing, fmt.Sprintf("%s is gone, and session %d goes on", paths[i], s.ID()))
			o.mu.Unlock()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.Done():
			return
		}
	}
}
