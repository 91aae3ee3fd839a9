package faults

import (
	"os"

	"viewring/client"
	"viewring/ring"
	"viewring/tests/harness"
)

func init() { scenes = append(scenes, recoveries...) }

// The view leader loses its data folder, and is recovered from the servers' reports.
var recoveries = []scene{
	{name: "data of the view leader lost", servers: 4, play: func(p *play) {
		token := p.token()
		p.loseLeader()
		p.ops(someOps)
		p.recoverLeader()
		p.WaitBalanced()
		if again := p.token(); again <= token {
			p.t.Errorf("token %d after %d", again, token)
		}
		// What has a roster again is not recovered once more.
		epoch := p.Admin.View().Epoch
		p.Leader.Kill()
		p.Leader.Start("--recover")
		p.ops(someOps)
		p.Acting(hot, 1)[0].Kill()
		p.WaitView("the next epoch", func(v *ring.View) bool { return v.Epoch > epoch && v.Epoch < epoch+ring.RecoveryJump })
		for _, n := range p.Servers {
			if ended, _ := n.Ended(); ended {
				n.Start()
			}
		}
	}},
	{name: "power cut, data of the view leader lost", servers: 4, play: func(p *play) {
		token := p.token()
		harness.KillAll(p.Others()...)
		p.loseLeader()
		for _, n := range p.Servers {
			n.Start()
		}
		p.recoverLeader()
		p.WaitBalanced()
		if again := p.token(); again <= token {
			p.t.Errorf("token %d after %d", again, token)
		}
	}},
	{name: "data of the view leader lost, and a server away", servers: 4, play: func(p *play) {
		away := p.Acting(hot, 1)[0]
		id := away.ID()
		away.Kill()
		p.loseLeader()
		p.recoverLeader("--recover-without", id.String(), "--recover-unchanged")
		p.WaitDown(away)
		p.ops(someOps)
		away.Start()
		p.WaitUp(away)
		p.WaitBalanced()
	}},
}

// loseLeader kills the view leader and deletes its data.
func (p *play) loseLeader() {
	p.t.Helper()
	p.Leader.Kill()
	if err := os.RemoveAll(p.Leader.Data); err != nil {
		p.t.Fatal(err)
	}
}

// recoverLeader starts it on an empty folder and waits until it has a roster.
func (p *play) recoverLeader(flags ...string) {
	p.t.Helper()
	p.Leader.Start(append(flags, "--recover")...)
	p.WaitView("the recovered one", func(v *ring.View) bool { return v.Epoch >= ring.RecoveryJump })
}

// token is what the next holder of a lock is granted.
func (p *play) token() uint64 {
	p.t.Helper()
	g, err := p.Client.LockGet(p.t.Context(), "lock", "somebody", client.LockOptions{})
	if err == nil {
		err = p.Client.LockRelease(p.t.Context(), "lock", "somebody")
	}
	if err != nil {
		p.t.Error(err)
	}
	return g.Token
}
