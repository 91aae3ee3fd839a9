package sim

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/viewleader/roster"
)

// The view leader loses its data, in some worlds, and is recovered from what the
// servers report. These worlds are drawn by a generator of their own: the others stay
// what they were.

const recoveryChance = 0.3 // of a world

// RecoveryBug is a way to recover wrongly. The checkers must notice each.
type RecoveryBug int

// The ways.
const (
	RecoverSoundly  RecoveryBug = iota
	RecoverEarly                // without asking whether all members have reported
	RecoverOlder                // from an older view than the newest that was reported
	RecoverTrusting             // each folder is asked for the name of its registered start
)

// recovery is what a view leader without data has been told.
type recovery struct {
	number   int
	since    time.Duration
	changed  time.Duration // when something new was told last
	reports  map[ring.ServerID]roster.Report
	without  []ring.ServerID
	quietFor time.Duration // without news
	gone     bool          // for good: else the data turns up again when the servers have reported
}

// scheduleRecoveries plans when the view leader loses its data.
func (w *world) scheduleRecoveries() {
	rng := rand.New(rand.NewPCG(w.seed, 0x7265636f766572))
	if w.loss != nil || w.opt.Planned || rng.Float64() >= recoveryChance && !w.opt.Ruin {
		return // what an operator gave up may be forgotten with it: then it is not lost
	}
	for range 1 + rng.IntN(3) {
		w.after(2*time.Second+time.Duration(rng.Int64N(int64(quietAt-4*time.Second))), w.ruin)
	}
}

// ruin lets a view leader lose its data: at times just after epochs that few have
// heard of, or that all hear of late, or when a disk was rolled back.
func (w *world) ruin() {
	l := w.leader
	if w.calm || !l.up || l.recovery != nil || l.state.Epoch() == 0 {
		return
	}
	pause := w.between(0, 500*time.Millisecond)
	few, rolled, quietFor := []*server(nil), w.chance(0.2), w.between(100*time.Millisecond, 2*time.Second)
	switch w.rng.IntN(4) {
	case 0:
		few, pause = w.fewHear(), w.between(900*time.Millisecond, 2500*time.Millisecond)
	case 1:
		pause = w.between(900*time.Millisecond, 1800*time.Millisecond)
		quietFor = time.Second + w.between(0, 3*time.Second)
		w.allHearLate(pause + quietFor)
	}
	w.after(pause, func() {
		if w.calm || !l.up || l.recovery != nil {
			return
		}
		w.hit("view leader loses its data")
		w.note(global, "the view leader loses its data at epoch %d", l.state.Epoch())
		w.recoveries++
		l.up, l.pending = false, nil
		w.lockHead.lost()
		l.recovery = &recovery{number: w.recoveries, since: w.now, changed: w.now, reports: make(map[ring.ServerID]roster.Report),
			gone: w.chance(0.85), quietFor: quietFor}
		var links []link
		for _, s := range few {
			links = append(links, link{0, s.id()}, link{s.id(), 0})
		}
		w.cutFor(links, w.between(500*time.Millisecond, 5*time.Second))
		if rolled && w.rollBack(w.servers[w.rng.IntN(len(w.servers))]) {
			w.hit("disk rolled back beside the view leader")
		}
		w.after(100*time.Millisecond, l.recover)
	})
}

// fewHear lets only some hear of what the view leader does, which takes the others
// for dead. It returns those.
func (w *world) fewHear() (few []*server) {
	var links []link
	for _, s := range w.servers {
		if w.chance(0.5) {
			few = append(few, s)
			continue
		}
		links = append(links, link{0, s.id()}, link{s.id(), 0})
		for _, o := range w.servers {
			links = append(links, link{s.id(), o.id()}, link{o.id(), s.id()})
		}
	}
	w.cutFor(links, 2500*time.Millisecond)
	return few
}

// allHearLate makes the view leader's words slow, and takes somebody for dead.
func (w *world) allHearLate(d time.Duration) {
	s := w.servers[w.rng.IntN(len(w.servers))]
	w.isolate(s)
	for _, o := range w.servers {
		l := link{0, o.id()}
		w.slow[l] = true
		w.after(d, func() { delete(w.slow, l) })
	}
	w.after(w.between(100*time.Millisecond, 900*time.Millisecond), func() { w.expire(s.id()) })
}

// askReport lets a server that asks for something hear that the view leader has lost
// its data. It answers with what it knows.
func (l *leader) askReport(s *server) {
	number := l.recovery.number
	l.w.deliver(0, s.id(), func() {
		if !s.alive || s.id() == 0 {
			return
		}
		s.later(0, func() {
			report := s.report()
			l.w.deliver(s.id(), 0, func() { l.told(number, report) })
		})
	})
}

// report is the server's word. From here on it adopts no view of the lost history.
func (s *server) report() roster.Report {
	s.reported = s.disk.epoch
	r := s.registration(s.disk.incarnation - 1)
	r.Cluster = s.disk.view.Cluster
	return roster.Report{Register: r, View: s.disk.view, Epoch: s.disk.epoch}
}

// frozen reports whether a view belongs to the history that the server has reported on.
func (s *server) frozen(v *ring.View) bool {
	if s.reported == 0 || v.Epoch >= s.reported+ring.RecoveryJump {
		return false
	}
	s.w.count("views refused after a report")
	return true
}

func (l *leader) told(number int, o roster.Report) {
	r := l.recovery
	if r == nil || r.number != number {
		return
	}
	was, ok := r.reports[o.ID]
	if ok && was.Incarnation > o.Incarnation || ok && was.Instance == o.Instance && was.Epoch >= o.Epoch {
		return
	}
	l.w.note(global, "%v reports epoch %d as incarnation %d", o.ID, o.Epoch, o.Incarnation)
	r.reports[o.ID], r.changed = o, l.w.now
}

const (
	recoveryWaits = 4 * time.Second // for those that are missing
	recoveryEnds  = 9 * time.Second // then the data turns up again
)

// recover makes a roster of the reports when they are enough, goes on without those
// that do not come where that is safe, or finds the lost data after all.
func (l *leader) recover() {
	r := l.recovery
	if r == nil {
		return
	}
	rec := &roster.Recovery{Without: r.without, At: l.w.wall()}
	for _, id := range slices.Sorted(maps.Keys(r.reports)) {
		rec.Reports = append(rec.Reports, r.reports[id])
	}
	if f := rec.Survey(); errors.Is(f.Err, roster.ErrIfChanged) {
		rec.Unchanged = !l.changedSince(f.View)
	}
	l.w.breakRecovery(rec)
	f := rec.Survey()
	switch {
	case f.Complete() && l.w.now-r.changed >= r.quietFor && r.gone && !l.w.pastTelling(f.View):
		l.recovered(rec)
		return
	case l.w.now-r.since > recoveryEnds || f.Complete() && (!r.gone || l.w.pastTelling(f.View)):
		l.w.count("view leader's data turns up")
		l.w.note(global, "the view leader's data turns up: %v", f)
		l.recovery = nil
		l.w.leaderBack()
		return
	case l.w.now-r.since > recoveryWaits && len(f.Missing) > 0 && r.without == nil:
		for _, m := range f.Missing {
			rec.Without = append(rec.Without, m.ID)
		}
		if f := rec.Survey(); errors.Is(f.Err, roster.ErrIfChanged) && !l.changedSince(f.View) {
			r.without = rec.Without
		}
	}
	l.w.after(200*time.Millisecond, l.recover)
}

// changedSince is what an operator knows: whether a view after v has a member that v
// does not have, or a partition that needs fewer copies.
func (l *leader) changedSince(v *ring.View) bool {
	for _, later := range l.views {
		if later.Epoch <= v.Epoch {
			continue
		}
		if slices.ContainsFunc(later.Members, func(m ring.Member) bool { return v.Member(m.ID) == nil }) {
			return true
		}
		for i := range v.Partitions {
			if later.Partitions[i].MinCopies < v.Partitions[i].MinCopies {
				return true
			}
		}
	}
	return false
}

func (l *leader) recovered(rec *roster.Recovery) {
	state, err := rec.Recover(roster.Config{})
	invariant.Check(err == nil, "H23", "%v", err)
	v := state.View()
	for epoch := range l.views {
		invariant.Check(epoch < v.Epoch, "H23", "recovered at epoch %d, there was %d", v.Epoch, epoch)
	}
	l.w.count("view leader recovered")
	if len(rec.Without) > 0 {
		l.w.count("view leader recovered without some")
	}
	if last := l.state.Epoch(); rec.Survey().View.Epoch < last {
		l.w.count("view leader recovered from an older view than the last")
	}
	l.recovery, l.state = nil, state
	l.w.lockHead.forget()
	clear(l.heard)
	l.views[v.Epoch] = v
	l.w.note(global, "recovered at epoch %d: %s%v", v.Epoch, memberList(v), v.Partitions)
	for i := range v.Partitions {
		l.w.forsaken[ring.PartitionID(i)] = v.Partitions[i].Term > 0 && len(v.Partitions[i].Acting) == 0
	}
	l.w.leaderBack()
	l.w.checkActing(v)
	for _, s := range l.w.servers {
		l.push(s, v)
	}
}

// pastTelling is the one thing that no report tells: a folder put back to an earlier
// moment of the start that the newest view has as its last.
func (w *world) pastTelling(v *ring.View) bool {
	return v != nil && w.opt.Recovery == RecoverSoundly && slices.ContainsFunc(w.servers, func(s *server) bool {
		m := v.Member(s.id())
		return m != nil && s.disk.rolledBack && m.Incarnation < s.disk.lostBefore
	})
}

// breakRecovery plants a bug.
func (w *world) breakRecovery(r *roster.Recovery) {
	switch w.opt.Recovery {
	case RecoverEarly:
		if f := r.Survey(); len(r.Reports) > 0 && f.Err == nil {
			for _, m := range f.Missing {
				r.Without = append(r.Without, m.ID)
			}
			r.AcceptLoss = true
		}
	case RecoverOlder:
		if len(r.Reports) > 1 {
			oldest := slices.MinFunc(r.Reports, func(a, b roster.Report) int { return int(int64(a.Epoch) - int64(b.Epoch)) })
			for i := range r.Reports {
				r.Reports[i].View, r.Reports[i].Epoch = oldest.View, oldest.Epoch
			}
		}
	case RecoverTrusting:
		for i := range r.Reports {
			o := &r.Reports[i]
			o.View = o.View.Clone()
			for k := range o.View.Members {
				m := &o.View.Members[k]
				for _, own := range r.Reports {
					if own.ID == m.ID {
						m.Start, m.Incarnation = own.Starts[0], own.Incarnation-uint64(len(own.Starts)-1)
					}
				}
			}
		}
	}
}

// thaw lets a server adopt views again whose view leader has gone on after all: it
// answers what was asked after the report.
func (s *server) thaw(reported uint64, v *ring.View) {
	if s.reported == reported && reported != 0 && v.Epoch < reported+ring.RecoveryJump {
		s.reported = 0
	}
}
