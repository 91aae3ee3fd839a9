package replica

import "viewring/ring"

// Detail says more of a partition than Copy does, for a simulation that counts
// which states it has seen. It is comparable.
type Detail struct {
	State     string // absent, learning, whole
	Role      string // none, primary, backup, learner
	Lead      string // of a primary: its phase; "" without
	Learn     string // of a learner: its phase; "" without
	Drops     bool   // the delta will drop entries that only this copy has
	Proposed  int    // replicas whose handoff is under way
	HeldBack  bool   // active below min-copies, with entries that are not committed
	Repairing int    // keys whose stored bytes are being replaced
	Term      uint64
}

// RowChanges reads a row of the change index: its entry's version, and what that did to users'
// keys.
func RowChanges(seq uint64, row []byte) (Version, []KeyChange, error) {
	r, err := decodeRow(seq, row)
	return Version{Term: r.Term, Seq: seq}, r.changes(), err
}

// Detail returns the state of a partition of this lane.
func (c *Core) Detail(id ring.PartitionID) Detail {
	p := c.part(id)
	if p == nil {
		return Detail{}
	}
	d := Detail{Term: p.term, Repairing: len(p.repairer.repairs),
		State: p.state.String(),
		Role:  [...]string{roleNone: "none", rolePrimary: "primary", roleBackup: "backup", roleLearner: "learner"}[p.role]}
	if p.role == roleNone && p.state != absent {
		d.Role = "stray"
	}
	if l := p.lead; l != nil {
		d.Lead = l.phase.String()
		d.HeldBack = l.serves() && p.commit < p.log.last.Seq && !p.enoughCopies()
		for _, f := range l.followers {
			if f.proposed() {
				d.Proposed++
			}
		}
	}
	if l := p.learn; l != nil {
		d.Learn = l.phase.String()
		d.Drops = l.phase == staging && l.cut < p.log.last.Seq
	}
	return d
}
