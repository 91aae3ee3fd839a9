package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/internal/outcome"
	"viewring/internal/session"
	"viewring/tests/history"
	"viewring/viewleader/roster"
)

// Clocks of clients of locks and of the view leader run evenly to a tenth of each
// other: that is what sessions ask for.
const (
	evenMin = 0.952
	evenMax = 1.048
)

// timedLock is only asked for with a time to live: a question with one that comes late
// sets an end to what was granted without.
const timedLock = "lock 1"

// keepPatience is for how long a client waits to hear that its session is kept.
const keepPatience = 700 * time.Millisecond

func evenRate(r *rand.Rand) float64 {
	if r.IntN(4) == 0 {
		return []float64{evenMin, evenMax}[r.IntN(2)]
	}
	return evenMin + (evenMax-evenMin)*r.Float64()
}

// locker is a client of locks: it has a session, mostly, and holds up to two locks.
type locker struct {
	h       *lockHead
	w       *world
	number  int
	name    string // another one after a crash: what was asked for before is nobody's
	life    int
	alive   bool
	paused  bool
	cut     bool
	stalled []func()
	clock   clock

	session uint64
	ttl     time.Duration
	delay   time.Duration
	keeper  session.Keeper
	heard   time.Duration // the true time at which the keeper's last word was sent
	held    []*holding
	call    *lockCall // that it waits for
	unknown func()    // notes what is known of it when no answer comes
	ops     uint64
	turn    int    // what it thinks of next
	idle    bool   // it is done
	token   uint64 // the newest that it was given for the lock of the fences
}

// holding is a lock that a locker was told it has.
type holding struct {
	place  lockPlace
	shared bool
	token  uint64
	ttl    int64         // ms; 0: none
	until  time.Time     // by its own clock, with a time to live; zero: none
	over   time.Duration // the true time from which it may be gone by that
	freed  bool          // it asked to release it
}

func newLocker(h *lockHead, i int) *locker {
	l := &locker{h: h, w: h.w, number: i, alive: true, clock: clock{rate: evenRate(h.rng)}}
	l.name = fmt.Sprintf("c%d", i)
	return l
}

func (l *locker) now() time.Time { return time.Unix(0, 0).Add(l.clock.mono(l.w.now)) }

// later runs do in this life, once the locker is not paused.
func (l *locker) later(d time.Duration, do func()) {
	life := l.life
	l.w.after(d, func() {
		switch {
		case l.life != life:
		case l.paused:
			l.stalled = append(l.stalled, do)
		default:
			do()
		}
	})
}

// carry brings something to the head, or back.
func (l *locker) carry(do func()) {
	d := 100*time.Microsecond + l.h.upTo(6*time.Millisecond)
	if l.w.lossy && !l.w.calm {
		if l.h.chance(0.03) {
			return
		}
		if l.h.chance(0.05) {
			d += l.h.upTo(1500 * time.Millisecond)
		}
	}
	if !l.cut {
		l.w.after(d, func() {
			if !l.cut {
				do()
			}
		})
	}
}

// ask sends a question, again where there is no answer, until one comes or the session
// is over. Where it is refused, having done nothing, refused is called.
func (l *locker) ask(c lockCall, then func(roster.Result), refused func()) *lockCall {
	call := &c
	sent := call // the newest try; the first stands for all of them
	life, known := l.life, outcome.Of(outcome.Repeatable)
	over := false
	var send func()
	send = func() {
		if over || call.gone || l.session != c.cmd.Session && c.cmd.Session != 0 {
			return
		}
		try, away := c, false
		back := func(do func()) { // with an answer to this try
			l.carry(func() {
				if l.life != life || try.gone || over || call.gone {
					return
				}
				l.later(0, func() {
					if !over && !call.gone && !try.gone {
						do()
					}
				})
			})
		}
		try.answer = func(r roster.Result) {
			back(func() {
				over = true
				then(r)
			})
		}
		sent = &try
		l.carry(func() {
			if status := l.w.crowd.turnsAway(l.h); status != 0 {
				back(func() {
					try.gone, away = true, true
					over = l.turnedAway(call, known.Next(cameTo(status)), send, refused)
				})
				return
			}
			l.h.arrive(&try)
		})
		l.watchCall(&try, func() bool { return over || call.gone || away }, func() {
			known.Next(outcome.Silent)
			send()
		})
	}
	call.answer = func(roster.Result) { // its client gives up
		call.gone, sent.gone = true, true
		last := sent
		l.carry(func() { l.h.broke(last) })
	}
	send()
	return call
}

// turnedAway follows a verdict on a try that the head did not look at. It is true when
// the question is over.
func (l *locker) turnedAway(call *lockCall, v outcome.Verdict, again, refused func()) bool {
	switch v {
	case outcome.Retry:
		l.later(l.think(), again)
		return false
	case outcome.Refuse:
		l.w.count("lock question refused")
		l.answered()
		refused()
		l.again()
	case outcome.Unknown:
		l.w.count("lock question refused after one that was not answered")
		if l.call == call {
			l.giveUp()
		}
		l.abandon()
	}
	return true
}

// watchCall asks again when the head that was asked is not there any more, or the
// connection breaks.
func (l *locker) watchCall(try *lockCall, over func() bool, again func()) {
	l.later(time.Second, func() {
		switch {
		case over():
		case try.life == l.h.life && l.w.leader.up && !l.cut && slices.Contains(l.h.waiting[try.place()], try) && !l.h.chance(0.1):
			l.watchCall(try, over, again)
		default:
			try.gone = true
			l.carry(func() { l.h.broke(try) })
			again()
		}
	})
}

func (l *locker) think() time.Duration { return 5*time.Millisecond + l.h.upTo(250*time.Millisecond) }

// act does the next thing.
func (l *locker) act() {
	l.answered()
	switch held := l.holds(); {
	case l.w.quiet && l.session == 0 && len(held) == 0:
		l.idle = true
	case l.session == 0 && len(held) == 0:
		l.open()
	case l.w.quiet && len(held) == 0, l.session != 0 && l.h.chance(0.04):
		l.close()
	case len(held) > 0 && (l.w.quiet || l.session == 0 || len(held) > 1 || l.h.chance(0.6)):
		l.release(held[l.h.rng.IntN(len(held))])
	default:
		l.get()
	}
}

// answered is when nothing is waited for.
func (l *locker) answered() { l.call, l.unknown = nil, nil }

// giveUp waits for an answer no longer.
func (l *locker) giveUp() {
	if l.call == nil {
		return
	}
	call, unknown := l.call, l.unknown
	l.answered()
	if unknown != nil {
		unknown()
	}
	call.answer(roster.Result{})
}

// holds are the locks that it did not ask to release yet.
func (l *locker) holds() []*holding {
	l.held = slices.DeleteFunc(l.held, func(h *holding) bool { return h.freed })
	return slices.Clone(l.held)
}

// again lets it go on after a while, with one thing at a time.
func (l *locker) again() {
	l.turn++
	turn := l.turn
	l.later(l.think(), func() {
		if l.turn == turn {
			l.act()
		}
	})
}

func (l *locker) open() {
	l.ttl = 600*time.Millisecond + time.Duration(l.h.rng.Int64N(int64(2500*time.Millisecond)))
	if l.delay = 0; l.h.chance(0.6) {
		l.delay = time.Duration(l.h.rng.Int64N(int64(time.Second)))
	}
	sent, heard := l.now(), l.w.now
	c := lockCall{cmd: roster.Command{Kind: roster.KindSessionOpen, TTL: l.ttl.Milliseconds(), Delay: l.delay.Milliseconds()}}
	l.ttl, l.delay = time.Duration(c.cmd.TTL)*time.Millisecond, time.Duration(c.cmd.Delay)*time.Millisecond
	l.ask(c, func(r roster.Result) {
		l.session, l.heard, l.keeper = r.Session, heard, session.NewKeeper(l.ttl, sent)
		if l.now().Before(l.keeper.Until()) {
			l.keep(r.Session)
			l.act()
			return
		}
		l.lose()
	}, func() {})
}

// keep keeps the session alive as the client library does.
func (l *locker) keep(id uint64) {
	l.later(l.keeper.Pause(), func() {
		if l.session != id {
			return
		}
		if !l.now().Before(l.keeper.Until()) {
			l.w.count("lock client lost its session by its clock")
			l.lose()
			return
		}
		sent, heard := l.now(), l.w.now
		answered := false
		call := &lockCall{cmd: roster.Command{Session: id}, keep: true}
		call.answer = func(r roster.Result) {
			l.carry(func() {
				l.later(0, func() {
					if l.session != id || answered {
						return
					}
					answered = true
					l.kept(id, r, sent, heard)
				})
			})
		}
		l.carry(func() { l.h.arrive(call) })
		l.later(keepPatience, func() {
			if l.session == id && !answered {
				answered = true
				l.keeper.Failed()
				l.keep(id)
			}
		})
	})
}

func (l *locker) kept(id uint64, r roster.Result, sent time.Time, heard time.Duration) {
	if l.w.opt.Rule&bugHeardWhenAnswered != 0 {
		sent, heard = l.now(), l.w.now
	}
	switch {
	case r.Code == roster.NoSession:
		l.w.count("lock client told that its session has ended")
		l.lose()
	case l.keeper.Heard(sent, l.now()):
		l.heard = heard
		l.keep(id)
	default:
		l.lose()
	}
}

// lose is the end of a session by silence.
func (l *locker) lose() {
	l.w.note(global, "lock: %s loses session %d, heard %v, %v and %v", l.name, l.session, l.heard, l.ttl, l.delay)
	waits := l.call != nil && l.call.cmd.Session == 0 // for what is not of the session
	if !waits {
		l.giveUp()
	}
	for _, h := range l.holds() {
		if h.place.session != 0 {
			l.lost(h, l.earliest())
		}
	}
	l.held = slices.DeleteFunc(l.held, func(h *holding) bool { return h.place.session != 0 })
	l.session = 0
	if !waits {
		l.again()
	}
}

// earliest is the true time before which nobody else may be granted what the session
// holds: it was heard when that was sent, or later.
func (l *locker) earliest() time.Duration {
	return l.heard + time.Duration(float64(l.ttl+l.delay)/evenMax) - 2*time.Millisecond
}

// lost notes that a lock may be gone without its holder's word.
func (l *locker) lost(h *holding, from time.Duration) {
	op := h.op(history.LockLost)
	op.Call = from
	l.h.history.Add(op)
}

func (h *holding) op(kind history.LockKind) history.LockOp {
	return history.LockOp{Lock: h.place.lock, Owner: h.place.owner(), Kind: kind, Shared: h.shared, Token: h.token}
}

func (p lockPlace) owner() string { return fmt.Sprintf("%s/%d", p.client, p.session) }

func comparePlaces(a, b lockPlace) int {
	return cmp.Or(cmp.Compare(a.lock, b.lock), cmp.Compare(a.client, b.client), cmp.Compare(a.session, b.session))
}

// close ends the session by its word.
func (l *locker) close() {
	from, held := min(l.w.now, l.earliest()), l.holds() // it may be over by now
	for _, h := range held {
		h.freed = h.place.session != 0
	}
	held = slices.DeleteFunc(held, func(h *holding) bool { return !h.freed })
	by := func(end time.Duration) {
		for _, h := range held {
			op := h.op(history.LockLost)
			op.Call, op.Return = from, end
			l.h.history.Add(op)
		}
	}
	id := l.session
	l.unknown = func() { by(history.Never) }
	l.call = l.ask(lockCall{cmd: roster.Command{Kind: roster.KindSessionEnd, Session: id}}, func(r roster.Result) {
		end := l.w.now
		if r.Code != roster.Done {
			end = history.Never // it was over before: the lock delay may go on
		}
		by(end)
		l.session = 0
		l.answered()
		l.again()
	}, func() { l.keepAll(held) })
}

// keepAll goes on holding what it asked to release, and was refused.
func (l *locker) keepAll(held []*holding) {
	for _, h := range held {
		h.freed = false
	}
}

func (l *locker) lockName() string {
	if n := l.h.rng.IntN(l.h.locks); n > 0 {
		return fmt.Sprintf("lock %d", n)
	}
	return lockName
}

// get asks for a lock. Now and then it does so without a session, for a time.
func (l *locker) get() {
	rng := l.h.rng
	c := lockCall{cmd: roster.Command{Kind: roster.KindLockGet, Lock: l.lockName(), Client: l.name, Session: l.session,
		Shared: l.h.chance(0.35), WaitInDeadlock: l.h.chance(0.3)}}
	switch {
	case l.h.chance(0.1):
		c.cmd.Session = 0
		c.cmd.TTL = 100 + rng.Int64N(900)
	case c.cmd.Lock == timedLock:
		c.cmd.TTL = 100 + rng.Int64N(900)
	default:
		c.cmd.Wait = l.h.chance(0.75)
	}
	c.wait = []time.Duration{-1, -1, 300 * time.Millisecond}[rng.IntN(3)]
	for _, h := range l.held {
		if h.place == c.place() {
			c.cmd.Shared, c.cmd.TTL = h.shared, h.ttl // the same again
		}
	}
	asked, sent := l.w.now, l.now()
	call := l.ask(c, func(r roster.Result) { l.got(&c, r, asked, sent) }, func() {})
	l.call = call
	l.unknown = nil
	if c.cmd.Wait && c.wait < 0 { // it may wait for itself
		l.later(2*time.Second+l.h.upTo(3*time.Second), func() {
			if l.call == call && !call.gone {
				l.w.count("lock client leaves the line")
				l.giveUp()
				l.abandon()
			}
		})
	}
}

// abandon ends the session: what a question that it gave up came to ends with it.
func (l *locker) abandon() {
	if l.session != 0 {
		l.close()
		return
	}
	l.again()
}

// got takes the answer to a question for a lock.
func (l *locker) got(c *lockCall, r roster.Result, asked time.Duration, sent time.Time) {
	l.answered()
	h := &holding{place: c.place(), shared: c.cmd.Shared, token: r.Token, ttl: c.cmd.TTL}
	op := h.op(history.LockGet)
	op.Call, op.Return = asked, l.w.now
	switch r.Code {
	case roster.Locked:
		op.Refused = true
		l.h.history.Add(op)
	case roster.Deadlock:
		l.w.count("lock deadlock refused")
		if held := l.holds(); len(held) > 0 {
			l.release(held[0])
			return
		}
	case roster.NoSession:
		l.lose()
		return
	case roster.Done:
		// An earlier try, of which nobody saw the answer, may have been granted.
		op.Call = min(asked, l.h.shadow.given[r.Token])
		l.h.history.Add(op)
		delete(l.h.shadow.untold, r.Token)
		if ttl := time.Duration(c.cmd.TTL) * time.Millisecond; ttl > 0 {
			h.until, h.over = sent.Add(ttl-ttl/10), asked+time.Duration(float64(ttl)/evenMax)-2*time.Millisecond
			l.lost(h, h.over)
		}
		if c.cmd.Session != 0 && !l.now().Before(l.keeper.Until()) {
			l.held = append(l.held, h) // it comes too late
			l.lose()
			return
		}
		l.take(h)
	}
	l.again()
}

// take begins to hold a lock, unless it is the same again.
func (l *locker) take(h *holding) {
	if h.place.lock == lockName {
		l.token = h.token
	}
	for _, o := range l.held {
		if o.place == h.place && o.token == h.token {
			return
		}
	}
	l.held = slices.DeleteFunc(l.held, func(o *holding) bool { return o.place == h.place }) // its time was over
	l.held = append(l.held, h)
	if l.believes(h) {
		l.h.checkBelief(h.place, h.token)
	}
}

// release gives a lock back. It is asked until the answer is known.
func (l *locker) release(h *holding) {
	h.freed = true
	l.ops++
	op := h.op(history.LockFree)
	op.Call = l.w.now
	c := lockCall{id: uint64(l.number)<<32 | uint64(l.life)<<24 | l.ops, cmd: roster.Command{Kind: roster.KindLockFree, Lock: h.place.lock,
		Client: h.place.client, Session: h.place.session, Token: h.token * uint64(l.h.rng.IntN(2))}}
	op.Any = c.cmd.Token == 0 // a question of before that comes late may have got it another one
	l.unknown = func() {
		op.Unknown, op.Return = true, history.Never
		l.h.history.Add(op)
		if h.place.session != 0 {
			l.lost(h, l.earliest())
		}
	}
	l.call = l.ask(c, func(r roster.Result) {
		l.answered()
		op.Return, op.Refused = l.w.now, r.Code == roster.NotHeld
		if _, open := l.h.shadow.sessions[h.place.session]; op.Refused && h.place.session != 0 && !open {
			op.Refused, op.Unknown, op.Return = false, true, history.Never // an earlier try may have done it
			l.h.history.Add(op)
			l.lost(h, l.earliest()) // it may be kept from others yet
			l.again()
			return
		}
		if op.Refused && h.token <= l.h.before { // the view leader was recovered since
			op.Refused, op.Unknown, op.Return = false, true, history.Never
		}
		invariant.Check(!op.Refused || h.over != 0, "locks", "%+v is not held, and nobody released it", h.place)
		l.h.history.Add(op)
		l.again()
	}, func() { l.keepAll([]*holding{h}) })
}

// believes reports whether a locker takes itself for the holder now, by its clock.
func (l *locker) believes(h *holding) bool {
	switch now := l.now(); {
	case !l.alive, h.freed:
		return false
	case !h.until.IsZero() && !now.Before(h.until):
		return false
	case h.place.session != 0:
		return h.place.session == l.session && now.Before(l.keeper.Until())
	}
	return true
}
