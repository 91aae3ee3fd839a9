package replica

import (
	"math"
	"slices"
	"strconv"

	"viewring/internal/invariant"
)

// Propose accepts a client's mutation. It is answered once: after it is durable
// on every acting replica, or with the reason why nothing was done, or with
// StatusUnknown.
func (c *Core) Propose(at Instant, r Request) {
	c.enter(at)
	switch r.Op {
	case OpBatch:
		r.checkKeys()
	case OpEvaluate:
		r.checkEvaluation(r.Keys)
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
	if l := p.lead; !l.serves() || len(l.queue) > 0 || l.flightBytes > c.cfg.Limits.FlightBytes || l.quiesced() {
		p.lead.enqueue(queued{since: at.Mono, write: &r})
		return
	}
	p.lead.execute(&r)
}

// notServing says why a partition has no lead here.
func (c *Core) notServing(p *part) Status {
	if p != nil && (p.role == rolePrimary || p.view.Primary() == 0) {
		return StatusUnavailable
	}
	return StatusMoved
}

func (l *primary) enqueue(q queued) {
	if len(l.queue) >= queueMax {
		l.core.refuse(&q, StatusBusy)
		return
	}
	q.requeue()
	l.queue = append(l.queue, q)
}

// drainQueue serves what waited for the partition or for room in the window.
func (l *primary) drainQueue() {
	for l.serves() && len(l.queue) > 0 && l.flightBytes <= l.core.cfg.Limits.FlightBytes && !l.quiesced() {
		q := l.queue[0]
		l.queue = l.queue[1:]
		l.serve(q)
	}
}

// serve executes a request that waited.
func (l *primary) serve(q queued) {
	switch {
	case q.read != nil:
		l.reads.start(*q.read)
	case !l.part.enoughCopies():
		l.core.answer(Answer{Token: q.write.Token, Status: StatusTooFewCopies})
	default:
		l.execute(q.write)
	}
}

// execute evaluates a request at the head of the log and sequences its outcome.
func (l *primary) execute(r *Request) {
	switch {
	case !r.ID.IsZero() && l.answeredByID(r), l.refuseFull(r), l.fenced(r):
	case r.Op == OpBatch:
		l.executeBatch(r)
	case r.Op == OpEvaluate:
		l.executeEvaluation(r)
	default:
		l.executeOne(r)
	}
}

// answeredByID answers a request whose id was seen before, or may have been.
func (l *primary) answeredByID(r *Request) bool {
	r.Mark = min(r.Mark, r.ID.Number-1) // else its record would be collected as it is made
	switch rs := l.records; {
	case l.repeated(r):
	case rs.doubts(r.ID):
		l.core.answer(Answer{Token: r.Token, Status: StatusUnavailable})
	case rs.refuses(r.ID, l.core.now.Wall):
		l.core.answer(Answer{Token: r.Token, Status: StatusExpiredID})
	default:
		return false
	}
	return true
}

// present returns the item at the head of the log, the zero Item for an absent key;
// false when it can't be read, and the request waits for that.
func (l *primary) present(key Key, r *Request) (Item, bool) {
	stored, err := l.part.get(key)
	var it Item
	if err == nil && stored != nil {
		it, err = DecodeItem(key, stored)
	}
	if err != nil {
		l.part.repairer.await(key, queued{since: l.core.now.Mono, write: r})
	}
	return it, err == nil
}

// executeOne is execute for an operation on one key.
func (l *primary) executeOne(r *Request) {
	old, ok := l.present(r.Key, r)
	if !ok {
		return
	}
	old = l.live(r.Key, old)
	if r.TTL != 0 {
		r.Expiry = l.core.deadline(r.TTL)
	}
	version := Version{Term: l.part.term, Seq: l.part.log.last.Seq + 1}
	out := evaluate(r, old, version, l.core.cfg.ValueBytesMax)
	if out.answer.Status == StatusTooLarge && r.Op == OpSet { // whatever is there, it is
		out.answer.Token = r.Token
		l.core.answer(out.answer)
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
	l.conclude(r, writes, out.answer, version)
}

// conclude sequences what a request comes to, with the record of its id (I7).
func (l *primary) conclude(r *Request, writes []Write, a Answer, version Version) {
	a.Token = r.Token
	if !r.Fence.IsZero() && a.Status != StatusFenced {
		writes = append(writes, l.noteToken(r.Fence, version)...)
	}
	if rs := l.records; !r.ID.IsZero() {
		writes = append(writes, rs.add(r, a, version, l.core.now.Mono))
		writes = append(writes, rs.collect(r.ID.Client, r.Mark)...)
	}
	l.sequence(writes, &a)
}

// repeated answers a request whose id has a record already, now or together
// with the first try.
func (l *primary) repeated(r *Request) bool {
	rec := l.records.find(r.ID)
	if rec == nil {
		return false
	}
	a := rec.answer
	a.Token = r.Token
	if rec.version.Seq <= l.part.commit {
		l.core.answer(a)
		return true
	}
	l.part.await(waitingWrite{seq: rec.version.Seq, since: l.core.now.Mono, answer: a})
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
