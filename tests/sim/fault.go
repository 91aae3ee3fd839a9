package sim

import (
	"slices"
	"time"

	"viewring/ring"
)

const serversMax = 12

// faultKind is one of the things that go wrong, or that operators do. It reports
// whether it found something to go wrong with.
type faultKind struct {
	weight int
	name   string
	do     func(w *world, s *server) bool
}

// faultKinds are drawn by weight. Their names are in the table of a run.
func faultKinds() []faultKind {
	return []faultKind{
		{8, "crash", func(w *world, s *server) bool { return w.crashFor(s, w.between(100*time.Millisecond, 12*time.Second)) }},
		{2, "power cycle", func(w *world, _ *server) bool { return w.powerCycle() }},
		{6, "pause", (*world).pause},
		{3, "isolated", (*world).isolated},
		{3, "bridge", (*world).bridge},
		{3, "one way", (*world).oneWay},
		{3, "no view leader", (*world).noLeader},
		{4, "lossy", func(w *world, _ *server) bool { return w.lossyFor(w.between(time.Second, 8*time.Second)) }},
		{4, "slow link", (*world).slowLink},
		{3, "slow disk", (*world).slowDisk},
		{2, "view leader out", func(w *world, _ *server) bool { return w.leaderOut(w.between(200*time.Millisecond, 4*time.Second)) }},
		{3, "view leader fails over", func(w *world, _ *server) bool { return w.failover() }},
		{4, "join", func(w *world, _ *server) bool { return w.join() }},
		{4, "leave", (*world).leave},
		{3, "drain", (*world).drain},
		{2, "remove", (*world).remove},
		{2, "configure", func(w *world, _ *server) bool { return w.configure() }},
		{4, "lonely", func(w *world, _ *server) bool { return w.lonely() }},
		{2, "clock drifts", (*world).drift},
		{4, clockJumps, (*world).jump},
		{2, "disk rolled back", (*world).rollBack},
		{3, "cut off by its handoff", func(w *world, _ *server) bool {
			was := w.ambush.cutOff
			w.ambush.cutOff = true
			return !was
		}},
		{2, "cloned folder", (*world).clone},
		{3, "disk full", (*world).fillDisk},
		{1, "all disks full", func(w *world, _ *server) bool { return w.fillAll() }},
		{3, "blink", (*world).blink},
		{3, "handoff comes late", func(w *world, _ *server) bool { return w.lateHandoff() }},
		{3, "purge comes late", func(w *world, _ *server) bool {
			was := w.ambush.purge
			w.ambush.purge = true
			return !was
		}},
		{3, "estranged", func(w *world, _ *server) bool { return w.estranged() }},
		{3, "late promises", func(w *world, _ *server) bool { return w.latePromises() }},
		{3, "lease gets shorter", func(w *world, _ *server) bool { return w.shortenLease() }},
		{3, "late learner", func(w *world, _ *server) bool { return w.lateLearner() }},
		{2, "tail of one", func(w *world, _ *server) bool { return w.tailOfOne() }},
		{3, "adoption hangs", (*world).hangAdoption},
		{1, "torn triangle", func(w *world, _ *server) bool { return w.tornTriangle() }},
		{4, "client's clock jumps", func(w *world, _ *server) bool { return w.jumpClient() }},
		{4, "flipped bit", (*world).flipBit},
		{2, "flipped under lag", func(w *world, _ *server) bool { return w.flipUnderLag() }},
		{2, "bad block", (*world).breakBlock},
		{0, "set weight", (*world).setWeight}, // see placedWeights
		{0, "set zone", (*world).setZone},
	}
}

var kinds = faultKinds()

// fault does something to a server. What finds nothing to go wrong with is
// followed by another.
func (w *world) fault() {
	if w.calm {
		return
	}
	total := 0
	for _, weight := range w.weights {
		total += weight
	}
	draw := w.rng.IntN(total)
	s := w.servers[w.rng.IntN(len(w.servers))]
	for i := range kinds {
		if draw -= w.weights[i]; draw >= 0 {
			continue
		}
		if k := &kinds[i]; k.do(w, s) {
			w.hit(k.name)
			w.note(global, "fault: %s (%v)", k.name, s)
			return
		}
		break
	}
	w.after(20*time.Millisecond, w.fault)
}

// hit counts a fault that happens.
func (w *world) hit(what string) {
	w.faults++
	w.count("fault " + what)
}

func (w *world) crashFor(s *server, d time.Duration) bool {
	if !s.alive || w.calm {
		return false
	}
	s.crash()
	w.after(d, s.start)
	return true
}

func (w *world) powerCycle() bool {
	hit := false
	for _, s := range w.servers {
		hit = w.crashFor(s, w.between(500*time.Millisecond, 3*time.Second)) || hit
	}
	return hit
}

func (w *world) pause(s *server) bool {
	if !s.alive || s.paused {
		return false
	}
	s.paused = true
	life := s.life
	w.after(w.between(100*time.Millisecond, 4*time.Second), func() {
		if s.life == life {
			s.resume()
		}
	})
	return true
}

// slowLink makes what a server sends to another one, or what the view leader
// sends to it, come late and out of order.
func (w *world) slowLink(s *server) bool {
	other := w.otherThan(s)
	l := link{0, s.id()}
	if other != nil && w.chance(0.6) {
		l = link{s.id(), other.id()}
	}
	w.note(global, "slow %v", l)
	w.slow[l] = true
	w.after(w.between(500*time.Millisecond, 5*time.Second), func() { delete(w.slow, l) })
	return true
}

// slowDisk makes a server's syncs and reads take long; at times they hang.
func (w *world) slowDisk(s *server) bool {
	if !s.alive || s.diskPace > 0 {
		return false
	}
	s.diskPace = w.between(20*time.Millisecond, w.slowest(2500*time.Millisecond))
	w.after(w.between(500*time.Millisecond, 6*time.Second), func() { s.diskPace = 0 })
	return true
}

// lonely takes a primary's backups from it, and the rest of the world: while they
// are away for long, or as they come back at once after it lost the view leader.
func (w *world) lonely() bool {
	v := w.leader.state.View()
	p := &v.Partitions[w.rng.IntN(len(v.Partitions))]
	primary := w.byID(p.Primary())
	if primary == nil || !primary.alive {
		return false
	}
	down := 2200*time.Millisecond + time.Duration(w.rng.Int64N(int64(2*time.Second)))
	alone := time.Second + time.Duration(w.rng.Int64N(int64(time.Second)))
	crash := func() {
		for _, id := range p.Acting[1:] {
			if o := w.byID(id); o != nil {
				w.crashFor(o, down)
			}
		}
	}
	if w.chance(0.5) {
		crash()
		w.after(alone, func() { w.isolate(primary) })
		return true
	}
	down = w.between(10*time.Millisecond, 200*time.Millisecond)
	w.cutFor([]link{{primary.id(), 0}, {0, primary.id()}}, 3*time.Second)
	w.after(alone-300*time.Millisecond, func() {
		w.isolate(primary)
		crash()
	})
	return true
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

// isolated cuts a server off from everyone but the clients.
func (w *world) isolated(s *server) bool {
	if !s.alive {
		return false
	}
	w.isolate(s)
	if w.chance(0.5) {
		// It is taken out before its leases have run out: its clients must
		// not go on reading what others overwrite.
		w.hit("expired while isolated")
		w.expire(s.id())
		if other := w.otherThan(s); other != nil {
			w.crashFor(other, w.between(10*time.Millisecond, time.Second))
		}
	}
	return true
}

// bridge lets two servers not reach each other, while both reach the rest.
func (w *world) bridge(s *server) bool {
	other := w.otherThan(s)
	return other != nil && s.alive && w.cutFor([]link{{s.id(), other.id()}, {other.id(), s.id()}}, w.between(300*time.Millisecond, 6*time.Second))
}

func (w *world) oneWay(s *server) bool {
	l := link{s.id(), 0}
	if other := w.otherThan(s); other != nil && w.chance(0.7) {
		l.to = other.id()
	}
	if w.chance(0.5) {
		l.from, l.to = l.to, l.from
	}
	return s.alive && w.cutFor([]link{l}, w.between(300*time.Millisecond, 6*time.Second))
}

func (w *world) noLeader(s *server) bool {
	return s.alive && w.cutFor([]link{{s.id(), 0}, {0, s.id()}}, w.between(300*time.Millisecond, 6*time.Second))
}

func (w *world) isolate(s *server) {
	links := []link{{s.id(), 0}, {0, s.id()}}
	for _, o := range w.servers {
		links = append(links, link{s.id(), o.id()}, link{o.id(), s.id()})
	}
	w.cutFor(links, w.between(300*time.Millisecond, 6*time.Second))
}

func (w *world) cutFor(links []link, d time.Duration) bool {
	if w.calm {
		return false
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
	return true
}

func (w *world) lossyFor(d time.Duration) bool {
	w.lossy = true
	w.after(d, func() { w.lossy = false })
	return true
}

// drift changes the rate of a server's monotonic clock, within what the protocol
// allows.
func (w *world) drift(s *server) bool {
	rate := rateMin + (rateMax-rateMin)*w.rng.Float64()
	if w.chance(0.5) {
		rate = []float64{rateMin, rateMax}[w.rng.IntN(2)]
	}
	s.clock.setRate(w.now, rate)
	return true
}

// jump sets a server's wall clock wrong by seconds to hours, and later right again.
func (w *world) jump(s *server) bool {
	if !w.clocks || w.strict && slices.ContainsFunc(w.servers, func(o *server) bool { return o != s && o.clock.wrong() }) {
		return false
	}
	off := int64(w.between(3*time.Second, 3*time.Hour) / time.Millisecond)
	if w.chance(0.6) {
		off = int64(w.between(3*time.Second, 30*time.Second) / time.Millisecond)
	}
	if w.chance(0.5) {
		off = -off
	}
	s.clock.setWall(w.now, off)
	w.wrongClocks()
	w.after(w.between(time.Second, 12*time.Second), func() { s.clock.setWall(w.now, w.sane()) })
	return true
}

// spare reports whether every partition on which s acts has another acting replica
// that runs: then the loss of what s has is one that the cluster must survive.
func (w *world) spare(s *server) bool {
	v := w.leader.state.View()
	for i := range v.Partitions {
		p := &v.Partitions[i]
		if !slices.ContainsFunc(p.Acting, func(id ring.ServerID) bool { o := w.byID(id); return o != nil && o.alive }) {
			return false // it may be given up, and s become all that there is
		}
		if p.IsActing(s.id()) && !slices.ContainsFunc(p.Acting, func(id ring.ServerID) bool {
			o := w.byID(id)
			return id != s.id() && o != nil && o.alive && !o.disk.rolledBack && !o.doomed && !o.damagedIn(ring.PartitionID(i))
		}) {
			return false
		}
	}
	return true
}

// rollBack kills a server and brings it up on an older state of its disk.
func (w *world) rollBack(s *server) bool {
	m, ok := s.disk.drive.(*mapDrive)
	if !ok || !s.alive || s.node == nil || s.disk.old == nil || !w.spare(s) || s.doomed {
		return false
	}
	s.disk.lostTerms = make(map[ring.PartitionID]uint64)
	for i, p := range w.leader.state.View().Partitions {
		s.disk.lostTerms[ring.PartitionID(i)] = p.Term
		if p.IsActing(s.id()) {
			w.rolled[ring.PartitionID(i)] = true
		}
	}
	s.crash()
	old := s.disk.old
	s.disk.rolledBack, s.disk.lostBefore = true, s.disk.incarnation
	m.durable, s.disk.incarnation, s.disk.starts, s.disk.epoch, s.disk.view, s.disk.old = old.tables, old.incarnation, old.starts, old.epoch, old.view, nil
	m.crash(func(int) int { return 0 })
	w.after(w.between(100*time.Millisecond, 3*time.Second), s.start)
	return true
}

// heal ends all faults; from here on everything must come right by itself.
func (w *world) heal() {
	w.note(global, "calm")
	w.calm = true
	w.cut, w.slow = make(map[link]bool), make(map[link]bool)
	w.lossy = false
	if w.leader.recovery == nil {
		w.leaderBack()
	}
	w.concede()
	for _, s := range w.servers {
		s.diskPace = 0
		s.setSpace(true)
		s.clock.setWall(w.now, w.sane())
		s.resume()
		s.start()
	}
}

// keepOld remembers what a server's disk has, now and then, for rollBack.
func (w *world) keepOld(s *server) {
	m, ok := s.disk.drive.(*mapDrive)
	if !ok || s.disk.id == 0 || !w.chance(0.3) {
		return
	}
	old := &oldDisk{incarnation: s.disk.incarnation, starts: s.disk.starts, epoch: s.disk.epoch, view: s.disk.view, tables: make(tables)}
	for p, sp := range m.durable {
		old.tables[p] = sp.clone()
	}
	s.disk.old = old
}
