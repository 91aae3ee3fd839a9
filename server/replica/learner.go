package replica

import (
	"slices"
	"time"

	"viewring/internal/invariant"
	"viewring/ring"
)

type learnerPhase uint8

const (
	subscribing learnerPhase = iota // waiting for Subscribed
	staging                         // live entries come, pages are fetched: into memory, beside a whole copy
	copying                         // the same, into an unfinished copy
	swapping                        // the batch that makes the copy whole is under way
	following                       // whole: entries are taken as a backup takes them
	announced                       // the primary has been told so
	learnerOver                     // it acts, or is not wanted any more
)

var learnerNext = []phases{
	subscribing: to(subscribing, staging, copying, swapping, learnerOver),
	staging:     to(subscribing, swapping, learnerOver),
	copying:     to(subscribing, swapping, learnerOver),
	swapping:    to(subscribing, following, learnerOver),
	following:   to(subscribing, announced, learnerOver),
	announced:   to(subscribing, learnerOver),
	learnerOver: 0,
}

func (p learnerPhase) String() string {
	return [...]string{"subscribing", "staging", "copying", "swapping", "following", "announced", "over"}[p]
}

func (l *learner) become(next learnerPhase) { move(learnerNext, &l.phase, next) }

// copies reports whether the copy still lacks something, which is being fetched.
func (l *learner) copies() bool { return l.phase == staging || l.phase == copying }

// whole reports whether the copy is whole, durably.
func (l *learner) whole() bool { return l.phase == following || l.phase == announced }

// restart makes l forget everything but its phase and its source.
func (l *learner) restart(fresh learner) {
	fresh.core, fresh.part, fresh.phase, fresh.source = l.core, l.part, l.phase, l.source
	*l = fresh
}

// learner is what a learner keeps until it acts (rule 5; LEARNER.md). A new subscription
// restarts it; a copy in place keeps what is missing, for the items taken so far are its own.
type learner struct {
	core   *Core
	part   *part
	phase  learnerPhase
	source ring.ServerID // a ring neighbour to copy from; the primary if it fails

	// The subscription.
	sub        uint64 // its number. Invariant: it only grows, over restarts too
	startOver  bool   // the next one asks for a full copy: nothing can be built on ours
	since      uint64 // S: pages from before it are of no use
	headSeq    uint64 // the primary's head as last told …
	headDigest uint64 // … and its digest there
	ackedAt    time.Duration

	// What is being built. Invariant: while copying log is the part's own, which is in
	// place; while staging it is stagedLog, and rows, stage and cut say what the batch does
	// that swaps it in. In the other phases it is not used.
	log           *logState
	stagedLog     logState
	stage         map[Key][]byte
	rows          []Row
	cut           uint64 // the part's own log goes on from here: what it has above is dropped
	bytes         int    // of stage and rows
	digestUnknown bool   // the stage replaces what cannot be read: the digest is the primary's word

	// What is still to come. Invariant: a key is missing until a page of a state at or
	// above its seq has brought it.
	missing       map[Key]uint64
	wanted        []Key           // missing keys in the order to be fetched; may list keys that are not missing any more
	tombs         map[Key]Version // of deletes since S, against older pages. Invariant: none is added once cursorDone
	cursor        Key
	cursorDone    bool
	ahead         aheadOf // in a full copy: what a page along the cursor need not look for
	pagedTo       uint64  // greatest q of a page taken. Invariant: not ready before log has come there
	uncommittedTo uint64  // greatest q that its source did not know to be committed

	// The Fetch under way. Invariant: at most one.
	nonce    uint64 // 0 = none
	asked    *Message
	askedAt  time.Duration // of the Fetch, or while subscribing of the Subscribe
	patience time.Duration // until it is sent again
	failures int           // fetches without an answer from source
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
	p.learn = &learner{core: c, part: p, source: source, startOver: p.worthless()}
	p.learn.subscribe()
}

func (c *Core) selfInView() *ring.Member {
	if c.view == nil {
		return nil
	}
	return c.view.Member(c.cfg.Self)
}

// step handles a message to a learner.
func (l *learner) step(from ring.ServerID, m *Message) {
	switch m.Type {
	case MsgSubscribed:
		l.onSubscribed(from, m)
	case MsgPage:
		l.onPage(m)
	}
}

// subscribe asks the primary for live entries, telling it where our log ends.
func (l *learner) subscribe() {
	l.become(subscribing)
	l.nonce, l.askedAt = 0, l.core.now.Mono
	l.sub = l.core.nextNonce()
	m := &Message{Type: MsgSubscribe, Sub: l.sub, Floor: l.part.floor}
	if !l.startOver {
		m.Flags, m.Last, m.History = flagBase, l.part.log.last, l.part.log.history
		if l.part.state == whole {
			m.Flags |= flagReady
		}
	}
	if primary := l.part.view.Primary(); primary != 0 {
		l.part.send(primary, m)
	}
}

// stopLearning ends or restarts learning when the view changed. again: we are
// still a target, in a new term.
func (l *learner) stopLearning(again bool) {
	if !again {
		l.become(learnerOver)
		l.part.learn = nil
		return
	}
	if l.phase != copying {
		l.restart(learner{startOver: l.part.worthless()})
	}
	l.resubscribeAt()
}

// resubscribeAt makes the next tick subscribe: the view is being adopted, and
// the primary may not have reconciled.
func (l *learner) resubscribeAt() {
	l.become(subscribing)
	l.nonce = 0
	l.askedAt = l.core.now.Mono - learnRetryAfter
}

func (l *learner) onSubscribed(from ring.ServerID, m *Message) {
	if l.phase != subscribing || m.Sub != l.sub || from != l.part.view.Primary() {
		return
	}
	switch full := m.Flags&flagFull != 0; {
	case full && l.part.damage != unfit && l.part.mustKeep():
		// Our copy may be the one that the partition is restored from.
		l.startOver = false
		return
	case m.Flags&flagBase != 0:
		invariant.Check(l.part.state == whole, "I4", "partition %d term %d: an unfinished copy is to act as it is", l.part.id, l.part.term)
		l.swap()
		return
	case full:
		l.beginFull(m)
	case l.part.state == learning && m.Floor < l.uncommittedTo:
		l.startOver = true
		l.subscribe()
		return
	default:
		if !l.beginDelta(m) {
			return
		}
	}
	l.since = m.Seq
	l.headSeq, l.headDigest = m.Last.Seq, m.Digest
	if l.stageFull() {
		return
	}
	l.fetch()
	l.checkReady()
}

// beginFull empties the partition, in one batch with marking it unfinished.
func (l *learner) beginFull(m *Message) {
	l.part.wipe()
	l.part.become(learning)
	l.part.log = logState{last: m.Last, history: m.History}
	l.part.floor = m.Floor
	for _, row := range m.Rows {
		l.part.putRow(row)
	}
	l.restart(learner{sub: m.Sub, missing: make(map[Key]uint64), tombs: make(map[Key]Version), log: &l.part.log,
		cursorDone: m.Flags&flagDone != 0, ahead: aheadOf{known: true}})
	l.become(copying)
	l.part.touch()
	l.core.moved.full++
}

// beginDelta makes a list of the keys that differ: those changed there since
// the common point, and those changed here.
func (l *learner) beginDelta(m *Message) bool {
	common := m.Floor
	var suspects []Key
	err := l.part.rows(common, l.part.log.last.Seq, func(row Row) bool {
		suspects = append(suspects, row.Keys...)
		return true
	})
	if err != nil {
		l.startAgain(unfit, "read own index", err)
		return false
	}
	if l.part.state == whole {
		l.restart(learner{sub: m.Sub, missing: make(map[Key]uint64), stage: make(map[Key][]byte),
			rows: m.Rows, bytes: rowsBytes(m.Rows), cut: common, stagedLog: l.part.log, cursorDone: true})
		l.log = &l.stagedLog
		l.become(staging)
		l.core.moved.delta++
	} else {
		l.become(copying)
		for k := range l.missing {
			l.missing[k] = m.Seq // an older need may name an entry that was dropped
		}
		l.core.op(StoreOp{Kind: CutIndex, Partition: l.part.id, Seq: common})
		for _, row := range m.Rows {
			l.part.putRow(row)
		}
		l.part.durable = min(l.part.durable, common)
		l.part.generation++ // as for a staged delta
		l.part.touch()
	}
	l.log.last, l.log.history = m.Last, m.History
	for _, row := range m.Rows {
		l.miss(row.Keys, m.Seq)
	}
	l.miss(suspects, m.Seq)
	return true
}

// miss puts keys on the missing list, until a page of a state at need or later brings them.
func (l *learner) miss(keys []Key, need uint64) {
	for _, k := range keys {
		if _, ok := l.missing[k]; !ok {
			l.wanted = append(l.wanted, k)
		}
		l.missing[k] = max(l.missing[k], need)
	}
}

// onAppend applies live entries.
func (l *learner) onAppend(m *Message) {
	if l.phase == subscribing {
		return
	}
	if m.Flags&flagGap != 0 {
		if m.Sub == l.sub {
			l.stopLearning(true)
		}
		return
	}
	if !l.copies() {
		l.part.followLog(m)
		return
	}
	if m.Prev.Seq > l.log.last.Seq {
		l.keepAlive(flagGap)
		return
	}
	for _, e := range m.Entries {
		if e.Version.Seq == l.log.last.Seq+1 && !l.applyLive(e) {
			return
		}
	}
	if l.log.last == m.Last {
		l.headSeq, l.headDigest = m.Last.Seq, m.Digest
	}
	if l.stageFull() {
		return
	}
	if l.phase == copying {
		l.part.learnCommit(m.Commit) // of the log that is being built, not of the one to be replaced
	}
	l.fetch()
	l.checkReady()
}

// applyLive applies what of a live entry fits, key by key.
func (l *learner) applyLive(e *Entry) bool {
	for i := range e.Writes {
		w := &e.Writes[i]
		if _, ok := l.missing[w.Key]; ok {
			l.missing[w.Key] = e.Version.Seq
			continue
		}
		stored, err := l.learned(w.Key)
		var v Version
		if err == nil {
			v, err = versionOf(stored)
		}
		if err != nil {
			l.startAgain(damaged, "read copy", err)
			return false
		}
		switch {
		case v.Compare(e.Version) >= 0:
		case v == w.Before:
			l.set(w.Key, stored, w.Item)
			l.ahead.note(w.Key)
			if w.Item == nil && !l.cursorDone {
				l.tombs[w.Key] = e.Version
			}
		default:
			l.miss([]Key{w.Key}, e.Version.Seq)
		}
	}
	l.log.advance(e.Version)
	if l.phase == staging {
		row := e.row()
		l.rows = append(l.rows, row)
		l.bytes += rowsBytes([]Row{row})
		return true
	}
	l.part.putEntryRow(e)
	l.part.touch()
	return true
}

// startAgain copies everything anew when our own copy cannot be read: its digest
// can't be kept. Other errors end the core.
func (l *learner) startAgain(d damage, op string, err error) {
	if !isCorrupt(err) {
		l.core.fail(op, err)
		return
	}
	l.core.corrupt.found++
	l.part.becomeDamaged(d)
	l.startOver = l.part.worthless()
	l.resubscribeAt()
}

// learned returns the copy's present item at key.
func (l *learner) learned(key Key) ([]byte, error) {
	if l.phase == staging {
		if item, ok := l.stage[key]; ok {
			return item, nil
		}
	}
	return l.part.get(key)
}

// set makes item the copy's state of key.
func (l *learner) set(key Key, old, item []byte) {
	l.core.accountItems(l.log, key, old, item)
	if l.phase == staging {
		l.stage[key] = slices.Clone(item) // it may be a small part of a large frame
		l.bytes += len(key) + len(item)
		return
	}
	known := KnownPresent
	if old == nil {
		known = KnownAbsent
	}
	l.part.put(key, item, known)
	l.part.touch()
}

// stageFull goes on in place with a staged delta that has outgrown its bound: the copy
// is no longer whole, and worth nothing after a restart.
func (l *learner) stageFull() bool {
	if l.phase != staging || l.bytes <= l.core.cfg.Limits.StageBytes || l.part.mustKeep() {
		return false
	}
	l.part.become(learning)
	l.restart(learner{missing: make(map[Key]uint64), tombs: make(map[Key]Version), log: &l.part.log, cursorDone: true})
	l.part.touch()
	l.subscribe()
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
func (l *learner) checkReady() {
	if !l.copies() || !l.cursorDone || len(l.missing) > 0 ||
		l.log.last.Seq < l.pagedTo || l.headSeq != l.log.last.Seq {
		return
	}
	if l.digestUnknown {
		l.log.digest = l.headDigest
	}
	if l.headDigest != l.log.digest {
		l.core.moved.mismatches++
		l.startOver = true
		l.subscribe()
		return
	}
	if l.phase == staging {
		l.core.op(StoreOp{Kind: CutIndex, Partition: l.part.id, Seq: l.cut})
		for _, row := range l.rows {
			l.part.putRow(row)
		}
		for _, k := range sortedKeys(l.stage) {
			l.part.put(k, l.stage[k], NotKnown)
		}
		l.part.log = l.stagedLog
		l.part.commit, l.part.durable = min(l.part.commit, l.cut), min(l.part.durable, l.cut)
	}
	l.part.become(whole)
	l.swap()
}

// swap makes the batch being filled the one after whose sync the copy is ready.
func (l *learner) swap() {
	l.part.generation++ // the next mark is that of this batch: entries may keep coming, and quiet never come
	l.become(swapping)
	l.stage, l.rows, l.tombs = nil, nil, nil
	l.part.touch()
}

// onDurable acknowledges: a copy is ready once its being whole is durable.
// Marks from before the swap do not come here.
func (l *learner) onDurable() {
	if l.phase == swapping {
		l.become(following)
	}
	if l.whole() {
		l.part.sendAck(0)
	}
}

// keepAlive tells the primary how far the live entries have come.
func (l *learner) keepAlive(flags uint8) {
	if flags != 0 && l.core.now.Mono-l.ackedAt < resendAfter/4 {
		return
	}
	l.ackedAt = l.core.now.Mono
	l.part.send(l.part.view.Primary(), &Message{Type: MsgAck, Flags: flags, Sub: l.sub, Seq: l.log.last.Seq})
}

// tick repeats what got no answer.
func (l *learner) tick() {
	waited := l.core.now.Mono - l.askedAt
	switch l.phase {
	case subscribing:
		if waited >= learnRetryAfter {
			l.subscribe()
		}
	case staging, copying:
		switch {
		case l.nonce != 0 && waited >= l.patience:
			l.failures++
			l.patience = min(2*l.patience, learnRetryMax)
			l.sendFetch()
		case l.nonce == 0 && waited >= learnRetryAfter && (len(l.missing) > 0 || !l.cursorDone):
			l.failures++
			l.fetch()
		}
		if l.core.now.Mono-l.ackedAt >= learnerKeepAlive {
			l.keepAlive(0)
		}
	case following, announced:
		first := l.part.mayBeReady() && l.phase == following
		if (first || l.core.now.Mono-l.ackedAt >= learnerKeepAlive) && l.part.quiet() {
			l.ackedAt = l.core.now.Mono
			l.part.sendAck(0)
		}
	}
}
