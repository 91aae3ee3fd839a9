package replica

import (
	"slices"
	"time"
)

// readPhase is where a read is on its way to its answer (rule 4).
type readPhase uint8

const (
	readArrived   readPhase = iota // or what it met did not count: from the beginning
	readQueued                     // until the primary serves, or a write before it was taken up
	readBlocked                    // until the last entry of its key is committed
	readAsking                     // without a lease: until the question under way is answered
	readAsked                      // its question is with the view leader
	readFetching                   // handed out in a Ready, until Served
	readRepairing                  // until the bytes of its key are repaired
	readAnswered
)

var readNext = []phases{
	readArrived:   to(readQueued, readBlocked, readAsking, readFetching, readRepairing, readAnswered),
	readQueued:    to(readBlocked, readAsking, readFetching, readAnswered),
	readBlocked:   to(readBlocked, readQueued, readAsking, readFetching, readAnswered),
	readAsking:    to(readAsked, readQueued),
	readAsked:     to(readFetching, readQueued, readAnswered),
	readFetching:  to(readArrived, readAnswered),
	readRepairing: to(readQueued, readBlocked, readAsking, readFetching, readAnswered),
	readAnswered:  0,
}

func (p readPhase) String() string {
	return [...]string{"arrived", "queued", "blocked", "asking", "asked", "fetching", "repairing", "answered"}[p]
}

func (r *Read) become(next readPhase) { move(readNext, &r.phase, next) }

// answerRead answers a read: once, for no phase follows.
func (c *Core) answerRead(r *Read, a Answer) {
	r.become(readAnswered)
	a.Token = r.Token
	c.answer(a)
}

// refuse answers a request that waited in vain.
func (c *Core) refuse(q *queued, s Status) {
	if q.read != nil {
		c.answerRead(q.read, Answer{Status: s})
		return
	}
	c.answer(Answer{Token: q.write.Token, Status: s})
}

// requeue makes a request that waited for something else wait for its partition.
func (q *queued) requeue() {
	if q.read != nil && q.read.phase != readQueued {
		q.read.become(readQueued)
	}
}

// reader has the reads that wait at a primary, for one term. A read that is handed out is
// not here: it comes back through Served.
type reader struct {
	core *Core
	part *part
	lead *primary

	blocked  map[Key][]Read // by key. Invariant: each waits for a commit of its after, which is above the present one
	question []Read         // asked of the view leader (rule 4)
	asks     []Read         // arrived after the question was sent. Invariant: none without a question

	confirmToken uint64        // of the question under way, or the last one
	askedConfirm time.Duration // when it was sent
}

// Read accepts a client's read. It comes out of a Ready once the key may be read,
// and is answered through Served.
func (c *Core) Read(at Instant, r Read) {
	c.enter(at)
	p := c.part(r.Partition)
	if p == nil || p.lead == nil {
		c.answerRead(&r, Answer{Status: c.notServing(p)})
		return
	}
	if !p.lead.serves() || p.lead.queues(r.Key) {
		p.lead.enqueue(queued{since: at.Mono, read: &r})
		return
	}
	p.lead.reads.start(r)
}

// queues reports whether a write of a key waits for room: a read that comes after it
// must not overtake it, for one client may have sent both without waiting.
func (l *primary) queues(key Key) bool {
	for i := range l.queue {
		if w := l.queue[i].write; w != nil && w.touches(key) {
			return true
		}
	}
	return false
}

// touches reports whether a request may write a key.
func (r *Request) touches(key Key) bool {
	return r.Key == key || slices.Contains(r.Keys, key) || slices.ContainsFunc(r.Writes, func(w KeyWrite) bool { return w.Key == key })
}

// start lets a read go on once nothing uncommitted lies on its key and the
// partition may answer (rule 4).
func (rd *reader) start(r Read) {
	l := rd.lead
	if l.phase == mute {
		rd.core.answerRead(&r, Answer{Status: StatusUnavailable})
		return
	}
	r.Confirmed, r.since = false, rd.core.now.Mono
	if seq, uncommitted := l.pending[r.Key]; uncommitted {
		r.become(readBlocked)
		r.after = seq
		rd.blocked[r.Key] = append(rd.blocked[r.Key], r)
		return
	}
	r.Term = rd.part.term
	if l.leased() {
		r.become(readFetching)
		rd.core.out.Reads = grow(rd.core.out.Reads, rd.core.sizes.reads, r)
		return
	}
	r.become(readAsking)
	rd.asks = append(rd.asks, r)
	if len(rd.question) == 0 {
		rd.askConfirm()
	}
}

// readCommitted answers a read with what an entry wrote, in the moment in which
// the entry is committed.
func (rd *reader) readCommitted(r *Read) {
	if !rd.lead.leased() {
		rd.start(*r)
		return
	}
	if r.Item == nil {
		rd.core.answerRead(r, Answer{Status: StatusNotFound})
		return
	}
	it, _, err := header(r.Item)
	rd.core.fail("read entry", err)
	if rd.core.expired(&it) {
		rd.start(*r)
		return
	}
	pc := Piece{Item: it}
	pc.cut(r.Cut)
	rd.core.answerRead(r, pc.answer())
}

// leased reports whether this primary may answer reads by itself (rule 3): it
// has enough copies, and every other acting or proposed replica promised to
// help nobody else, while knowing this term.
func (l *primary) leased() bool {
	if !l.part.enoughCopies() {
		return false
	}
	for _, f := range l.followers {
		if !f.joint() {
			continue
		}
		q := l.core.peer(f.id)
		known := l.part.term <= q.promise.Epoch && q.promise.Epoch <= l.core.view.Epoch
		if !known || l.core.now.Mono >= q.promise.Until {
			return false
		}
	}
	return true
}

// askConfirm asks the view leader whether the term still stands, for all reads
// that arrived before now.
func (rd *reader) askConfirm() {
	rd.question, rd.asks = rd.asks, nil
	for i := range rd.question {
		rd.question[i].become(readAsked)
	}
	rd.askedConfirm = rd.core.now.Mono
	rd.core.confirmToken++
	rd.core.confirms[rd.core.confirmToken] = rd.part
	rd.confirmToken = rd.core.confirmToken
	rd.core.out.ToLeader = append(rd.core.out.ToLeader, LeaderRequest{Kind: AskConfirm, Partition: rd.part.id, Term: rd.part.term, Token: rd.core.confirmToken})
}

// Confirmed accepts the answer to AskConfirm; ok is false when the view leader
// could not be asked.
func (c *Core) Confirmed(at Instant, token uint64, ok bool) {
	c.enter(at)
	p := c.confirms[token]
	delete(c.confirms, token)
	if p == nil || p.lead == nil || p.lead.reads.confirmToken != token {
		return
	}
	p.lead.reads.confirmed(ok)
}

// confirmed lets the reads of the question under way go on, and asks the next one.
func (rd *reader) confirmed(ok bool) {
	asked := rd.question
	rd.question = nil
	for i := range asked {
		r := &asked[i]
		if !ok {
			rd.core.answerRead(r, Answer{Status: StatusUnavailable})
			continue
		}
		r.become(readFetching)
		r.Confirmed = true
		rd.core.out.Reads = append(rd.core.out.Reads, *r)
	}
	if len(rd.asks) > 0 {
		rd.askConfirm()
	}
}

// release removes, and returns, the reads that wait for no later entry of their key than seq. Others
// came after that one, maybe from a client whose own write it is.
func (rd *reader) release(key Key, seq uint64, item []byte) (readers []Read) {
	waiting := rd.blocked[key]
	kept := waiting[:0]
	for _, r := range waiting {
		if r.after > seq {
			kept = append(kept, r)
			continue
		}
		r.Item = item
		readers = append(readers, r)
	}
	if len(kept) == 0 {
		delete(rd.blocked, key)
	} else {
		rd.blocked[key] = kept
	}
	return readers
}

// expire answers the reads that wait for a commit which does not come.
func (rd *reader) expire() {
	if len(rd.blocked) == 0 {
		return
	}
	for _, key := range sortedKeys(rd.blocked) {
		kept := rd.blocked[key][:0]
		for _, r := range rd.blocked[key] {
			if rd.core.now.Mono-r.since > queueTTL {
				rd.core.answerRead(&r, Answer{Status: StatusUnavailable})
				continue
			}
			kept = append(kept, r)
		}
		if len(kept) == 0 {
			delete(rd.blocked, key)
		} else {
			rd.blocked[key] = kept
		}
	}
}

// drop ends all waiting, and returns what waited.
func (rd *reader) drop() (waited []queued) {
	for _, r := range slices.Concat(rd.question, rd.asks) {
		waited = append(waited, queued{since: rd.core.now.Mono, read: &r})
	}
	for _, key := range sortedKeys(rd.blocked) {
		for _, r := range rd.blocked[key] {
			waited = append(waited, queued{since: rd.core.now.Mono, read: &r})
		}
	}
	rd.question, rd.asks, rd.blocked = nil, nil, nil
	return waited
}

// Served accepts reads back with what the store had. at must be later than the
// fetching: the term, the lease and the key are looked at again, and what does
// not hold any more is read once more.
func (c *Core) Served(at Instant, rs []Read) {
	c.enter(at)
	for i := range rs {
		r := &rs[i]
		p := c.part(r.Partition)
		if p == nil || p.lead == nil {
			c.answerRead(r, Answer{Status: StatusMoved})
			continue
		}
		p.lead.reads.served(r)
	}
}

// served looks again at a read that the caller has fetched.
func (rd *reader) served(r *Read) {
	l := rd.lead
	again := r.Term != rd.part.term || !l.serves()
	if !again && !r.Confirmed {
		again = !l.leased()
	}
	pc, err := r.found()
	// What was read may be an entry that is not committed yet: the write came
	// after the read was handed out.
	_, uncommitted := l.pending[r.Key]
	if uncommitted || pc.Version.Seq > rd.part.commit {
		again = true
	}
	switch {
	case again:
		fresh := r.again()
		if !l.serves() {
			l.enqueue(queued{since: rd.core.now.Mono, read: &fresh})
			return
		}
		rd.start(fresh)
	case err != nil:
		fresh := r.again()
		rd.part.repairer.await(r.Key, queued{since: rd.core.now.Mono, read: &fresh})
	case !pc.Version.IsZero() && rd.core.expired(&pc.Item):
		rd.readExpired(r)
	default:
		a := pc.answer()
		a.Confirmed = r.Confirmed
		rd.core.answerRead(r, a)
	}
}
