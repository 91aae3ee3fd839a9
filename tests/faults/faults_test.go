package faults

import (
	"time"

	"viewring/tests/harness"
)

// Times that faults last, beside the view leader's defaults: a lease of 600 ms,
// down after 900 ms.
const (
	short = 500 * time.Millisecond // nobody is declared down
	long  = 2500 * time.Millisecond
)

var scenes = []scene{
	{name: "kill -9 of a primary", quick: true, servers: 4, play: func(p *play) {
		killAndRestart(p, p.Acting(hot, 1)[0])
	}},
	{name: "kill -9 of a backup", servers: 4, play: func(p *play) {
		killAndRestart(p, p.Acting(hot, 2)[1])
	}},
	{name: "kill -9 of the view leader", servers: 3, play: func(p *play) {
		p.Leader.Kill()
		p.ops(3 * someOps)
		p.Leader.Start()
		p.WaitBalanced()
	}},
	{name: "kill -9 again and again", servers: 5, play: func(p *play) {
		for i := range 6 {
			killAndRestart(p, p.Acting(hot, 3)[i%3])
		}
	}},
	{name: "pause of a primary", servers: 4, play: func(p *play) {
		pause(p, p.Acting(hot, 1)[0])
	}},
	{name: "pauses shorter than anybody notices", servers: 4, play: func(p *play) {
		for range 4 {
			n := p.Acting(hot, 1)[0]
			n.Pause()
			harness.Pass(p.t, short)
			n.Resume()
			p.ops(someOps)
		}
	}},
	{name: "pause of the view leader", servers: 3, play: func(p *play) {
		p.Leader.Pause()
		harness.Pass(p.t, long)
		p.Leader.Resume()
		p.ops(someOps)
	}},
	{name: "power cut", quick: true, servers: 4, play: powerCut},
	{name: "servers at their limit of clients", servers: 4, flags: []string{"--max-connections", "48"}, play: atTheLimit},
	{name: "power cut again and again", servers: 5, play: func(p *play) {
		for range 4 {
			powerCut(p)
		}
	}},
}

// atTheLimit has primaries fail while the servers that come after them take no more
// clients, with a write under way for which one of them was waited for.
func atTheLimit(p *play) {
	for range 4 {
		nodes := p.Acting(hot, 3)
		free := []func(){idle(p.t, nodes[1]), idle(p.t, nodes[2])}
		nodes[2].Pause()
		harness.Pass(p.t, short/2)
		nodes[0].Kill()
		nodes[2].Resume()
		p.WaitDown(nodes[0])
		harness.Pass(p.t, short)
		for _, f := range free {
			f()
		}
		p.ops(someOps)
		nodes[0].Start()
		p.WaitBalanced()
	}
}

// killAndRestart kills a server, waits until others have taken over, and starts
// it again.
func killAndRestart(p *play, n *harness.Node) {
	n.Kill()
	p.WaitDown(n)
	p.ops(someOps)
	n.Start()
	p.WaitBalanced()
}

// pause makes a server stand still for longer than its leases, and than it takes
// to be declared down. Afterwards it knows nothing of what others wrote meanwhile.
func pause(p *play, n *harness.Node) {
	n.Pause()
	p.WaitDown(n)
	p.ops(someOps)
	n.Resume()
	p.WaitUp(n)
	p.WaitBalanced()
}

// powerCut ends all processes at once.
func powerCut(p *play) {
	all := append(p.Others(), p.Leader)
	harness.KillAll(all...)
	for _, n := range all {
		n.Start()
	}
	p.WaitBalanced()
	p.ops(someOps)
}
