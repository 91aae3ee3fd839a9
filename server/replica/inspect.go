package replica

import "viewring/ring"

// Detail says more of a partition than Copy does, for a simulation that counts
// which states it has seen. It is comparable.
type Detail struct {
	State    string // absent, learning, whole
	Role     string // none, primary, backup, learner
	Lead     string // of a primary: reconciling, settled, active; "" without
	Learn    string // of a learner: subscribing, copying, swapping, following; "" without
	Staged   bool   // a delta lies in memory
	Drops    bool   // the delta will drop entries that only this copy has
	Proposed int    // replicas whose handoff is under way
	HeldBack bool   // active below min-copies, with entries that are not committed
	Mending  int    // keys whose stored bytes are being replaced
	Term     uint64
}

// Detail returns the state of a partition of this lane.
func (c *Core) Detail(id ring.PartitionID) Detail {
	p := c.part(id)
	if p == nil {
		return Detail{}
	}
	d := Detail{Term: p.term, Mending: len(p.mends),
		State: [...]string{absent: "absent", learning: "learning", whole: "whole"}[p.state],
		Role:  [...]string{roleNone: "none", rolePrimary: "primary", roleBackup: "backup", roleLearner: "learner"}[p.role]}
	if p.role == roleNone && p.state != absent {
		d.Role = "stray"
	}
	if l := p.lead; l != nil {
		d.Lead = "reconciling"
		if l.active {
			d.Lead = "active"
			d.HeldBack = p.commit < p.log.last.Seq && !p.enoughCopies()
		} else if l.settled {
			d.Lead = "settled"
		}
		for _, f := range l.followers {
			if f.proposed {
				d.Proposed++
			}
		}
	}
	if l := p.learn; l != nil {
		d.Learn = [...]string{subscribing: "subscribing", copying: "copying", swapping: "swapping", following: "following"}[l.phase]
		d.Staged = l.staged
		d.Drops = l.staged && l.cut < p.log.last.Seq
	}
	return d
}
