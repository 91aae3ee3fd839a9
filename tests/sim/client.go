package sim

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"viewring/internal/invariant"
	"viewring/internal/outcome"
	"viewring/ring"
	"viewring/server/replica"
)

// hotKeys are few, so that operations meet. Those that begin with n are counted
// up and down, those that begin with t are given a time to live.
var hotKeys = []string{"a", "b", "c", "d", "e", "n1", "n2", "t1", "t2", "t3", pairKeys[0], pairKeys[1]}

func counts(key string) bool  { return key[0] == 'n' }
func expires(key string) bool { return key[0] == 't' }

const stubbornID = 5

// client does one operation after the other, each under one request id over all
// its tries, and gives up after a while without knowing the outcome.
type client struct {
	w      *world
	id     byte
	number uint64
	view   *ring.View
	op     *record
	known  outcome.Tries // what the tries of op came to
	since  time.Duration
	tries  uint64
	serial int
	open   map[uint64]bool            // numbers given up
	seen   map[string]replica.Version // last version of a key that it was shown
	finals []string                   // keys left to read at the end

	patience time.Duration // with one try
	clock    time.Duration // that it is ahead of the true time
	careful  bool          // its mark waits for what was given up
	lost     bool          // the last try was not answered: the view may be old
	final    bool
	ahead    bool // its clock is far ahead, and what it asks comes again when it is not
	sleeps   time.Duration
	token    uint64 // of the lock that it thinks it holds
	stubborn bool   // reads alone, from who it took for the primary, whoever that is by now

	walker *walker // what it does in the tree of paths, instead of anything else; nil: nothing
}

func newClient(w *world, id byte) *client {
	c := &client{w: w, id: id, patience: 500 * time.Millisecond, careful: id%3 == 0,
		open: make(map[uint64]bool), seen: make(map[string]replica.Version)}
	if c.stubborn = id == stubbornID; c.stubborn {
		c.patience = 200 * time.Millisecond
	}
	if id%2 == 0 {
		c.patience = 2500 * time.Millisecond
	}
	if w.clocks {
		c.clock = time.Duration(w.rng.Int64N(int64(4*time.Second))) - 2*time.Second
	}
	return c
}

// attempt is a request as it goes out: all tries of an operation are equal but for
// the mark and the time.
type attempt struct {
	rec     *record
	id      replica.RequestID
	mark    uint64
	current func() bool // whether its client still waits for it
}

func (c *client) next() {
	if c.w.quiet && !c.final {
		return
	}
	if c.sleeps > c.w.now && !c.w.calm {
		c.w.after(c.sleeps-c.w.now, c.next)
		return
	}
	if c.walker != nil {
		c.walker.next()
		return
	}
	in := input{}
	if c.final {
		if len(c.finals) == 0 {
			return
		}
		in.key, c.finals = c.finals[0], c.finals[1:]
		if len(c.finals) < len(hotKeys) {
			in.op, in.value = replica.OpSet, c.unique()
		}
	} else {
		in = c.draw(hotKeys[c.w.rng.IntN(len(hotKeys))])
	}
	c.begin(in)
}

// begin begins an operation, with its first try.
func (c *client) begin(in input) {
	c.number++
	c.since = c.w.now
	c.op = &record{client: int(c.id), number: c.number, in: in, call: c.w.now, done: never,
		born: epoch0 + (c.w.now + c.clock).Milliseconds()}
	c.known = outcome.Of(outcome.Repeatable)
	if in.op == 0 {
		c.known = outcome.Of(outcome.Read)
	}
	c.w.history = append(c.w.history, c.op)
	c.try()
}

// draw decides what to do with a key.
func (c *client) draw(key string) input {
	w := c.w
	in := input{key: key, value: c.unique()}
	if c.stubborn {
		return input{key: key}
	}
	if inPair(key) && w.chance(0.45) {
		in.token = c.drawFence()
		c.drawBatch(&in)
		return in
	}
	if counts(key) {
		in.value = fmt.Sprint(w.rng.IntN(100))
	}
	switch r := w.rng.Float64(); {
	case r < 0.3:
		in.value = ""
		return in
	case r < 0.5:
		in.op = replica.OpSet
	case r < 0.9:
		in.op = replica.OpAppend
		if counts(key) || w.chance(0.01) {
			in.op, in.delta = replica.OpIncr, int64(w.rng.IntN(9))-3
		}
	default:
		in.op = replica.OpDelete
	}
	in.token = c.drawFence()
	if w.chance(0.25) {
		in.cond = replica.Cond(1 + w.rng.IntN(3))
		in.version = c.seen[key]
	}
	if expires(key) && w.chance(0.6) {
		switch {
		case in.op == replica.OpSet && w.chance(0.3):
			in.keep = true
		case in.op == replica.OpSet:
			c.setExpiry(&in)
		default:
			in.op = replica.OpExpire
			if w.chance(0.7) {
				c.setExpiry(&in)
			}
		}
	}
	return in
}

// setExpiry lets a key expire soon, and now and then at once: at a time, or from when
// the primary takes the request up.
func (c *client) setExpiry(in *input) {
	ms := int64(c.w.between(0, 5*time.Second)/time.Millisecond) - 100
	if c.w.chance(0.4) && ms != 0 {
		in.ttl = ms
		return
	}
	in.expiry = c.w.wall() + ms
}

func (c *client) unique() string {
	c.serial++
	return fmt.Sprintf("%c%d;", 'A'+c.id, c.serial)
}

// mark is the number up to which the client has all answers, or wants none.
func (c *client) mark() uint64 {
	m := c.number - 1
	if c.careful {
		for n := range c.open {
			m = min(m, n-1)
		}
	}
	return m
}

// try sends the operation to who it thinks is the primary.
func (c *client) try() {
	if c.w.now-c.since > 4*time.Second && !c.final {
		c.giveUp()
		return
	}
	c.tries++
	try := c.tries
	chance := 0.7
	if c.stubborn {
		chance = 0.04
	}
	if eager := c.id%4 < 2 && !c.stubborn; c.view == nil || eager || c.lost && c.w.chance(chance) {
		c.view = c.w.leader.state.View()
	}
	c.lost = true // until an answer comes
	number := c.number
	a := c.attempt(c.op)
	a.current = func() bool { return c.number == number && c.op.done == never }
	c.send(a, func(ans replica.Answer) { c.answered(number, try, ans) })
	c.w.after(c.patience, func() {
		if c.tries != try {
			return
		}
		c.known.Next(outcome.Silent)
		if c.stubborn {
			c.tries++
			c.next()
			return
		}
		c.try()
	})
}

func (c *client) attempt(rec *record) attempt {
	return attempt{rec: rec, mark: c.mark(), id: replica.RequestID{Client: [16]byte{c.id}, Number: c.number, Born: rec.born},
		current: func() bool { return false }}
}

// giveUp goes on without an answer. Where the outcome is unknown the same id may be
// tried again much later.
func (c *client) giveUp() {
	c.w.count("given up")
	if c.known.End() == outcome.Refuse {
		c.refused()
		return
	}
	c.open[c.number] = true
	c.later(c.op, c.number, c.attempt(c.op), 0.7)
	c.w.after(c.w.between(time.Millisecond, 50*time.Millisecond), c.next)
}

// later tries an operation again long after, perhaps at a server that never saw
// it: what it did must not be done twice, and its answer must be the first one.
func (c *client) later(rec *record, number uint64, a attempt, chance float64) {
	if c.w.chance(chance) {
		c.again(rec, number, a, c.w.between(100*time.Millisecond, 12*time.Second))
	}
}

func (c *client) again(rec *record, number uint64, a attempt, after time.Duration) {
	if rec.in.op == 0 || c.w.loss != nil {
		return
	}
	c.w.after(after, func() {
		if c.w.quiet {
			return
		}
		c.w.count("late retries")
		c.send(a, func(ans replica.Answer) {
			c.w.checkRetry(rec, &ans)
			if rec.done == never && recorded(ans.Status) {
				c.w.count("late retries answered")
				rec.note(&ans, c.w.now)
				delete(c.open, number)
			}
		})
	})
}

// recorded reports whether an answer is what a request came to: it is the same at
// every retry.
func recorded(s replica.Status) bool { return s <= replica.StatusFenced }

// send brings a request to the partition's primary, as the client knows it. The
// network may bring it again much later.
func (c *client) send(a attempt, then func(replica.Answer)) {
	p := c.w.partitionOf(a.rec.in.key)
	s := c.w.byID(c.view.Partitions[p].Primary())
	if s == nil {
		return
	}
	arrived := false
	c.w.deliver(outside, s.id(), func() {
		if arrived && !c.doubt(a.rec) {
			return
		}
		arrived = true
		c.arrive(s, p, a, then)
	})
	if c.w.lossy && !c.w.calm && c.w.loss == nil && c.w.chance(0.04) {
		c.w.count("requests come twice, late")
		c.w.after(c.w.between(300*time.Millisecond, 10*time.Second), func() {
			if !c.doubt(a.rec) {
				return
			}
			a.current = func() bool { return false }
			c.arrive(s, p, a, func(ans replica.Answer) { c.w.checkRetry(a.rec, &ans) })
		})
	}
}

// arrive hands a request to a server that runs.
func (c *client) arrive(s *server, p ring.PartitionID, a attempt, then func(replica.Answer)) {
	if !s.alive || s.node == nil {
		return
	}
	if status := c.w.crowd.turnsAway(s); status != 0 {
		c.w.deliver(s.id(), outside, func() { then(replica.Answer{Status: status}) })
		return
	}
	s.later(0, func() {
		s.tokens++
		token := s.tokens
		life, came := s.life, arrival{term: c.w.leader.state.View().Partitions[p].Term}
		s.asks[token] = func(ans replica.Answer) {
			if s.life != life {
				return
			}
			came.leased = s.unleased[token] != s.w.now || s.lanes[int(p)%lanes].core.Leased(s.instant(), p)
			delete(s.unleased, token)
			if c.w.opt.Trace {
				c.w.say(int(p), fmt.Sprintf("%v answers client %d number %d: %s %v %d %q", s, c.id, a.id.Number, statusName(ans.Status), ans.Version, ans.Number, ans.Value))
			}
			s.w.checkNothingDone(p, &a, &ans)
			s.w.checkPlanned(s, p, &a, &ans)
			s.w.checkAnswer(s, p, &a, &ans, came)
			c.w.deliver(s.id(), outside, func() { then(ans) })
		}
		req := a.request(token, p)
		c.w.arrived[requestName{c.id, a.id.Number}]++
		if c.w.opt.Trace {
			c.w.say(int(p), fmt.Sprintf("%v is asked by client %d number %d mark %d born %d: %+v", s, c.id, a.id.Number, a.mark, a.id.Born-epoch0, a.rec.in))
		}
		l := s.lanes[int(p)%lanes]
		if a.rec.in.step != nil && lists(a.rec.in.step.Op) {
			l.list(p, token, a.rec.in.step)
			return
		}
		if a.rec.in.op == 0 && l.readNow(p, token, req.Key) {
			return
		}
		l.post(func(at replica.Instant, core *replica.Core) {
			if a.rec.in.op == 0 {
				core.Read(at, replica.Read{Token: token, Partition: p, Key: req.Key, Cut: cutOf(token)})
				return
			}
			core.Propose(at, req)
		})
	})
}

func (a *attempt) request(token uint64, p ring.PartitionID) replica.Request {
	in := &a.rec.in
	r := replica.Request{Token: token, Partition: p, ID: a.id, Mark: a.mark, Op: in.op, Cond: in.cond, Version: in.version,
		Key: userKey(in.key), Value: []byte(in.value), Delta: in.delta, Expiry: in.expiry, TTL: in.ttl, KeepExpiry: in.keep}
	if in.token != 0 {
		r.Fence = replica.Fence{Lock: lockName, Token: in.token}
	}
	in.batch(&r)
	in.fillStep(&r)
	return r
}

func userKey(key string) replica.Key {
	return replica.MakeKey(ring.SlotOf(key), replica.SpaceUser, key)
}

// recordKey is where the record of a request id lies.
func (w *world) recordKey(p ring.PartitionID, id replica.RequestID) replica.Key {
	first, _ := ring.SlotRange(p, w.partitions)
	return replica.MakeKey(first, replica.SpaceSystem, string(binary.BigEndian.AppendUint64(slices.Clone(id.Client[:]), id.Number)))
}

func (w *world) partitionOf(key string) ring.PartitionID {
	return ring.PartitionOf(ring.SlotOf(key), w.partitions)
}

func (s *server) answer(_ *lane, a replica.Answer) {
	if fn := s.asks[a.Token]; fn != nil {
		delete(s.asks, a.Token)
		fn(a)
	}
}

// note makes an answer the outcome of an operation.
func (r *record) note(a *replica.Answer, at time.Duration) {
	r.out = output{status: a.Status, value: string(a.Value), ver: a.Version, number: a.Number, expiry: a.Expiry}
	r.done = at
}

// cameTo is what an answer makes of a try.
func cameTo(s replica.Status) outcome.Try {
	switch {
	case recorded(s):
		return outcome.Answered
	case s == replica.StatusUnknown:
		return outcome.Unsure
	case s == replica.StatusCorrupt, s == replica.StatusExpiredID, s == replica.StatusBadOutcome, s == statusLockedOut:
		return outcome.Refused
	case s == statusAtLimit:
		return outcome.AtLimit
	}
	return outcome.Declined
}

// answered takes the answer to a try; those of earlier operations are late.
func (c *client) answered(number, try uint64, a replica.Answer) {
	invariant.Check(a.Status != replica.StatusBadOutcome, "H31", "an evaluation came to what it may not")
	if number != c.number || c.op.done != never || c.op.refused {
		return
	}
	c.w.count("answer " + statusName(a.Status))
	invariant.Check(a.Status != replica.StatusCorrupt || c.w.flips, "answer", "key %s is corrupt: %+v", c.op.in.key, a)
	switch c.known.Next(cameTo(a.Status)) {
	case outcome.Answer:
		c.op.note(&a, c.w.now)
		if c.walker == nil {
			c.shown(&a)
		}
	case outcome.Refuse:
		c.refused()
		return
	case outcome.Unknown:
		c.w.count("refused after a try that was not answered")
		c.tries++
		if c.final && c.walker == nil {
			c.finals = slices.Insert(c.finals, 0, c.op.in.key)
		}
		c.giveUp()
		return
	case outcome.Retry:
		if try == c.tries {
			c.tries++
			tries := c.tries
			c.w.after(c.w.between(5*time.Millisecond, 150*time.Millisecond), func() {
				if c.tries == tries { // a late answer may have ended it
					c.try()
				}
			})
		}
		return
	}
	c.lost = false
	c.tries++
	if c.walker != nil {
		c.w.count("steps in the tree")
		c.later(c.op, number, c.attempt(c.op), 0.03)
		c.w.after(c.w.between(time.Millisecond, 20*time.Millisecond), c.next)
		return
	}
	if c.stubborn {
		c.w.after(c.w.between(time.Millisecond, 100*time.Millisecond), c.next)
		return
	}
	c.w.count("operations")
	c.w.done++
	if c.ahead {
		c.again(c.op, number, c.attempt(c.op), time.Second+time.Duration(c.w.rng.Int64N(int64(4*time.Second))))
	}
	c.later(c.op, number, c.attempt(c.op), 0.03)
	c.w.after(c.w.between(time.Millisecond, c.w.thinkMax()), c.next)
}

// refused goes on with an operation that did nothing and will not: its client says so
// for certain, and never sends it again.
func (c *client) refused() {
	c.w.count("refused")
	c.tries++
	c.op.refused = true
	name := requestName{c.id, c.number}
	if c.w.sequenced[name] {
		c.w.violated("outcome", "client %d number %d is told that nothing was done, its entry is in a log", name.client, name.number)
	}
	if c.final && c.walker == nil {
		c.finals = slices.Insert(c.finals, 0, c.op.in.key) // once there is room, or its clock is where another one's was
	}
	c.w.after(c.w.between(time.Millisecond, c.w.thinkMax()), c.next)
}

// doubt is for a request that arrives once more: what a try came to that did nothing
// says nothing of it. It is false when the operation is refused, and its connection
// over: there is no second arrival then.
func (c *client) doubt(rec *record) bool {
	if rec.refused {
		return false
	}
	if rec == c.op {
		c.known.Next(outcome.Silent)
	}
	return true
}

// thinkMax is how long clients wait between operations at most: less when so far
// there were few, for the partitions could not serve.
func (w *world) thinkMax() time.Duration {
	if w.done < int(30*w.now.Seconds()) {
		return 15 * time.Millisecond
	}
	return 120 * time.Millisecond
}

// dup reports a token that a value holds twice: an append done more than once.
func dup(value string) string {
	seen := make(map[string]bool)
	for _, t := range strings.Split(value, ";") {
		if t != "" && seen[t] {
			return t
		}
		seen[t] = true
	}
	return ""
}

// statusName is how the table of a run names an answer.
func statusName(s replica.Status) string {
	names := []string{"?", "ok", "not found", "condition failed", "not an integer", "too large", "fenced", "moved", "unavailable",
		"too few copies", "unknown outcome", "busy", "corrupt", "expired id", "full", "bad outcome"}
	switch {
	case int(s) < len(names):
		return names[s]
	case s == statusAtLimit:
		return "at the limit"
	case s == statusLockedOut:
		return "locked out"
	}
	return fmt.Sprintf("status %d", s)
}
