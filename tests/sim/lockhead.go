package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"viewring/internal/session"
	"viewring/tests/history"
	"viewring/viewleader/roster"
)

const (
	lockersFew    = 4
	lockTickEvery = 50 * time.Millisecond
	claimGrace    = 5 * time.Second // as the view leader has it
)

// lockHead is what the head of the view leaders knows of locks in memory: which
// sessions live, and whom to tell of a grant. The locks are in the roster. It is
// forgotten with each head. All that concerns locks is drawn from a source of its own.
type lockHead struct {
	w       *world
	rng     *rand.Rand
	clock   clock
	life    int // heads so far
	watch   session.Watch
	began   time.Duration
	swept   bool
	busy    bool // a batch is on its way
	pending []*lockCall
	waiting map[lockPlace][]*lockCall
	orphans map[lockPlace]lockOrphan
	asking  map[lockPlace]int
	left    []lockPlace
	results map[uint64]roster.Result // of commands with an id: in the log, so every head has them

	lockers []*locker
	locks   int
	shadow  lockShadow
	before  uint64 // the last token before the newest recovery
	history history.LockHistory
}

// lockPlace is who holds a lock or waits for it.
type lockPlace struct {
	lock, client string
	session      uint64
}

type lockOrphan struct {
	token uint64
	at    time.Duration
}

// lockCall is a question on its way, on a connection of its own.
type lockCall struct {
	cmd    roster.Command
	keep   bool          // no command: the session's client lives
	id     uint64        // of a command that must be done once; 0: none
	wait   time.Duration // in line; negative: without end
	until  time.Duration // that it waits in line; 0: without end
	life   int           // of the head that was asked
	gone   bool          // nobody waits for the answer any more
	answer func(roster.Result)
}

func (c *lockCall) place() lockPlace { return lockPlace{c.cmd.Lock, c.cmd.Client, c.cmd.Session} }

func newLockHead(w *world, lockers int) *lockHead {
	h := &lockHead{w: w, rng: rand.New(rand.NewPCG(w.seed, 0x6c6f636b)), clock: clock{rate: 1},
		results: make(map[uint64]roster.Result), asking: make(map[lockPlace]int)}
	h.locks = 2 + lockers/3
	h.shadow = lockShadow{w: w, locks: make(map[string]*shadowLock), sessions: make(map[uint64]roster.Command),
		untold: make(map[uint64]*history.LockOp), given: make(map[uint64]time.Duration)}
	for i := range lockers {
		h.lockers = append(h.lockers, newLocker(h, i))
	}
	return h
}

func (h *lockHead) schedule() {
	h.begin()
	h.w.after(lockTickEvery, h.tick)
	for range 4 * min(1, h.w.opt.Lockers) { // few other faults concern them
		h.w.after(time.Duration(h.rng.Int64N(int64(quietAt-time.Second))), func() {
			if !h.w.calm && h.w.failover() {
				h.w.hit("view leader fails over")
			}
		})
	}
	for _, l := range h.lockers {
		l.again()
		for range 1 + h.rng.IntN(3) {
			h.w.after(time.Duration(h.rng.Int64N(int64(quietAt-time.Second))), l.fault)
		}
	}
}

func (h *lockHead) chance(p float64) bool { return h.rng.Float64() < p }

// upTo draws a duration, mostly a short one.
func (h *lockHead) upTo(most time.Duration) time.Duration {
	f := h.rng.Float64()
	return time.Millisecond + time.Duration(f*f*float64(most))
}

func (h *lockHead) now() time.Time { return time.Unix(0, 0).Add(h.clock.mono(h.w.now)) }
func (h *lockHead) at() int64      { return epoch0 + h.clock.mono(h.w.now).Milliseconds() }

// begin is a new head: everyone has a full time to live.
func (h *lockHead) begin() {
	h.life++
	h.clock.setRate(h.w.now, evenRate(h.rng))
	h.began, h.swept, h.busy, h.pending, h.left = h.w.now, false, false, nil, nil
	h.waiting, h.orphans = make(map[lockPlace][]*lockCall), make(map[lockPlace]lockOrphan)
	clear(h.asking)
	h.watch.Begin(h.now())
	for _, s := range h.w.leader.state.Sessions() {
		heard := h.now()
		if h.w.opt.Rule&bugNewHeadHasty != 0 {
			heard = heard.Add(-s.TTL)
		}
		h.watch.Open(s.ID, s.TTL, heard)
	}
}

// lost ends a head: what is under way is done all the same, or not; nobody is told.
func (h *lockHead) lost() {
	batch := h.pending
	h.pending = nil
	h.life++
	for _, c := range batch {
		if c.gone = true; h.chance(0.5) {
			h.w.count("lock command done unanswered")
			h.run(c)
		} else {
			h.w.count("lock command lost")
		}
	}
}

// forget is a view leader that was recovered: nobody knows of locks and sessions, but
// tokens go on above all there were. Who held a lock may believe so until its session's
// time is over, which an operator takes longer than; fences hold all the same.
func (h *lockHead) forget() {
	for _, name := range slices.Sorted(maps.Keys(h.shadow.locks)) {
		l := h.shadow.locks[name]
		for _, o := range l.holders {
			h.history.Add(history.LockOp{Lock: o.place.lock, Owner: o.place.owner(), Kind: history.LockLost, Shared: l.shared, Token: o.token, Call: h.w.now})
		}
		h.shadow.drop(l, func(*shadowHolder) bool { return true })
		l.queue = nil
	}
	clear(h.shadow.sessions)
	clear(h.results)
	h.before = h.shadow.token
}

// arrive takes a question up.
func (h *lockHead) arrive(c *lockCall) {
	if !h.w.leader.up {
		return
	}
	c.life = h.life
	if c.keep {
		code := roster.NoSession
		if h.watch.Keep(c.cmd.Session, h.now()) {
			code = roster.Done
		}
		h.reply(c, roster.Result{Code: code})
		return
	}
	if c.cmd.Kind == roster.KindLockGet {
		h.watch.Keep(c.cmd.Session, h.now())
		h.asking[c.place()]++
	}
	h.propose(c)
}

func (h *lockHead) propose(c *lockCall) {
	h.pending = append(h.pending, c)
	if h.busy {
		return
	}
	h.busy = true
	pace := h.upTo(8 * time.Millisecond)
	if h.chance(0.01) && !h.w.calm {
		pace = h.upTo(time.Second) // its disk hangs
	}
	life := h.life
	h.w.after(pace, func() {
		if h.life == life {
			h.apply()
		}
	})
}

// command proposes what the head itself wants done.
func (h *lockHead) command(cmd roster.Command, done func(roster.Result)) {
	h.propose(&lockCall{cmd: cmd, answer: done})
}

func (h *lockHead) apply() {
	batch := h.pending
	h.pending, h.busy = nil, false
	for _, c := range batch {
		r := h.run(c)
		h.done(c, r)
		for _, g := range r.Grants {
			h.granted(g)
		}
	}
}

// run does a command, if it was not done before.
func (h *lockHead) run(c *lockCall) roster.Result {
	if r, known := h.results[c.id]; known && c.id != 0 {
		r.Grants = nil
		return r
	}
	c.cmd.At = h.at()
	r := h.w.leader.state.Apply([]roster.Command{c.cmd})[0]
	h.w.note(global, "lock: kind %d %q %q in %d ttl %d delay %d sessions %v: code %d token %d %v", c.cmd.Kind, c.cmd.Lock, c.cmd.Client, c.cmd.Session, c.cmd.TTL, c.cmd.Delay, c.cmd.Sessions, r.Code, r.Token, r.Grants)
	h.w.count(fmt.Sprintf("lock %s: %s", lockCommandName(c.cmd.Kind), lockCodeName(r.Code)))
	h.shadow.apply(&c.cmd, &r)
	h.shadow.compare(h.w.leader.state, c.cmd.At)
	if c.id != 0 {
		h.results[c.id] = r
	}
	if c.cmd.Kind == roster.KindLockGet && r.Code == roster.Done && !r.Held {
		h.checkBelief(c.place(), r.Token)
	}
	for _, g := range r.Grants {
		h.checkBelief(lockPlace{g.Lock, g.Client, g.Session}, g.Token)
	}
	return r
}

// done tells who asked, or has it wait in line.
func (h *lockHead) done(c *lockCall, r roster.Result) {
	if c.cmd.Kind != roster.KindLockGet {
		h.reply(c, r)
		switch {
		case r.Code == roster.Done && c.cmd.Kind == roster.KindSessionOpen:
			h.watch.Open(r.Session, time.Duration(c.cmd.TTL)*time.Millisecond, h.now())
		case r.Code == roster.Done && c.cmd.Kind == roster.KindSessionEnd:
			h.ended(c.cmd.Session)
		}
		return
	}
	p := c.place()
	if h.asking[p]--; h.asking[p] == 0 {
		delete(h.asking, p)
	}
	switch r.Code {
	case roster.Waiting:
		if c.gone {
			h.left = append(h.left, p)
			return
		}
		if c.wait > 0 {
			c.until = h.w.now + c.wait
		}
		h.waiting[p] = append(h.waiting[p], c)
		return
	case roster.Done:
		delete(h.orphans, p)
		if c.gone && !r.Held {
			h.orphans[p] = lockOrphan{r.Token, h.w.now}
		}
	}
	h.reply(c, r)
}

func (h *lockHead) granted(g roster.Grant) {
	p := lockPlace{g.Lock, g.Client, g.Session}
	calls := h.waiting[p]
	delete(h.waiting, p)
	if len(calls) == 0 {
		h.orphans[p] = lockOrphan{g.Token, h.w.now}
	}
	for _, c := range calls {
		h.reply(c, roster.Result{Code: roster.Done, Token: g.Token})
	}
}

func (h *lockHead) reply(c *lockCall, r roster.Result) {
	if c.answer != nil {
		c.answer(r)
	}
}

// broke notes that nobody waits for the answer to a call any more.
func (h *lockHead) broke(c *lockCall) {
	p := c.place()
	if c.life != h.life || !slices.Contains(h.waiting[p], c) {
		return
	}
	if h.drop(c); len(h.waiting[p]) == 0 {
		h.left = append(h.left, p)
	}
}

func (h *lockHead) drop(c *lockCall) {
	p := c.place()
	h.waiting[p] = slices.DeleteFunc(h.waiting[p], func(o *lockCall) bool { return o == c })
	if len(h.waiting[p]) == 0 {
		delete(h.waiting, p)
	}
}

// ended tells those who wait in sessions that have ended.
func (h *lockHead) ended(ids ...uint64) {
	for _, id := range ids {
		h.watch.Ended(id)
	}
	for _, p := range h.places() {
		if p.session != 0 && slices.Contains(ids, p.session) {
			for _, c := range h.waiting[p] {
				h.reply(c, roster.Result{Code: roster.NoSession})
			}
			delete(h.waiting, p)
		}
	}
}

// places are where somebody waits, in an order that depends on nothing else.
func (h *lockHead) places() []lockPlace {
	return slices.SortedFunc(maps.Keys(h.waiting), comparePlaces)
}

// tick is what the head does of its own accord, as the view leader's does.
func (h *lockHead) tick() {
	h.w.after(lockTickEvery, h.tick)
	if !h.w.leader.up {
		return
	}
	if silent := h.watch.Silent(h.now()); len(silent) > 0 {
		h.w.count("sessions fell silent")
		h.command(roster.Command{Kind: roster.KindSessionExpire, Sessions: silent}, func(r roster.Result) { h.ended(silent...) })
	}
	if next := h.w.leader.state.NextLockExpiry(); next != 0 && next <= h.at() {
		h.command(roster.Command{Kind: roster.KindLockTick}, nil)
	}
	left := h.left
	h.left = nil
	for _, p := range left {
		switch {
		case h.asking[p] > 0 && h.w.opt.Rule&bugPlaceTaken == 0:
			h.left = append(h.left, p)
		case len(h.waiting[p]) == 0:
			h.command(p.dequeue(), nil)
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(h.orphans), comparePlaces) {
		if o := h.orphans[p]; h.w.now-o.at >= claimGrace && h.asking[p] == 0 {
			delete(h.orphans, p)
			h.w.count("unclaimed grants released")
			h.command(roster.Command{Kind: roster.KindLockFree, Lock: p.lock, Client: p.client, Session: p.session, Token: o.token}, nil)
		}
	}
	if !h.swept && h.w.now-h.began >= claimGrace {
		h.swept = true
		h.sweep()
	}
	h.endWaits()
	h.checkWaiting()
}

// sweep takes those out of line who did not come back to a new head.
func (h *lockHead) sweep() {
	for _, l := range h.w.leader.state.Locks() {
		for _, w := range l.Waiters {
			p := lockPlace{l.Name, w.Client, w.Session}
			switch {
			case h.asking[p] > 0:
				h.left = append(h.left, p)
			case len(h.waiting[p]) == 0:
				h.w.count("absent waiters swept")
				h.command(p.dequeue(), nil)
			}
		}
	}
}

// endWaits tells those whose wait is over.
func (h *lockHead) endWaits() {
	for _, p := range h.places() {
		for _, c := range slices.Clone(h.waiting[p]) {
			if c.until == 0 || h.w.now < c.until {
				continue
			}
			c.until = 0
			alone := len(h.waiting[p]) == 1 && h.asking[p] == 0
			over := func(roster.Result) {
				if !slices.Contains(h.waiting[p], c) {
					return
				}
				if h.drop(c); !alone && len(h.waiting[p]) == 0 {
					h.left = append(h.left, p)
				}
				h.reply(c, roster.Result{Code: roster.Locked})
			}
			if alone {
				h.command(p.dequeue(), over)
			} else {
				h.command(roster.Command{Kind: roster.KindLockTick}, over)
			}
		}
	}
}

func (p lockPlace) dequeue() roster.Command {
	return roster.Command{Kind: roster.KindLockDequeue, Lock: p.lock, Client: p.client, Session: p.session}
}
