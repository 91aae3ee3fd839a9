package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"viewring/internal/codec"
	"viewring/internal/invariant"
	"viewring/ring"
	"viewring/server/replica"
	"viewring/viewleader/roster"
	"viewring/viewleader/vocab"
)

// server is a simulated process: a node, its lanes, and the disk that outlives
// them.
type server struct {
	w    *world
	name byte
	disk *disk
	gone bool // left for good

	doomed       bool          // crashed, and to be removed
	full         bool          // its disk has no room
	spaceAt      time.Duration // when that changed last
	slowAdoption bool
	diskPace     time.Duration // how long syncs and reads may take more

	// Of the running process.
	alive     bool
	paused    bool
	stalled   []func() // what would have happened during the pause
	life      int      // counts starts and deaths; what was scheduled before is void
	instance  uint64
	clock     clock // goes on between processes
	node      *replica.Node
	lanes     [lanes]*lane
	view      *ring.View
	done      uint64
	peersDone map[ring.ServerID]uint64
	asks      map[uint64]func(replica.Answer)
	tokens    uint64
	adoptAt   time.Duration            // when the lanes are given the newest view
	coming    []func()                 // give them the views on the way, in order
	unleased  map[uint64]time.Duration // by token: when what was read came back without a lease
	reported  uint64                   // the epoch that it told a view leader that had lost its data; 0: none
}

type lane struct {
	s     *server
	id    int
	core  *replica.Core
	inbox []func(at replica.Instant, c *replica.Core)
	awake bool
	epoch uint64

	adoptedAt time.Duration
	commits   []uint64         // as of the last round, by partition
	seen      []replica.Detail // as of the last round, by partition
}

// frame is a message with what every frame carries.
type frame struct {
	from        ring.ServerID
	incarnation uint64
	epoch, done uint64
	view        *ring.View // the sender's, for a receiver that is behind
	msg         []byte
}

func (w *world) addServer() *server {
	s := &server{w: w, name: byte(len(w.servers) + 1)}
	s.clock.setRate(w.now, rateMin+(rateMax-rateMin)*w.rng.Float64())
	s.clock.setWall(w.now, w.sane())
	s.disk = &disk{drive: w.opt.drive(), store: [16]byte{s.name}, harmed: make(map[ring.PartitionID]bool)}
	w.servers = append(w.servers, s)
	return s
}

func (s *server) id() ring.ServerID { return s.disk.id }

// String names a server as the view does, once it has an id.
func (s *server) String() string {
	if id := s.id(); id != 0 {
		return id.String()
	}
	return fmt.Sprintf("a new server (%d)", s.name)
}

// instant is the server's own idea of the time.
func (s *server) instant() replica.Instant {
	return replica.Instant{Mono: s.clock.mono(s.w.now), Wall: s.clock.wall(s.w.now)}
}

// later runs do unless the process died meanwhile; a paused one does it when it
// goes on.
func (s *server) later(d time.Duration, do func()) {
	s.w.queue.push(s.w.now+d, event{do: do, s: s, life: s.life})
}

// resume ends a pause: what should have happened happens at once, in its order.
func (s *server) resume() {
	s.paused = false
	stalled := s.stalled
	s.stalled = nil
	for _, do := range stalled {
		s.later(0, do)
	}
}

// start boots the process and registers it.
func (s *server) start() {
	if s.alive || s.gone || s.doomed {
		return
	}
	s.alive, s.paused, s.stalled = true, false, nil
	s.life++
	if s.w.chance(0.5) { // the machine starts anew
		s.clock.base, s.clock.since = time.Duration(s.w.rng.Int64N(int64(time.Hour))), s.w.now
	}
	s.instance = s.w.rng.Uint64() | 1
	s.disk.boot()
	previous := s.disk.incarnation
	s.disk.incarnation++
	s.disk.starts = append(slices.Clone(s.disk.starts), s.instance)
	s.view, s.done, s.node, s.adoptAt, s.coming, s.reported = nil, 0, nil, 0, nil, 0
	s.peersDone = make(map[ring.ServerID]uint64)
	s.asks, s.unleased = make(map[uint64]func(replica.Answer)), make(map[uint64]time.Duration)
	s.w.note(global, "%v starts as incarnation %d", s, s.disk.incarnation)
	s.register(previous)
}

func (s *server) register(previous uint64) {
	if s.view != nil {
		return
	}
	cmd := roster.Command{Kind: roster.KindRegister, Register: s.registration(previous)}
	reported := s.reported
	s.w.deliver(s.id(), 0, func() {
		if s.w.leader.recovery != nil {
			s.w.leader.askReport(s)
		}
		s.w.leader.propose(cmd, func(r roster.Result, v *ring.View) {
			s.w.deliver(0, s.id(), func() { s.registered(r, v, cmd.Register.Instance, reported) })
		})
	})
	s.later(300*time.Millisecond, func() { s.register(previous) })
}

func (s *server) registration(previous uint64) vocab.Register {
	return vocab.Register{ID: s.disk.id, Store: s.disk.store, Instance: s.instance, Previous: previous,
		Incarnation: s.disk.incarnation, Addr: s.addr(), Whole: true, Starts: s.disk.starts}
}

func (s *server) addr() string { return string(rune('a' + s.name)) }

func (s *server) registered(r roster.Result, v *ring.View, instance, reported uint64) {
	if !s.alive || s.view != nil || s.instance != instance || s.reported != reported {
		return // asked before the last report, too: nobody waits for that answer
	}
	s.reported = 0
	if r.Code != roster.Done {
		s.refused(r.Reason)
		return
	}
	s.disk.rolledBack, s.disk.starts = false, s.disk.starts[len(s.disk.starts)-1:]
	fresh := s.disk.id == 0
	s.disk.id = r.ID
	s.node = replica.NewNode(r.ID, s.disk.incarnation)
	at := s.instant()
	for i := range s.lanes {
		core, err := replica.NewCore(replica.Config{Self: r.ID, Incarnation: s.disk.incarnation, Lane: i, Lanes: lanes,
			Fresh: fresh, ValueBytesMax: s.w.valueMax, PageBytesMax: 100, Limits: s.w.limits, LeaseSeen: s.disk.lease, PageRoom: pageRoom}, s.disk, at)
		invariant.Check(err == nil, "disk", "%v: %v", s, err)
		core.SetFeed(at, s.w.watching.feeding.on)
		s.lanes[i] = &lane{s: s, id: i, core: core, commits: make([]uint64, s.w.partitions), seen: make([]replica.Detail, s.w.partitions)}
	}
	s.adopt(v)
	if s.full {
		s.tellSpace()
	}
	s.later(0, s.tick)
	s.later(s.w.between(0, sweepEvery), s.sweep)
	s.later(0, s.beat)
}

// refused ends the process. Where its disk is older than what the view leader saw
// of it, somebody starts it again.
func (s *server) refused(reason string) {
	s.w.note(global, "%v is refused: %s", s, reason)
	s.alive = false
	s.life++
	if s.disk.rolledBack || strings.Contains(reason, "is not newer") {
		s.w.after(200*time.Millisecond, s.start)
		return
	}
	s.gone = true
}

// adopt raises the server's epoch and passes the view to every lane.
func (s *server) adopt(v *ring.View) {
	if s.view != nil && v.Epoch <= s.view.Epoch || s.frozen(v) {
		return
	}
	s.reported = 0
	invariant.Check(v.Epoch >= s.disk.epoch, "I6", "%v knew epoch %d and is given %d", s, s.disk.epoch, v.Epoch)
	s.disk.epoch, s.disk.view = v.Epoch, v
	s.disk.lease = max(s.disk.lease, v.LeaseTTL)
	s.view = v
	promised, ok := s.node.Raise(v.Epoch, v.LeaseTTL)
	invariant.Check(ok, "I6", "%v raises its epoch to %d", s, v.Epoch)
	t := s.w.leader.table(v)
	s.coming = append(s.coming, func() { s.handOver(v, t, promised) })
	if d := s.adoptionPace(); d > 0 {
		s.later(d, s.handOverNext)
		return
	}
	s.handOverNext()
}

// handOverNext gives the lanes the first of the views on the way: after a pause a
// newer one may be heard of before the older one's time has come.
func (s *server) handOverNext() {
	next := s.coming[0]
	s.coming = s.coming[1:]
	next()
}

// handOver gives the lanes a view.
func (s *server) handOver(v *ring.View, t *ring.Table, promised map[ring.ServerID]time.Duration) {
	for _, l := range s.lanes {
		l.post(func(at replica.Instant, c *replica.Core) {
			c.Adopt(at, v, t, promised)
			l.epoch, l.adoptedAt = v.Epoch, s.w.now
			s.learnAll(l, v, t, at)
			s.done = v.Epoch
			for _, other := range s.lanes {
				s.done = min(s.done, other.epoch)
			}
		})
	}
}

// learnAll does the mover's work: it starts all that is to be learned.
func (s *server) learnAll(l *lane, v *ring.View, t *ring.Table, at replica.Instant) {
	for p := l.id; p < len(v.Partitions); p += lanes {
		acting := v.Partitions[p].Acting
		if len(acting) > 0 {
			l.core.Learn(at, ring.PartitionID(p), acting[s.w.rng.IntN(len(acting))])
		}
	}
}

// post puts work into a lane's inbox.
func (l *lane) post(do func(at replica.Instant, c *replica.Core)) {
	l.inbox = append(l.inbox, do)
	if !l.awake {
		l.awake = true
		l.s.later(l.s.w.between(10*time.Microsecond, 2*time.Millisecond), l.run)
	}
}

func (l *lane) run() {
	l.awake = false
	work := l.inbox
	l.inbox = nil
	for _, do := range work {
		do(l.s.instant(), l.core)
	}
	l.cover()
	l.ready()
}

// ready does what the core wants done.
func (l *lane) ready() {
	s := l.s
	for {
		r, ok := l.core.Ready()
		if !ok {
			break
		}
		invariant.Check(l.core.Err() == nil, "disk", "%v: %v", s, l.core.Err())
		if r.Batch != nil {
			s.w.mixBatch(s, r.Batch)
			s.disk.apply(l.id, r.Batch)
			s.w.watching.stored(s, r.Batch)
			number := r.Batch.Number
			s.later(s.diskTime(100*time.Microsecond, 10*time.Millisecond), func() {
				s.disk.synced(l.id, number)
				l.post(func(at replica.Instant, c *replica.Core) { c.Synced(at, number) })
			})
		}
		for _, e := range r.Send {
			s.send(e.To, e.Msg)
		}
		if len(r.Reads) > 0 {
			l.read(r.Reads)
		}
		if len(r.Watched)+len(r.Fed) > 0 {
			s.w.watching.note(l)
			s.w.watching.tell(l, r.Watched)
			s.w.watching.fed(l, r.Fed)
		}
		for i := range r.Answers {
			s.w.mixAnswer(&r.Answers[i])
			s.answer(l, r.Answers[i])
		}
		for _, q := range r.ToLeader {
			s.askLeader(l, q)
		}
	}
	s.w.watching.note(l)
	s.w.checkServing(s, l)
}

// diskTime is how long the disk takes for something; in order, as syncs are.
func (s *server) diskTime(lo, hi time.Duration) time.Duration {
	return s.w.between(lo, hi) + s.w.between(0, s.diskPace)
}

// read fetches items at once and hands them back a while later.
func (l *lane) read(rs []replica.Read) {
	for i := range rs {
		l.s.disk.fetch(&rs[i])
	}
	pace := l.s.diskTime(0, 3*time.Millisecond)
	hangs := 0.04
	if l.s.w.cut[link{l.s.id(), 0}] {
		hangs = 0.5 // trouble seldom comes alone
	}
	if l.s.w.chance(hangs) && !l.s.w.calm && !l.s.w.opt.Planned {
		pace = l.s.w.between(0, 3*time.Second) // a disk that hangs
	}
	l.s.later(pace, func() {
		l.post(func(at replica.Instant, c *replica.Core) {
			for i := range rs {
				if !c.Leased(at, rs[i].Partition) {
					l.s.unleased[rs[i].Token] = l.s.w.now
				}
			}
			c.Served(at, rs)
		})
	})
}

// pageRoom has room for some items of a page, and not for all.
func pageRoom() []byte { return make([]byte, 100) }

func (s *server) send(to ring.ServerID, m *replica.Message) {
	f := &frame{from: s.id(), incarnation: s.disk.incarnation, epoch: s.node.Epoch(), done: s.done, view: s.view,
		msg: replica.AppendMessage(nil, m)}
	clear(m.Room) // it is somebody else's from here on
	target := s.w.byID(to)
	if target == nil {
		return
	}
	pace := time.Duration(0)
	if m.Type == replica.MsgFetch || m.Type == replica.MsgPage {
		pace = s.w.between(0, 400*time.Millisecond) // copies are throttled
	}
	if m.Type == replica.MsgPurge {
		pace = s.w.holdPurge()
	}
	s.w.deliver(s.id(), to, func() {
		if target.alive && target.node != nil {
			target.later(pace, func() { target.receive(f) })
		}
	})
}

// receive takes a frame as a real server does: view first, then the header,
// then the message.
func (s *server) receive(f *frame) {
	s.w.mixFrame(s.id(), f)
	if f.epoch > s.node.Epoch() {
		s.adopt(f.view)
	}
	if f.epoch > s.node.Epoch() {
		return
	}
	if m := s.view.Member(f.from); m == nil || m.Incarnation != f.incarnation {
		return
	}
	msg, err := replica.DecodeMessage(codec.NewReader(f.msg))
	invariant.Check(err == nil, "wire", "%v", err)
	s.w.count(messageCounters[msg.Type])
	if f.done > s.peersDone[f.from] {
		s.peersDone[f.from] = f.done
		for _, l := range s.lanes {
			l.post(func(at replica.Instant, c *replica.Core) { c.PeerDone(at, f.from, f.done) })
		}
	}
	switch msg.Type {
	case replica.MsgPing:
		s.send(f.from, s.node.OnPing(s.instant(), f.from, msg))
	case replica.MsgPurge:
		s.w.checkPurge(msg)
		l := s.lanes[int(msg.Partition)%lanes]
		l.post(func(at replica.Instant, c *replica.Core) {
			was := c.Detail(msg.Partition)
			c.Step(at, f.from, msg)
			s.w.checkPurged(l, msg.Partition, was, c.Detail(msg.Partition))
		})
	case replica.MsgPromise:
		if pr, ok := s.node.OnPromise(s.instant(), f.from, msg); ok {
			for _, l := range s.lanes {
				l.post(func(at replica.Instant, c *replica.Core) { c.Promised(at, pr) })
			}
		}
	default:
		if s.w.opt.Trace {
			s.w.say(int(msg.Partition), fmt.Sprintf("%v gets %v of %d/%d from %v: flags %x last %v seq %d floor %d commit %d history %v",
				s.id(), msg.Type, msg.Partition, msg.Term, f.from, msg.Flags, msg.Last, msg.Seq, msg.Floor, msg.Commit, msg.History))
		}
		l := s.lanes[int(msg.Partition)%lanes]
		l.post(func(at replica.Instant, c *replica.Core) { c.Step(at, f.from, msg) })
	}
}

func (s *server) tick() {
	for _, l := range s.lanes {
		l.post(func(at replica.Instant, c *replica.Core) { c.Tick(at) })
	}
	s.later(30*time.Millisecond, s.tick)
}

// beat sends the heartbeat and the pings.
func (s *server) beat() {
	reported := s.reported
	s.w.deliver(s.id(), 0, func() { s.w.leader.heartbeat(s, reported) })
	for i := range s.view.Members {
		if m := &s.view.Members[i]; m.Up && m.ID != s.id() {
			s.send(m.ID, s.node.Ping(s.instant()))
		}
	}
	s.later(150*time.Millisecond, s.beat)
}

func (s *server) askLeader(l *lane, q replica.LeaderRequest) {
	s.w.checkHandoff(s, l, q)
	life, late := s.life, time.Duration(0)
	if q.Kind == replica.AskHandoff {
		late = s.w.holdHandoff(s, q)
	}
	s.w.deliverLate(late, s.id(), 0, func() {
		s.w.leader.request(s, q, func(ok bool) {
			slow := time.Duration(0)
			s.w.deliver(0, s.id(), func() {
				if s.life != life {
					return // who asked is dead
				}
				if q.Kind == replica.AskConfirm {
					s.later(slow, func() {
						l.post(func(at replica.Instant, c *replica.Core) { c.Confirmed(at, q.Token, ok) })
					})
				}
			})
			if q.Kind == replica.AskConfirm {
				slow = s.w.holdConfirm(s)
			}
		})
	})
}

// answerPace is how long an answer of the view leader waits for whoever passes it on.
func (w *world) answerPace() time.Duration {
	if w.calm || !w.chance(0.15) {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(2 * time.Second)))
}

// crash kills the process; its disk loses what was not synced, but for a prefix.
func (s *server) crash() {
	if !s.alive {
		return
	}
	s.w.note(global, "%v crashes", s)
	s.w.keepOld(s)
	s.alive, s.paused, s.stalled = false, false, nil
	s.life++
	s.disk.crash(s.w.rng.IntN)
}

func (w *world) byID(id ring.ServerID) *server {
	for _, s := range w.servers {
		if id != 0 && s.disk.id == id {
			return s
		}
	}
	return nil
}
