package faults

import (
	"time"

	"viewring/tests/harness"
)

func init() { scenes = append(scenes, partitions...) }

// Partitions between servers, and between them and the view leader. Clients
// reach everybody, so they find the old primary as well as the new one.
var partitions = []scene{
	{name: "partition: a primary alone", servers: 4, play: alone(everybody, both(drop))},
	{name: "partition: a primary alone, bytes arrive late", servers: 4, play: alone(everybody, both(hold))},
	{name: "partition: a primary refused by all", servers: 4, play: alone(everybody, refuse)},
	{name: "partition: two and three", servers: 5, play: func(p *play) {
		a, b := harness.Names(p.Servers[:2]...), append(harness.Names(p.Servers[2:]...), harness.Leader)
		both(drop)(p.Net, a, b)
		p.WaitDown(p.Servers[0])
		p.WaitDown(p.Servers[1])
		harness.Pass(p.t, long)
		p.Net.Heal()
	}},
	{name: "one way: a primary is not heard", servers: 4, play: alone(everybody, drop)},
	{name: "one way: a primary does not hear", servers: 4, play: func(p *play) {
		n := p.Acting(hot, 1)[0]
		drop(p.Net, everybody(p, n), harness.Names(n))
		harness.Pass(p.t, 2*long)
		p.Net.Heal()
	}},
	{name: "one way: from primary to backup", servers: 4, play: oneWay(0, 1)},
	{name: "one way: from backup to primary", servers: 4, play: oneWay(1, 0)},
	{name: "bridge: two servers, one reaches both", servers: 5, play: func(p *play) {
		a, b := harness.Names(p.Servers[:2]...), harness.Names(p.Servers[3:]...) // the third reaches all
		both(drop)(p.Net, a, b)
		harness.Pass(p.t, 2*long)
		p.Net.Heal()
	}},
	{name: "a server cut off from the view leader", servers: 4, play: alone(leaderOnly, both(drop))},
	{name: "all servers cut off from the view leader", servers: 3, play: func(p *play) {
		all := harness.Names(p.Servers...)
		both(hold)(p.Net, all, []string{harness.Leader})
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

// cut makes a network lose, hold or refuse what some send to others.
type cut func(net *harness.Network, from, to []string)

var (
	drop   cut = (*harness.Network).Drop
	hold   cut = (*harness.Network).Hold
	refuse cut = (*harness.Network).Refuse
)

// both cuts in both directions.
func both(one cut) cut {
	return func(net *harness.Network, from, to []string) {
		one(net, from, to)
		one(net, to, from)
	}
}

func everybody(p *play, but *harness.Node) []string {
	return append(harness.Names(p.Others(but)...), harness.Leader)
}

func leaderOnly(*play, *harness.Node) []string { return []string{harness.Leader} }

// alone cuts a primary off from some until it has been down for a while.
func alone(from func(p *play, but *harness.Node) []string, off cut) func(p *play) {
	return func(p *play) {
		n := p.Acting(hot, 1)[0]
		off(p.Net, harness.Names(n), from(p, n))
		p.WaitDown(n)
		p.ops(5 * someOps)
		p.Net.Heal()
		p.WaitUp(n)
	}
}

// oneWay loses what one acting replica sends to another, by their places.
func oneWay(from, to int) func(p *play) {
	return func(p *play) {
		acting := p.Acting(hot, 2)
		drop(p.Net, harness.Names(acting[from]), harness.Names(acting[to]))
		harness.Pass(p.t, 2*long)
		p.Net.Heal()
	}
}
