package sim

import (
	"slices"
	"time"

	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/roster"
)

// ambush is what waits for the next request of its kind to the view leader: faults
// that matter in one moment only must be there in that moment.
type ambush struct {
	handoff bool                    // the next handoff that adds somebody comes late
	confirm ring.ServerID           // whose next confirmation comes late, while others follow it; 0: nobody
	purge   bool                    // the next purge comes late, after members have changed
	cutOff  bool                    // the next primary that hands its partition to another is cut off
	held    map[reign]time.Duration // handoffs that do not arrive before
}

// expire lets the view leader take a server for dead, as it does where a connection
// breaks. One that lives comes back with its next heartbeat.
func (w *world) expire(id ring.ServerID) bool {
	m := w.leader.state.View().Member(id)
	if m == nil || !m.Up {
		return false
	}
	w.command(roster.Command{Kind: roster.KindExpire, Who: []ring.Incarnated{{ID: id, Incarnation: m.Incarnation}}})
	return true
}

// blink lets a server that lives be taken for dead.
func (w *world) blink(s *server) bool { return s.alive && s.id() != 0 && w.expire(s.id()) }

// lateHandoff waits for the next request for a handoff that adds somebody.
func (w *world) lateHandoff() bool {
	was := w.ambush.handoff
	w.ambush.handoff = true
	return !was
}

// holdHandoff holds a handoff back, and all that are asked for in its term, while
// primary and newcomer do not reach each other; the newcomer may be taken for dead
// meanwhile, and the primary cut off in the end.
func (w *world) holdHandoff(s *server, q replica.LeaderRequest) time.Duration {
	r := reign{q.Partition, q.Term}
	if until := w.ambush.held[r]; until > w.now {
		return until - w.now
	}
	if !w.ambush.handoff || w.calm {
		return 0
	}
	acting := w.leader.state.View().Partitions[q.Partition].Acting
	i := slices.IndexFunc(q.Acting, func(a ring.Incarnated) bool { return !slices.Contains(acting, a.ID) })
	if i < 0 {
		return 0
	}
	newcomer := q.Acting[i].ID
	w.ambush.handoff = false
	d := w.between(300*time.Millisecond, 1700*time.Millisecond)
	if w.chance(0.7) {
		w.cutFor([]link{{s.id(), newcomer}, {newcomer, s.id()}}, d+200*time.Millisecond)
	}
	switch {
	case w.chance(0.5):
		w.expire(newcomer)
	case w.chance(0.3):
		w.crashFor(w.byID(newcomer), 10*time.Millisecond)
	default:
		w.ambush.cutOff = true
	}
	w.ambush.held[r] = w.now + d
	w.note(int(q.Partition), "the handoff to %v comes %v late", newcomer, d)
	return d
}

// holdPurge is how long a purge is under way: it may find another view.
func (w *world) holdPurge() time.Duration {
	if !w.ambush.purge || w.calm {
		return 0
	}
	w.ambush.purge = false
	if !w.join() || w.chance(0.3) {
		w.leave(w.servers[w.rng.IntN(len(w.servers))])
	}
	return 50*time.Millisecond + time.Duration(w.rng.Int64N(int64(300*time.Millisecond)))
}

// estranged cuts a primary off from the other servers, but not from the view leader,
// which vouches for it once more, slowly, and then lets others follow it.
func (w *world) estranged() bool {
	v := w.leader.state.View()
	p := &v.Partitions[w.rng.IntN(len(v.Partitions))]
	primary := w.byID(p.Primary())
	if primary == nil || !primary.alive || len(p.Acting) < 2 {
		return false
	}
	var links []link
	for _, o := range w.servers {
		links = append(links, link{primary.id(), o.id()}, link{o.id(), primary.id()})
	}
	w.ambush.confirm = primary.id()
	return w.cutFor(links, 3*time.Second)
}

// holdConfirm is how much later than usual the view leader's word reaches s.
func (w *world) holdConfirm(s *server) time.Duration {
	if w.ambush.confirm != s.id() || w.calm {
		return w.answerPace()
	}
	w.ambush.confirm = 0
	w.cutFor([]link{{s.id(), 0}, {0, s.id()}}, 2500*time.Millisecond)
	w.expire(s.id())
	return 500*time.Millisecond + time.Duration(w.rng.Int64N(int64(1500*time.Millisecond)))
}

// lateLearner makes what a learner says to its primary come late and out of order, or
// what the primary says to those that the learner may copy from, while the learner is
// taken for dead now and then.
func (w *world) lateLearner() bool {
	v := w.leader.state.View()
	type pair struct {
		learner, primary *server
		partition        int
	}
	var found []pair
	for i := range v.Partitions {
		primary := w.byID(v.Partitions[i].Primary())
		for _, s := range w.servers {
			if s.alive && s.node != nil && primary != nil && s.lanes[i%lanes].core.Detail(ring.PartitionID(i)).Learn != "" {
				found = append(found, pair{s, primary, i})
			}
		}
	}
	if len(found) == 0 {
		return false
	}
	f := found[w.rng.IntN(len(found))]
	slow := []link{{f.learner.id(), f.primary.id()}}
	if w.chance(0.5) { // who it copies from may be behind
		slow = slow[:0]
		for _, id := range v.Partitions[f.partition].Acting[1:] {
			slow = append(slow, link{f.primary.id(), id})
		}
	}
	for _, l := range slow {
		w.slow[l] = true
		w.after(3*time.Second, func() { delete(w.slow, l) })
	}
	for range 2 {
		w.after(time.Duration(w.rng.Int64N(int64(2*time.Second))), func() { w.blink(f.learner) })
	}
	return true
}

// tailOfOne leaves the end of a log to its primary alone, which then dies while
// somebody learns from it: the others go on without that end.
func (w *world) tailOfOne() bool {
	v := w.leader.state.View()
	p := &v.Partitions[w.rng.IntN(len(v.Partitions))]
	primary := w.byID(p.Primary())
	if primary == nil || !primary.alive || len(p.Acting) < 2 || p.MinCopies < 2 || w.calm {
		return false
	}
	var links []link
	var others []*server
	for _, id := range p.Acting[1:] {
		links = append(links, link{primary.id(), id})
		if o := w.byID(id); o != nil && o.alive {
			others = append(others, o)
		}
	}
	w.cutFor(links, 300*time.Millisecond)
	w.after(w.between(20*time.Millisecond, 250*time.Millisecond), func() {
		for i, o := range others {
			down := 2 * time.Second
			if i == 0 && len(others) > 1 {
				down = w.between(300*time.Millisecond, 600*time.Millisecond) // who learns from it
			}
			if w.crashFor(o, down) {
				w.expire(o.id())
			}
		}
	})
	w.after(600*time.Millisecond+time.Duration(w.rng.Int64N(int64(1300*time.Millisecond))), func() {
		if w.crashFor(primary, w.between(time.Second, 4*time.Second)) {
			w.expire(primary.id())
		}
	})
	return true
}

// hangAdoption makes a server's lanes learn of views late, which all else of it knows.
func (w *world) hangAdoption(s *server) bool {
	if !s.alive || s.slowAdoption {
		return false
	}
	s.slowAdoption = true
	if w.chance(0.6) {
		w.blink(s) // others may follow it, while its lanes do not know
	}
	w.after(w.between(500*time.Millisecond, 5*time.Second), func() { s.slowAdoption = false })
	return true
}

// adoptionPace is how long a view takes from a server to its lanes: views come in order.
func (s *server) adoptionPace() time.Duration {
	d := time.Duration(0)
	if s.slowAdoption && !s.w.calm {
		d = time.Duration(s.w.rng.Int64N(int64(2 * time.Second)))
	}
	s.adoptAt = max(s.adoptAt, s.w.now+d)
	return s.adoptAt - s.w.now
}

// tornTriangle cuts a primary off from one of its partition's targets for long, and
// takes the others down for a while.
func (w *world) tornTriangle() bool {
	v := w.leader.state.View()
	i := w.rng.IntN(len(v.Partitions))
	targets := w.leader.table(v).Targets(ring.PartitionID(i))
	primary := w.byID(v.Partitions[i].Primary())
	if primary == nil || !primary.alive || len(targets) < 3 || !slices.Contains(targets, primary.id()) {
		return false
	}
	cut := false
	for _, id := range targets {
		o := w.byID(id)
		if o == nil || o == primary {
			continue
		}
		if !cut {
			cut = w.cutFor([]link{{primary.id(), id}, {id, primary.id()}}, 16*time.Second)
		}
		if w.crashFor(o, w.between(100*time.Millisecond, time.Second)) {
			w.expire(id)
		}
	}
	return cut
}
