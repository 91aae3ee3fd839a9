package faults

import (
	"time"

	"viewring/tests/harness"
)

func init() { scenes = append(scenes, partitions...) }

// Partitions between servers, and between them and the view leader. Clients
// reach everybody, so they find the old primary as well as the new one.
var partitions = []scene{
	{name: "partition: a primary alone", quick: true, servers: 4, play: func(p *play) {
		n := p.Acting(hot)[0]
		one, rest := harness.Names(n), append(harness.Names(p.Others(n)...), harness.Leader)
		p.Net.Drop(one, rest)
		p.Net.Drop(rest, one)
		p.WaitDown(n)
		p.ops(5 * someOps)
		p.Net.Heal()
		p.WaitUp(n)
	}},
	{name: "partition: a primary alone, bytes arrive late", servers: 4, play: func(p *play) {
		n := p.Acting(hot)[0]
		one, rest := harness.Names(n), append(harness.Names(p.Others(n)...), harness.Leader)
		p.Net.Hold(one, rest)
		p.Net.Hold(rest, one)
		p.WaitDown(n)
		p.ops(5 * someOps)
		p.Net.Heal()
		p.WaitUp(n)
	}},
	{name: "partition: a primary refused by all", servers: 4, play: func(p *play) {
		n := p.Acting(hot)[0]
		p.Net.Refuse(harness.Names(n), append(harness.Names(p.Others(n)...), harness.Leader))
		p.WaitDown(n)
		p.ops(5 * someOps)
		p.Net.Heal()
		p.WaitUp(n)
	}},
	{name: "partition: two and three", servers: 5, play: func(p *play) {
		a, b := harness.Names(p.Servers[:2]...), append(harness.Names(p.Servers[2:]...), harness.Leader)
		p.Net.Drop(a, b)
		p.Net.Drop(b, a)
		p.WaitDown(p.Servers[0])
		p.WaitDown(p.Servers[1])
		harness.Pass(p.t, long)
		p.Net.Heal()
	}},
	{name: "one way: a primary is not heard", servers: 4, play: func(p *play) {
		n := p.Acting(hot)[0]
		p.Net.Drop(harness.Names(n), append(harness.Names(p.Others(n)...), harness.Leader))
		p.WaitDown(n)
		p.ops(5 * someOps)
		p.Net.Heal()
	}},
	{name: "one way: a primary does not hear", servers: 4, play: func(p *play) {
		n := p.Acting(hot)[0]
		p.Net.Drop(append(harness.Names(p.Others(n)...), harness.Leader), harness.Names(n))
		harness.Pass(p.t, 2*long)
		p.Net.Heal()
	}},
	{name: "one way: from primary to backup", servers: 4, play: func(p *play) {
		acting := p.Acting(hot)
		p.Net.Drop(harness.Names(acting[0]), harness.Names(acting[1]))
		harness.Pass(p.t, 2*long)
		p.Net.Heal()
	}},
	{name: "one way: from backup to primary", servers: 4, play: func(p *play) {
		acting := p.Acting(hot)
		p.Net.Drop(harness.Names(acting[1]), harness.Names(acting[0]))
		harness.Pass(p.t, 2*long)
		p.Net.Heal()
	}},
	{name: "bridge: two servers, one reaches both", servers: 5, play: func(p *play) {
		a, b := harness.Names(p.Servers[:2]...), harness.Names(p.Servers[3:]...) // the third reaches all
		p.Net.Drop(a, b)
		p.Net.Drop(b, a)
		harness.Pass(p.t, 2*long)
		p.Net.Heal()
	}},
	{name: "a server cut off from the view leader", servers: 4, play: func(p *play) {
		n := p.Acting(hot)[0]
		p.Net.Drop(harness.Names(n), []string{harness.Leader})
		p.Net.Drop([]string{harness.Leader}, harness.Names(n))
		p.WaitDown(n)
		p.ops(5 * someOps)
		p.Net.Heal()
		p.WaitUp(n)
	}},
	{name: "all servers cut off from the view leader", servers: 3, play: func(p *play) {
		all := harness.Names(p.Servers...)
		p.Net.Hold(all, []string{harness.Leader})
		p.Net.Hold([]string{harness.Leader}, all)
		harness.Pass(p.t, 2*long)
		p.ops(someOps)
		p.Net.Heal()
	}},
	{name: "slow links", servers: 4, play: func(p *play) {
		all := harness.Names(p.Servers...)
		p.Net.Delay(all, all, 50*time.Millisecond)
		p.Net.Delay(harness.Names(p.Servers[0]), all, 150*time.Millisecond)
		p.ops(3 * someOps)
		p.Net.Heal()
	}},
}
