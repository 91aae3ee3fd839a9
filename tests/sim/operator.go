package sim

import (
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// command proposes what an operator asks of the view leader.
func (w *world) command(cmd roster.Command) { w.leader.propose(cmd, nil) }

func (w *world) join() bool {
	members := len(w.leader.state.View().Members)
	if len(w.servers) >= serversMax || members >= w.partitions && !w.chance(0.1) {
		return false
	}
	w.addServer().start()
	return true
}

func (w *world) leave(s *server) bool {
	staying := 0
	for _, m := range w.leader.state.View().Members {
		if m.Target() {
			staying++
		}
	}
	if s.id() == 0 || staying < 3 && !w.chance(0.05) {
		return false
	}
	w.command(roster.Command{Kind: roster.KindLeave, ID: s.id()})
	return true
}

// undrainEach is of how many drains one is taken back.
const undrainEach = 3

// drain takes a server out for a restart, which comes a while later. Some are taken back before.
func (w *world) drain(s *server) bool {
	if s.id() == 0 {
		return false
	}
	if w.opt.Planned {
		return w.rollDrained(s)
	}
	w.command(roster.Command{Kind: roster.KindDrain, ID: s.id()})
	if w.drains++; w.drains%undrainEach == 0 {
		w.after(w.between(50*time.Millisecond, 2*time.Second), func() { w.command(roster.Command{Kind: roster.KindUndrain, ID: s.id()}) })
	}
	w.after(3*time.Second, func() { w.crashFor(s, time.Second) })
	return true
}

// remove loses a server for good, when others have all that it had. It may turn up
// again all the same, and is refused then.
func (w *world) remove(s *server) bool {
	v := w.leader.state.View()
	if !s.alive || s.node == nil || !w.spare(s) || len(v.Members) < 3 || v.Member(s.id()) == nil || w.doomedOnes() > 0 {
		return false
	}
	s.crash()
	s.doomed = true
	w.after(w.between(500*time.Millisecond, 4*time.Second), func() { w.removeDoomed(s) })
	return true
}

func (w *world) doomedOnes() (n int) {
	for _, s := range w.servers {
		if s.doomed && !s.gone {
			n++
		}
	}
	return n
}

// removeDoomed tells the view leader, once it has noticed, that a server is lost;
// or brings it back, when it turned out to be needed.
func (w *world) removeDoomed(s *server) {
	v := w.leader.state.View()
	for i := range v.Partitions {
		if v.Partitions[i].IsActing(s.id()) {
			s.doomed = false
			s.start()
			return
		}
	}
	if m := v.Member(s.id()); m != nil && m.Up && !w.calm {
		w.after(500*time.Millisecond, func() { w.removeDoomed(s) })
		return
	}
	w.note(global, "remove %v", s)
	s.gone = true
	answered := false
	w.after(3*time.Second, func() { // a head that died took the command with it
		if !answered {
			w.removeDoomed(s)
		}
	})
	w.leader.propose(roster.Command{Kind: roster.KindRemove, ID: s.id()}, func(r roster.Result, v *ring.View) {
		answered = true
		if v.Member(s.disk.id) == nil && r.Code != roster.Done {
			return // it had left before
		}
		if r.Code != roster.Done {
			s.doomed, s.gone = false, false
			s.start()
			return
		}
		if w.chance(0.5) {
			w.after(w.between(time.Second, 6*time.Second), s.haunt)
		}
	})
}

// haunt lets a removed server ask to come back. One that something still depends on
// is not gone yet, and may: with its process, for it may act at once.
func (s *server) haunt() {
	if s.w.leader.state.View().Member(s.disk.id) != nil {
		s.doomed, s.gone = false, false
		s.start()
		return
	}
	cmd := roster.Command{Kind: roster.KindRegister, Register: vocab.Register{ID: s.disk.id, Store: s.disk.store,
		Instance: s.w.rng.Uint64() | 1, Previous: s.disk.incarnation, Incarnation: s.disk.incarnation + 1, Addr: s.addr(), Whole: true,
		Starts: append(slices.Clone(s.disk.starts), s.w.rng.Uint64()|1)}}
	s.w.command(cmd)
}

// configure changes min-copies and the lease of the running cluster. One copy is not made enough while one is
// damaged: the others might leave before it is repaired (spoil).
func (w *world) configure() bool {
	c := roster.Command{Kind: roster.KindConfigure, MinCopies: 1 + w.rng.IntN(3),
		LeaseTTL: time.Duration(300+w.rng.IntN(700)) * time.Millisecond}
	for p := range w.partitions {
		if w.damaged(ring.PartitionID(p)) {
			c.MinCopies = max(c.MinCopies, 2)
		}
	}
	w.command(c)
	return true
}

func (w *world) leaderOut(d time.Duration) bool {
	if !w.leader.up {
		return false
	}
	w.leader.up = false
	w.lockHead.lost()
	w.after(d, w.leaderBack)
	return true
}

// leaderBack gives everyone a full timeout first.
func (w *world) leaderBack() {
	if !w.leader.up {
		w.leader.up = true
		w.lockHead.begin()
	}
	for _, s := range w.servers {
		w.leader.heard[s.id()] = w.now
	}
}

// failover gives the view leader a new head. It has the state by its log and its
// snapshot; heartbeats are forgotten; a command under way was lost, or done
// without its sender being told, or is done by the new head.
func (w *world) failover() bool {
	l := w.leader
	if !l.up {
		return false
	}
	var kept []proposal
	for _, p := range l.pending {
		switch w.rng.IntN(3) {
		case 0:
			w.count("view leader lost a command")
		case 1:
			w.count("view leader did a command unanswered")
			p.then = nil
			kept = append(kept, p)
		default:
			kept = append(kept, p)
		}
	}
	l.pending = kept
	l.restore()
	clear(l.heard)
	return w.leaderOut(w.between(50*time.Millisecond, 2*time.Second))
}

// clone restarts a server, and lets a copy of its folder as it was in between ask to
// join afterwards, once or twice: two servers of one folder, and the later one is
// refused.
func (w *world) clone(s *server) bool {
	if s.node == nil || s.disk.rolledBack || s.doomed || !w.crashFor(s, w.between(50*time.Millisecond, 2*time.Second)) {
		return false
	}
	r := vocab.Register{ID: s.disk.id, Store: s.disk.store, Previous: s.disk.incarnation, Incarnation: s.disk.incarnation,
		Addr: "copy of " + s.addr(), Whole: true, Starts: s.disk.starts}
	w.after(w.between(300*time.Millisecond, 4*time.Second), func() { w.startClone(s, r) })
	return true
}

// startClone starts the copy, as long as it has not been started more often than the
// original: then it would be the one that goes on.
func (w *world) startClone(s *server, r vocab.Register) {
	m := w.leader.state.View().Member(s.id())
	if m == nil || m.Incarnation <= r.Incarnation {
		return
	}
	r.Incarnation++
	r.Instance = w.rng.Uint64() | 1
	r.Starts = append(slices.Clone(r.Starts), r.Instance)
	w.leader.propose(roster.Command{Kind: roster.KindRegister, Register: r}, func(res roster.Result, _ *ring.View) {
		w.count("clones refused")
		invariant.Check(res.Code == roster.Refused, "H8", "%v runs, and a copy of its folder is registered as incarnation %d", s, r.Incarnation)
	})
	w.after(w.between(300*time.Millisecond, 2*time.Second), func() { w.startClone(s, r) })
}
