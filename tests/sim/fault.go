package sim

import (
	"time"

	"viewring/ring"
	"viewring/viewleader/roster"
)

const serversMax = 12

// fault does one of the things that go wrong, or that operators do. What finds
// nothing to go wrong with is followed by another.
func (w *world) fault() {
	if w.calm {
		return
	}
	before := w.faults
	s := w.servers[w.rng.IntN(len(w.servers))]
	switch k := w.rng.IntN(24); {
	case k < 4:
		w.crashFor(s, w.between(100*time.Millisecond, 12*time.Second))
	case k < 5:
		w.powerCycle()
	case k < 8:
		w.pause(s)
	case k < 12:
		w.partition(s)
	case k < 14:
		w.lossyFor(w.between(time.Second, 8*time.Second))
	case k < 15:
		w.leaderOutage()
	case k < 17:
		w.join()
	case k < 19:
		w.leave(s)
	case k < 21:
		w.slowLink(s)
	case k < 23:
		w.lonely()
	default:
		w.hit("drain")
		w.note(global, "drain %v", s)
		w.leader.propose(roster.Command{Kind: roster.KindDrain, ID: s.id()}, nil)
		w.after(3*time.Second, func() { w.crashFor(s, time.Second) })
	}
	if w.faults == before {
		w.after(20*time.Millisecond, w.fault)
	}
}

// hit counts a fault that happens.
func (w *world) hit(what string) {
	w.faults++
	w.count("fault " + what)
}

func (w *world) crashFor(s *server, d time.Duration) {
	if !s.alive || w.calm {
		return
	}
	w.hit("crash")
	s.crash()
	w.after(d, s.start)
}

func (w *world) powerCycle() {
	hit := false
	for _, s := range w.servers {
		if s.alive {
			hit = true
			s.crash()
			w.after(w.between(500*time.Millisecond, 3*time.Second), s.start)
		}
	}
	if hit {
		w.hit("power cycle")
	}
}

func (w *world) pause(s *server) {
	if !s.alive || s.paused {
		return
	}
	d := w.between(100*time.Millisecond, 4*time.Second)
	w.hit("pause")
	w.note(global, "%v is paused for %v", s, d)
	s.paused = true
	life := s.life
	w.after(d, func() {
		if s.life == life {
			s.resume()
		}
	})
}

// slowLink makes what a server sends to another one, or what the view leader
// sends to it, come late and out of order.
func (w *world) slowLink(s *server) {
	other := w.otherThan(s)
	l := link{0, s.id()}
	if other != nil && w.chance(0.6) {
		l = link{s.id(), other.id()}
	}
	w.hit("slow link")
	w.note(global, "slow %v", l)
	w.slow[l] = true
	w.after(w.between(500*time.Millisecond, 5*time.Second), func() { delete(w.slow, l) })
}

// lonely takes a primary's backups from it, and the rest of the world: while they
// are away for long, or as they come back at once after it lost the view leader.
func (w *world) lonely() {
	v := w.leader.state.View()
	p := &v.Partitions[w.rng.IntN(len(v.Partitions))]
	primary := w.byID(p.Primary())
	if primary == nil || !primary.alive {
		return
	}
	w.hit("lonely")
	down := 2200*time.Millisecond + time.Duration(w.rng.Int64N(int64(2*time.Second)))
	alone := time.Second + time.Duration(w.rng.Int64N(int64(time.Second)))
	crash := func() {
		for _, id := range p.Acting[1:] {
			w.crashFor(w.byID(id), down)
		}
	}
	if w.chance(0.5) {
		crash()
		w.after(alone, func() { w.isolate(primary) })
		return
	}
	down = w.between(10*time.Millisecond, 200*time.Millisecond)
	w.cutFor([]link{{primary.id(), 0}, {0, primary.id()}}, 3*time.Second)
	w.after(alone-300*time.Millisecond, func() {
		w.isolate(primary)
		crash()
	})
}

// otherThan draws another server that runs; nil when there is none.
func (w *world) otherThan(s *server) *server {
	var others []*server
	for _, o := range w.servers {
		if o != s && o.alive && o.node != nil {
			others = append(others, o)
		}
	}
	if len(others) == 0 {
		return nil
	}
	return others[w.rng.IntN(len(others))]
}

// partition cuts a server off: from all, from another one, one way, or from the
// view leader.
func (w *world) partition(s *server) {
	other := w.otherThan(s)
	if !s.alive {
		return
	}
	var links []link
	switch k := w.rng.IntN(4); {
	case k == 0:
		w.isolate(s)
		if w.chance(0.5) {
			// It is taken out before its leases have run out: its clients must
			// not go on reading what others overwrite.
			w.hit("expired while isolated")
			if m := w.leader.state.View().Member(s.id()); m != nil {
				w.leader.propose(roster.Command{Kind: roster.KindExpire, Who: []roster.Incarnated{{ID: s.id(), Incarnation: m.Incarnation}}}, nil)
			}
			if other != nil {
				w.crashFor(other, w.between(10*time.Millisecond, time.Second))
			}
		}
		return
	case k == 3 || other == nil:
		w.hit("no view leader")
		links = append(links, link{s.id(), 0}, link{0, s.id()})
	case k == 1:
		w.hit("bridge")
		links = append(links, link{s.id(), other.id()}, link{other.id(), s.id()})
	default:
		w.hit("one way")
		links = append(links, link{s.id(), other.id()})
	}
	w.cutFor(links, w.between(300*time.Millisecond, 6*time.Second))
}

// isolate cuts a server off from everyone but the clients.
func (w *world) isolate(s *server) {
	w.hit("isolated")
	links := []link{{s.id(), 0}, {0, s.id()}}
	for _, o := range w.servers {
		links = append(links, link{s.id(), o.id()}, link{o.id(), s.id()})
	}
	w.cutFor(links, w.between(300*time.Millisecond, 6*time.Second))
}

func (w *world) cutFor(links []link, d time.Duration) {
	if w.calm {
		return
	}
	w.note(global, "cut %v", links)
	for _, l := range links {
		w.cut[l] = true
	}
	w.after(d, func() {
		for _, l := range links {
			delete(w.cut, l)
		}
	})
}

func (w *world) lossyFor(d time.Duration) {
	w.hit("lossy")
	w.lossy = true
	w.after(d, func() { w.lossy = false })
}

func (w *world) leaderOutage() {
	if !w.leader.up {
		return
	}
	w.hit("view leader out")
	w.note(global, "the view leader is out")
	w.leader.up = false
	w.after(w.between(200*time.Millisecond, 4*time.Second), w.leaderBack)
}

// leaderBack gives everyone a full timeout first.
func (w *world) leaderBack() {
	w.leader.up = true
	for _, s := range w.servers {
		w.leader.heard[s.id()] = w.now
	}
}

func (w *world) join() {
	if len(w.servers) >= serversMax {
		return
	}
	w.hit("join")
	w.addServer().start()
}

func (w *world) leave(s *server) {
	staying := 0
	for _, m := range w.leader.state.View().Members {
		if m.Target() {
			staying++
		}
	}
	if staying < 3 || s.id() == 0 {
		return
	}
	w.hit("leave")
	w.note(global, "leave %v", s)
	w.leader.propose(roster.Command{Kind: roster.KindLeave, ID: s.id()}, nil)
}

// calmDown ends the faults, and the clients once there were enough operations.
func (w *world) calmDown() {
	if !w.calm {
		w.heal()
	}
	w.restartDrained()
	if w.done < opsMin {
		w.after(100*time.Millisecond, w.calmDown)
		return
	}
	w.quiet = true
	w.calmAt = w.now
	w.after(time.Second, w.settle)
}

// heal ends all faults; from here on everything must come right by itself.
func (w *world) heal() {
	w.note(global, "calm")
	w.calm = true
	w.cut, w.slow = make(map[link]bool), make(map[link]bool)
	w.lossy = false
	w.leaderBack()
	for _, s := range w.servers {
		s.resume()
		s.start()
	}
}

// restartDrained does what an operator does with a drained server.
func (w *world) restartDrained() {
	v := w.leader.state.View()
	for _, s := range w.servers {
		if m := v.Member(s.id()); m != nil && m.Standing == ring.Draining && s.done == v.Epoch {
			s.crash()
			s.start()
		}
	}
}

// settle waits until the cluster has converged, then reads every key once more.
func (w *world) settle() {
	w.restartDrained()
	if why := w.unsettled(); why != "" {
		w.note(global, "not settled: %s", why)
		w.after(500*time.Millisecond, w.settle)
		return
	}
	w.settled, w.settledAt = true, w.now
	w.Counts["settled after ms"] = int((w.now - w.calmAt).Milliseconds())
	c := newClient(w, 99)
	c.final, c.finals = true, hotKeys
	w.clients = append(w.clients, c)
	c.next()
	w.awaitFinal(c)
}

func (w *world) awaitFinal(c *client) {
	if len(c.finals) == 0 && c.op.done != never {
		w.queue.clear()
		return
	}
	w.after(100*time.Millisecond, func() { w.awaitFinal(c) })
}

// stranded reports whether a member has left the view: its process may have
// gone on without noticing.
func (w *world) stranded(id ring.ServerID) bool { return w.leader.state.View().Member(id) == nil }
