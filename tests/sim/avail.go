package sim

import (
	"slices"
	"time"

	"viewring/ring"
)

// helpMax is how long a partition may lack copies while a server that has everything
// is well, and so is all that it needs to act.
const helpMax = 5 * time.Second

// help is who could act for a partition, in its term, and since when.
type help struct {
	term  uint64
	who   ring.ServerID
	since time.Duration
}

// checkHelped is hole 22: a partition that has too few copies to take writes is given
// one that is ready, whatever keeps the rest of its targets away.
func (w *world) checkHelped(v *ring.View, p ring.PartitionID) {
	who := w.helper(v, p)
	h := &w.helps[p]
	if who == 0 || h.who != who || h.term != v.Partitions[p].Term {
		*h = help{v.Partitions[p].Term, who, w.now}
		return
	}
	if w.now-h.since > helpMax {
		w.violated("H22", "partition %d has %v acting, min-copies is %d, and %v could act for %v", p, v.Partitions[p].Acting,
			v.Partitions[p].MinCopies, who, w.now-h.since)
	}
}

// helper returns a target of p that is well, ready and does not act, where too few do and
// all of these are well; 0 for none.
func (w *world) helper(v *ring.View, p ring.PartitionID) ring.ServerID {
	vp := &v.Partitions[p]
	if len(vp.Acting) == 0 || len(vp.Acting) >= int(vp.MinCopies) || !w.leader.up || w.lossy || w.converged {
		return 0
	}
	for _, id := range vp.Acting {
		if !w.well(v, id, p) || !w.joined(vp.Primary(), id) {
			return 0
		}
	}
	if s := w.byID(vp.Primary()); !s.lanes[int(p)%lanes].core.Inspect(p).Serving {
		return 0
	}
	targets := w.leader.table(v).Targets(p)
	i := slices.IndexFunc(targets, func(id ring.ServerID) bool {
		learner := ""
		if !vp.IsActing(id) && w.well(v, id, p) && w.joined(vp.Primary(), id) {
			learner = w.byID(id).lanes[int(p)%lanes].core.Detail(p).Learn
		}
		return learner == "following" || learner == "announced"
	})
	if i < 0 {
		return 0
	}
	return targets[i]
}

// well reports whether nothing is wrong with a server, as far as p is concerned.
func (w *world) well(v *ring.View, id ring.ServerID, p ring.PartitionID) bool {
	m, s := v.Member(id), w.byID(id)
	return m != nil && m.Up && m.Status == ring.In && s != nil && s.alive && !s.paused && s.node != nil && s.done == v.Epoch &&
		!s.full && s.diskPace == 0 && !s.slowAdoption && !s.damagedIn(p) && w.joined(0, id)
}

// joined reports whether two reach each other at the usual pace.
func (w *world) joined(a, b ring.ServerID) bool {
	for _, l := range []link{{a, b}, {b, a}} {
		if w.cut[l] || w.slow[l] {
			return false
		}
	}
	return true
}
