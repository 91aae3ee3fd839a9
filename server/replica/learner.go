package replica

import (
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

type learnPhase uint8

const (
	subscribing learnPhase = iota // waiting for Subscribed
	staging                       // live entries come, pages are fetched: into memory, beside a whole copy
	copying                       // the same, into an unfinished copy
	swapping                      // the batch that makes the copy whole is under way
	following                     // whole: entries are taken as a backup takes them
	announced                     // the primary has been told so
	learnOver                     // it acts, or is not wanted any more
)

var learnNext = []phases{
	subscribing: to(subscribing, staging, copying, swapping, learnOver),
	staging:     to(subscribing, swapping, learnOver),
	copying:     to(subscribing, swapping, learnOver),
	swapping:    to(subscribing, following, learnOver),
	following:   to(subscribing, announced, learnOver),
	announced:   to(subscribing, learnOver),
	learnOver:   0,
}

func (p learnPhase) String() string {
	return [...]string{"subscribing", "staging", "copying", "swapping", "following", "announced", "over"}[p]
}

func (l *learn) become(next learnPhase) { move(learnNext, &l.phase, next) }

// copies reports whether the copy still lacks something, which is being fetched.
func (l *learn) copies() bool { return l.phase == staging || l.phase == copying }

// whole reports whether the copy is whole, durably.
func (l *learn) whole() bool { return l.phase == following || l.phase == announced }

// reset makes l forget everything but its phase and its source.
func (l *learn) reset(fresh learn) {
	fresh.phase, fresh.source = l.phase, l.source
	*l = fresh
}

// learn is what a learner keeps until it acts (rule 5; LEARNER.md).
type learn struct {
	phase     learnPhase
	source    ring.ServerID // a ring neighbour to copy from; the primary if it fails
	startOver bool          // what is here can't be built upon: copy everything
	blind     bool          // the delta replaces what we cannot read: the digest is the primary's word

	// Copying: log is the partition's own. Staging: log is stagedLog, and rows,
	// stage and cut say what the final batch does.
	log       *logState
	stagedLog logState
	stage     map[Key][]byte
	rows      []Row
	cut       uint64
	bytes     int // staged, rows included

	since      uint64 // S: pages from before it are of no use
	missing    map[Key]uint64
	wanted     []Key // missing keys in the order to be fetched; may list settled ones
	tombs      map[Key]Version
	cursor     Key
	cursorDone bool
	taken      uint64 // greatest q of a page taken
	loose      uint64 // greatest q that its source did not know to be committed
	headDigest uint64 // the primary's, at headSeq
	headSeq    uint64

	sub      uint64 // number of the subscription; unique over restarts
	nonce    uint64 // of the Fetch under way, 0 = none
	asked    *Message
	askedAt  time.Duration
	patience time.Duration // until it is sent again
	ackedAt  time.Duration
	failures int // fetches without an answer from source
}

// Learn makes this server follow a partition that it is a target of, copying
// from source, a ring neighbour. Called again, it changes the source. It begins
// only while the view has this start up: what may have begun to learn is not
// restored, and the view leader tells that by who was up.
func (c *Core) Learn(at Instant, id ring.PartitionID, source ring.ServerID) {
	c.enter(at)
	p := c.part(id)
	me := c.selfInView()
	if c.full || p == nil || p.role != roleLearner || me == nil || !me.Up || me.Incarnation != c.cfg.Incarnation {
		return
	}
	if p.learn != nil {
		p.learn.source = source
		return
	}
	p.learn = &learn{source: source, startOver: c.worthless(p)}
	c.subscribe(p)
}

func (c *Core) selfInView() *ring.Member {
	if c.view == nil {
		return nil
	}
	return c.view.Member(c.cfg.Self)
}

// subscribe asks the primary for live entries, telling it where our log ends.
func (c *Core) subscribe(p *part) {
	l := p.learn
	l.become(subscribing)
	l.nonce, l.askedAt = 0, c.now.Mono
	l.sub = c.nextNonce()
	m := &Message{Type: MsgSubscribe, Sub: l.sub, Floor: p.floor}
	if !l.startOver {
		m.Flags, m.Last, m.History = flagBase, p.log.last, p.log.history
		if p.state == whole {
			m.Flags |= flagReady
		}
	}
	if primary := p.view.Primary(); primary != 0 {
		c.send(p, primary, m)
	}
}

// stopLearning ends or restarts learning when the view changed. again: we are
// still a target, in a new term.
func (c *Core) stopLearning(p *part, again bool) {
	if !again {
		p.learn.become(learnOver)
		p.learn = nil
		return
	}
	if p.learn.phase != copying {
		p.learn.reset(learn{startOver: c.worthless(p)})
	}
	c.resubscribeAt(p)
}

// resubscribeAt makes the next tick subscribe: the view is being adopted, and
// the primary may not have settled.
func (c *Core) resubscribeAt(p *part) {
	p.learn.become(subscribing)
	p.learn.nonce = 0
	p.learn.askedAt = c.now.Mono - learnRetryAfter
}

func (c *Core) onSubscribed(p *part, from ring.ServerID, m *Message) {
	l := p.learn
	if l == nil || l.phase != subscribing || m.Sub != l.sub || from != p.view.Primary() {
		return
	}
	switch full := m.Flags&flagFull != 0; {
	case full && p.damage != unfit && c.mustKeep(p):
		// Our copy may be the one that the partition is restored from.
		l.startOver = false
		return
	case m.Flags&flagBase != 0:
		invariant.Check(p.state == whole, "I4", "partition %d term %d: an unfinished copy is to act as it is", p.id, p.term)
		c.swap(p)
		return
	case full:
		c.beginFull(p, m)
	case p.state == learning && m.Floor < l.loose:
		l.startOver = true
		c.subscribe(p)
		return
	default:
		if !c.beginDelta(p, m) {
			return
		}
	}
	l.since = m.Seq
	l.headSeq, l.headDigest = m.Last.Seq, m.Digest
	if c.stageFull(p) {
		return
	}
	c.fetch(p)
	c.checkReady(p)
}

// beginFull empties the partition, in one batch with marking it unfinished.
func (c *Core) beginFull(p *part, m *Message) {
	c.wipe(p)
	p.become(learning)
	p.log = logState{last: m.Last, history: m.History}
	p.floor = m.Floor
	for _, row := range m.Rows {
		c.putRow(p, row)
	}
	p.learn.reset(learn{sub: m.Sub, missing: make(map[Key]uint64), tombs: make(map[Key]Version), log: &p.log,
		cursorDone: m.Flags&flagDone != 0})
	p.learn.become(copying)
	c.touch(p)
	c.moved.full++
}

// beginDelta makes a list of the keys that differ: those changed there since
// the common point, and those changed here.
func (c *Core) beginDelta(p *part, m *Message) bool {
	l, common := p.learn, m.Floor
	var suspects []Key
	err := c.rows(p, common, p.log.last.Seq, func(row Row) bool {
		suspects = append(suspects, row.Keys...)
		return true
	})
	if err != nil {
		c.startAgain(p, unfit, "read own index", err)
		return false
	}
	if p.state == whole {
		l.reset(learn{sub: m.Sub, missing: make(map[Key]uint64), stage: make(map[Key][]byte),
			rows: m.Rows, bytes: rowsBytes(m.Rows), cut: common, stagedLog: p.log, cursorDone: true})
		l.log = &l.stagedLog
		l.become(staging)
		c.moved.delta++
	} else {
		l.become(copying)
		for k := range l.missing {
			l.missing[k] = m.Seq // an older need may name an entry that was dropped
		}
		c.op(StoreOp{Kind: CutIndex, Partition: p.id, Seq: common})
		for _, row := range m.Rows {
			c.putRow(p, row)
		}
		p.durable = min(p.durable, common)
		p.generation++ // as for a staged delta
		c.touch(p)
	}
	l.log.last, l.log.history = m.Last, m.History
	for _, row := range m.Rows {
		c.miss(l, row.Keys, m.Seq)
	}
	c.miss(l, suspects, m.Seq)
	return true
}

// miss puts keys on the missing list: a page settles them from need on.
func (c *Core) miss(l *learn, keys []Key, need uint64) {
	for _, k := range keys {
		if _, ok := l.missing[k]; !ok {
			l.wanted = append(l.wanted, k)
		}
		l.missing[k] = max(l.missing[k], need)
	}
}

// learnerAppend takes live entries.
func (c *Core) learnerAppend(p *part, m *Message) {
	l := p.learn
	if l == nil || l.phase == subscribing {
		return
	}
	if m.Flags&flagGap != 0 {
		if m.Sub == l.sub {
			c.stopLearning(p, true)
		}
		return
	}
	if !l.copies() {
		c.followLog(p, m)
		return
	}
	if m.Prev.Seq > l.log.last.Seq {
		c.keepAlive(p, flagGap)
		return
	}
	for _, e := range m.Entries {
		if e.Version.Seq == l.log.last.Seq+1 && !c.applyLive(p, e) {
			return
		}
	}
	if l.log.last == m.Last {
		l.headSeq, l.headDigest = m.Last.Seq, m.Digest
	}
	if c.stageFull(p) {
		return
	}
	if l.phase == copying {
		c.learnCommit(p, m.Commit) // of the log that is being built, not of the one to be replaced
	}
	c.fetch(p)
	c.checkReady(p)
}

// applyLive applies what of a live entry fits, key by key.
func (c *Core) applyLive(p *part, e *Entry) bool {
	l := p.learn
	for i := range e.Writes {
		w := &e.Writes[i]
		if _, ok := l.missing[w.Key]; ok {
			l.missing[w.Key] = e.Version.Seq
			continue
		}
		stored, err := c.learned(p, w.Key)
		var v Version
		if err == nil {
			v, err = versionOf(stored)
		}
		if err != nil {
			c.startAgain(p, damaged, "read copy", err)
			return false
		}
		switch {
		case v.Compare(e.Version) >= 0:
		case v == w.Before:
			c.take(p, w.Key, stored, w.Item)
			if w.Item == nil && !l.cursorDone {
				l.tombs[w.Key] = e.Version
			}
		default:
			c.miss(l, []Key{w.Key}, e.Version.Seq)
		}
	}
	l.log.advance(e.Version)
	if l.phase == staging {
		row := e.row()
		l.rows = append(l.rows, row)
		l.bytes += rowsBytes([]Row{row})
		return true
	}
	c.putEntryRow(p, e)
	c.touch(p)
	return true
}

// startAgain copies everything anew when our own copy cannot be read: its digest
// can't be kept. Other errors end the core.
func (c *Core) startAgain(p *part, d damage, op string, err error) {
	if !isCorrupt(err) {
		c.fail(op, err)
		return
	}
	c.mending.found++
	p.becomeDamaged(d)
	p.learn.startOver = c.worthless(p)
	c.resubscribeAt(p)
}

// learned returns the copy's present item at key.
func (c *Core) learned(p *part, key Key) ([]byte, error) {
	if p.learn.phase == staging {
		if item, ok := p.learn.stage[key]; ok {
			return item, nil
		}
	}
	return c.get(p, key)
}

// take makes item the copy's state of key.
func (c *Core) take(p *part, key Key, old, item []byte) {
	l := p.learn
	c.accountItems(l.log, key, old, item)
	if l.phase == staging {
		l.stage[key] = slices.Clone(item) // it may be a small part of a large frame
		l.bytes += len(key) + len(item)
		return
	}
	known := KnownPresent
	if old == nil {
		known = KnownAbsent
	}
	c.put(p, key, item, known)
	c.touch(p)
}

// stageFull goes on in place with a staged delta that has outgrown its bound: the copy
// is no longer whole, and worth nothing after a restart.
func (c *Core) stageFull(p *part) bool {
	l := p.learn
	if l.phase != staging || l.bytes <= c.cfg.Limits.StageBytes || c.mustKeep(p) {
		return false
	}
	p.become(learning)
	l.reset(learn{missing: make(map[Key]uint64), tombs: make(map[Key]Version), log: &p.log, cursorDone: true})
	c.touch(p)
	c.subscribe(p)
	return true
}

// rowsBytes is about what rows take in memory.
func rowsBytes(rows []Row) (n int) {
	for _, row := range rows {
		n += 40
		for _, k := range row.Keys {
			n += 16 + len(k)
		}
	}
	return n
}

// checkReady makes the copy whole, in one batch, once nothing is missing and
// its digest is the primary's at the same seq.
func (c *Core) checkReady(p *part) {
	l := p.learn
	if !l.copies() || !l.cursorDone || len(l.missing) > 0 ||
		l.log.last.Seq < l.taken || l.headSeq != l.log.last.Seq {
		return
	}
	if l.blind {
		l.log.digest = l.headDigest
	}
	if l.headDigest != l.log.digest {
		c.moved.mismatches++
		l.startOver = true
		c.subscribe(p)
		return
	}
	if l.phase == staging {
		c.op(StoreOp{Kind: CutIndex, Partition: p.id, Seq: l.cut})
		for _, row := range l.rows {
			c.putRow(p, row)
		}
		for _, k := range sortedKeys(l.stage) {
			c.put(p, k, l.stage[k], NotKnown)
		}
		p.log = l.stagedLog
		p.commit, p.durable = min(p.commit, l.cut), min(p.durable, l.cut)
	}
	p.become(whole)
	c.swap(p)
}

// swap makes the batch being filled the one after whose sync the copy is ready.
func (c *Core) swap(p *part) {
	l := p.learn
	p.generation++ // the next mark is that of this batch: entries may keep coming, and quiet never come
	l.become(swapping)
	l.stage, l.rows, l.tombs = nil, nil, nil
	c.touch(p)
}

// learnerDurable acknowledges: a copy is ready once its being whole is durable.
// Marks from before the swap do not come here.
func (c *Core) learnerDurable(p *part) {
	l := p.learn
	if l.phase == swapping {
		l.become(following)
	}
	if l.whole() {
		c.sendAck(p, 0)
	}
}

// keepAlive tells the primary how far the live entries have come.
func (c *Core) keepAlive(p *part, flags uint8) {
	l := p.learn
	if flags != 0 && c.now.Mono-l.ackedAt < resendAfter/4 {
		return
	}
	l.ackedAt = c.now.Mono
	c.send(p, p.view.Primary(), &Message{Type: MsgAck, Flags: flags, Sub: l.sub, Seq: l.log.last.Seq})
}

// tickLearner repeats what got no answer.
func (c *Core) tickLearner(p *part) {
	l := p.learn
	waited := c.now.Mono - l.askedAt
	switch l.phase {
	case subscribing:
		if waited >= learnRetryAfter {
			c.subscribe(p)
		}
	case staging, copying:
		switch {
		case l.nonce != 0 && waited >= l.patience:
			l.failures++
			l.patience = min(2*l.patience, learnRetryMax)
			c.sendFetch(p)
		case l.nonce == 0 && waited >= learnRetryAfter && (len(l.missing) > 0 || !l.cursorDone):
			l.failures++
			c.fetch(p)
		}
		if c.now.Mono-l.ackedAt >= learnerKeepAlive {
			c.keepAlive(p, 0)
		}
	case following, announced:
		first := c.mayBeReady(p) && l.phase == following
		if (first || c.now.Mono-l.ackedAt >= learnerKeepAlive) && p.quiet() {
			l.ackedAt = c.now.Mono
			c.sendAck(p, 0)
		}
	}
}
