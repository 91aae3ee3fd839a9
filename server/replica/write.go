package replica

import (
	"math"
	"slices"
	"strconv"

	"viewring/internal/invariant"
)

// Propose takes a client's mutation. It is answered once: after it is durable
// on every acting replica, or with the reason why nothing was done, or with
// StatusUnknown.
func (c *Core) Propose(at Instant, r Request) {
	c.enter(at)
	if r.Op == OpBatch {
		r.checkKeys()
	}
	p := c.part(r.Partition)
	if p == nil || p.lead == nil {
		c.answer(Answer{Token: r.Token, Status: c.notServing(p)})
		return
	}
	if !p.enoughCopies() {
		c.answer(Answer{Token: r.Token, Status: StatusTooFewCopies})
		return
	}
	if l := p.lead; !l.serves() || len(l.queue) > 0 || l.flightBytes > c.cfg.Limits.FlightBytes || c.hushed(l) {
		c.enqueue(p, queued{since: at.Mono, write: &r})
		return
	}
	c.execute(p, &r)
}

// notServing says why a partition has no lead here.
func (c *Core) notServing(p *part) Status {
	if p != nil && (p.role == rolePrimary || p.view.Primary() == 0) {
		return StatusUnavailable
	}
	return StatusMoved
}

func (c *Core) enqueue(p *part, q queued) {
	if len(p.lead.queue) >= queueMax {
		c.refuse(&q, StatusBusy)
		return
	}
	q.requeue()
	p.lead.queue = append(p.lead.queue, q)
}

// drainQueue serves what waited for the partition or for room in the window.
func (c *Core) drainQueue(p *part) {
	l := p.lead
	for l.serves() && len(l.queue) > 0 && l.flightBytes <= c.cfg.Limits.FlightBytes && !c.hushed(l) {
		q := l.queue[0]
		l.queue = l.queue[1:]
		c.serve(p, q)
	}
}

// serve takes up a request that waited.
func (c *Core) serve(p *part, q queued) {
	switch {
	case q.read != nil:
		c.startRead(p, *q.read)
	case !p.enoughCopies():
		c.answer(Answer{Token: q.write.Token, Status: StatusTooFewCopies})
	default:
		c.execute(p, q.write)
	}
}

// execute evaluates a request at the head of the log and sequences its outcome.
func (c *Core) execute(p *part, r *Request) {
	switch {
	case !r.ID.IsZero() && c.answeredByID(p, r), c.refuseFull(p, r), c.fenced(p, r):
	case r.Op == OpBatch:
		c.executeBatch(p, r)
	default:
		c.executeOne(p, r)
	}
}

// answeredByID answers a request whose id was seen before, or may have been.
func (c *Core) answeredByID(p *part, r *Request) bool {
	r.Mark = min(r.Mark, r.ID.Number-1) // else its record would be collected as it is made
	switch rs := p.lead.records; {
	case c.repeated(p, r):
	case rs.doubts(r.ID):
		c.answer(Answer{Token: r.Token, Status: StatusUnavailable})
	case rs.refuses(r.ID, c.now.Wall):
		c.answer(Answer{Token: r.Token, Status: StatusExpiredID})
	default:
		return false
	}
	return true
}

// present returns the item at the head of the log, the zero Item for an absent key;
// false when it can't be read, and the request waits for that.
func (c *Core) present(p *part, key Key, r *Request) (Item, bool) {
	stored, err := c.get(p, key)
	var it Item
	if err == nil && stored != nil {
		it, err = DecodeItem(key, stored)
	}
	if err != nil {
		c.awaitMend(p, key, queued{since: c.now.Mono, write: r})
	}
	return it, err == nil
}

// executeOne is execute for an operation on one key.
func (c *Core) executeOne(p *part, r *Request) {
	old, ok := c.present(p, r.Key, r)
	if !ok {
		return
	}
	old = c.live(p, r.Key, old)
	if r.TTL != 0 {
		r.Expiry = c.deadline(r.TTL)
	}
	version := Version{Term: p.term, Seq: p.log.last.Seq + 1}
	out := evaluate(r, old, version, c.cfg.ValueBytesMax)
	if out.answer.Status == StatusTooLarge && r.Op == OpSet { // whatever is there, it is
		out.answer.Token = r.Token
		c.answer(out.answer)
		return
	}
	var writes []Write
	if out.changes {
		w := Write{Key: r.Key, Before: old.Version, Shrinks: uint64(len(old.Value))}
		if !out.deletes {
			w.Item = AppendItem(make([]byte, 0, len(out.value)+40), r.Key, Item{Version: version, Kind: KindValue, Expiry: out.expiry, Value: out.value})
		}
		writes = append(writes, w)
	}
	c.conclude(p, r, writes, out.answer, version)
}

// conclude sequences what a request comes to, with the record of its id (I7).
func (c *Core) conclude(p *part, r *Request, writes []Write, a Answer, version Version) {
	a.Token = r.Token
	if !r.Fence.IsZero() && a.Status != StatusFenced {
		writes = append(writes, c.noteToken(p, r.Fence, version)...)
	}
	if rs := p.lead.records; !r.ID.IsZero() {
		writes = append(writes, rs.add(r, a, version, c.now.Mono))
		writes = append(writes, rs.collect(r.ID.Client, r.Mark)...)
	}
	c.sequence(p, writes, &a)
}

// repeated answers a request whose id has a record already, now or together
// with the first try.
func (c *Core) repeated(p *part, r *Request) bool {
	rec := p.lead.records.find(r.ID)
	if rec == nil {
		return false
	}
	a := rec.answer
	a.Token = r.Token
	if rec.version.Seq <= p.commit {
		c.answer(a)
		return true
	}
	l := p.lead
	i := len(l.waiting)
	for i > 0 && l.waiting[i-1].seq > rec.version.Seq {
		i--
	}
	l.waiting = slices.Insert(l.waiting, i, waitingWrite{seq: rec.version.Seq, since: c.now.Mono, answer: a})
	return true
}

// outcome is what a request comes to.
type outcome struct {
	answer  Answer
	changes bool // the key is written
	deletes bool
	value   []byte
	expiry  int64
}

// evaluate decides a request on one key against its present state; a zero
// old.Version means absent.
func evaluate(r *Request, old Item, version Version, valueBytesMax int) outcome {
	present := !old.Version.IsZero()
	switch {
	case r.Cond == CondAbsent && present,
		r.Cond == CondPresent && !present,
		r.Cond == CondVersion && old.Version != r.Version:
		return outcome{answer: Answer{Status: StatusCondFailed, Version: old.Version}}
	}
	ok := Answer{Status: StatusOK, Version: version}
	switch r.Op {
	case OpSet:
		if len(r.Value) > valueBytesMax {
			return outcome{answer: Answer{Status: StatusTooLarge}}
		}
		expiry := r.Expiry
		if r.KeepExpiry {
			expiry = old.Expiry
		}
		return outcome{answer: ok, changes: true, value: r.Value, expiry: expiry}
	case OpDelete:
		if !present {
			return outcome{answer: Answer{Status: StatusNotFound}}
		}
		return outcome{answer: ok, changes: true, deletes: true}
	case OpAppend:
		if len(old.Value)+len(r.Value) > valueBytesMax {
			return outcome{answer: Answer{Status: StatusTooLarge}}
		}
		ok.Number = int64(len(old.Value) + len(r.Value))
		return outcome{answer: ok, changes: true, value: slices.Concat(old.Value, r.Value), expiry: old.Expiry}
	case OpIncr:
		n := int64(0)
		if present {
			var ok bool
			if n, ok = decimal(old.Value); !ok {
				return outcome{answer: Answer{Status: StatusNotInteger, Version: old.Version}}
			}
		}
		if r.Delta > 0 && n > math.MaxInt64-r.Delta || r.Delta < 0 && n < math.MinInt64-r.Delta {
			return outcome{answer: Answer{Status: StatusNotInteger, Version: old.Version, Number: 1}}
		}
		ok.Number = n + r.Delta
		return outcome{answer: ok, changes: true, value: strconv.AppendInt(nil, ok.Number, 10), expiry: old.Expiry}
	case OpExpire:
		switch {
		case !present:
			return outcome{answer: Answer{Status: StatusNotFound}}
		case r.Expiry == 0 && old.Expiry == 0:
			return outcome{answer: Answer{Status: StatusOK, Version: old.Version}}
		}
		ok.Number = 1
		return outcome{answer: ok, changes: true, value: old.Value, expiry: r.Expiry}
	}
	invariant.Check(false, "op", "unknown operation %d", r.Op)
	return outcome{}
}

// decimal reads an integer written as OpIncr writes it: no sign +, no zeros in front.
func decimal(b []byte) (n int64, ok bool) {
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil && strconv.FormatInt(n, 10) == string(b)
}
