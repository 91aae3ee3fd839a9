package faults

import (
	"math/rand/v2"
	"slices"
	"time"

	"viewring/ring"
	"viewring/tests/harness"
)

func init() {
	scenes = append(scenes, scene{name: "churn", servers: 5, play: func(p *play) {
		minutes := harness.EnvUint(p.t, "VIEWRING_CHURN_MINUTES", 0)
		lasts := time.Duration(minutes) * time.Minute
		if minutes == 0 {
			lasts = 15 * time.Second
		}
		playChurn(p, lasts, harness.EnvUint(p.t, "VIEWRING_CHURN_SEED", 1))
	}})
}

// A cluster that churns has so many servers. Those that are leaving are not counted.
const (
	churnFewest = 3
	churnMost   = 9
)

// churner changes a cluster again and again.
type churner struct {
	*play
	rng     *rand.Rand
	leaving []*harness.Node
	done    map[string]int // how often
}

// playChurn has servers join, leave, crash, stand still, restart, get other weights and be lost with their
// data, one of these after the other but while the copying that the former ones caused goes
// on. Two copies of a key are never away at once by our doing, but for the few that a server which is
// lost waited for.
func playChurn(p *play, lasts time.Duration, seed uint64) {
	p.fillWith(1000, 2000)
	c := &churner{play: p, rng: rand.New(rand.NewPCG(seed, 0)), done: make(map[string]int)}
	steps := []struct {
		name string
		do   func() bool // false where it can't be done now
	}{
		{"join", c.join}, {"leave", c.leave}, {"leave", c.leave}, {"crash", c.crash}, {"stand still", c.standStill}, {"restart", c.restart},
		{"weight", c.weight}, {"lose", c.lose}, {"join", c.join},
	}
	for end := time.Now().Add(lasts); time.Now().Before(end) && !p.t.Failed(); {
		step := steps[c.rng.IntN(len(steps))]
		if !step.do() {
			continue
		}
		c.done[step.name]++
		c.forgetLeft(false)
		if c.rng.IntN(3) == 0 {
			c.forgetLeft(true)
			p.WaitBalanced()
		}
		p.ops(someOps / 4)
	}
	c.forgetLeft(true)
	p.t.Logf("churn of seed %d: %v; %d servers at the end", seed, c.done, len(p.Servers))
}

// staying are the servers that are not leaving.
func (c *churner) staying() []*harness.Node { return c.Others(c.leaving...) }

func (c *churner) any() *harness.Node {
	all := c.staying()
	return all[c.rng.IntN(len(all))]
}

// moment is some time, often shorter than anybody notices.
func (c *churner) moment() time.Duration { return time.Duration(c.rng.Int64N(int64(long))) }

func (c *churner) join() bool {
	if len(c.Servers) >= churnMost {
		return false
	}
	c.WaitUp(c.Add())
	return true
}

func (c *churner) leave() bool {
	if len(c.staying()) <= churnFewest {
		return false
	}
	n := c.any()
	if _, err := c.Admin.Leave(c.t.Context(), n.Addr); err != nil {
		c.t.Errorf("leave %s: %v", n.Name, err)
	}
	c.leaving = append(c.leaving, n)
	return true
}

// forgetLeft looks which of the leaving servers have left; it may wait for all. They would wait a
// while for their clients to hang up.
func (c *churner) forgetLeft(wait bool) {
	c.leaving = slices.DeleteFunc(c.leaving, func(n *harness.Node) bool {
		isIn := func(v *ring.View) bool {
			return slices.ContainsFunc(v.Members, func(m ring.Member) bool { return m.Addr == n.Addr })
		}
		if wait {
			c.WaitView(n.Name+" has left", func(v *ring.View) bool { return !isIn(v) })
		} else if isIn(c.Admin.View()) {
			return false
		}
		n.Stop()
		if _, words := n.Ended(); n.Daemon().Cmd.ProcessState.ExitCode() != 0 {
			c.t.Errorf("%s was to leave and ended with %s", n.Name, words)
		}
		c.Forget(n)
		return true
	})
}

func (c *churner) crash() bool { return c.away((*harness.Node).Kill, c.moment(), restarted) }
func (c *churner) standStill() bool {
	return c.away((*harness.Node).Pause, c.moment(), (*harness.Node).Resume)
}
func (c *churner) restart() bool { return c.away((*harness.Node).Stop, 0, restarted) }

func restarted(n *harness.Node) { n.Start() }

// away has a server be away for a while.
func (c *churner) away(ends func(*harness.Node), span time.Duration, begins func(*harness.Node)) bool {
	n := c.any()
	ends(n)
	harness.Pass(c.t, span)
	begins(n)
	c.WaitUp(n)
	return true
}

func (c *churner) weight() bool {
	n := c.any()
	if _, err := c.Admin.SetWeight(c.t.Context(), n.Addr, 1+c.rng.IntN(3)); err != nil {
		c.t.Errorf("weight of %s: %v", n.Name, err)
	}
	return true
}

// lose destroys a server with its data, once all copies are there.
func (c *churner) lose() bool {
	if len(c.staying()) <= churnFewest {
		return false
	}
	c.forgetLeft(true)
	c.WaitBalanced()
	n := c.any()
	n.Kill()
	c.WaitDown(n)
	n.Replace()
	c.WaitUp(n)
	return true
}
