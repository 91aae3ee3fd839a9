package replica

import (
	"time"

	"viewring/ring"
)

// primaryPhase is how far a primary has come in its term (rule 1).
type primaryPhase uint8

const (
	reconciling primaryPhase = iota // the logs of the acting replicas are being made equal
	reconciled                      // they are equal and durable; older leases may still hold
	active                          // requests are served
	mute                            // alone, with a tail that cannot be told: as active, but reads are refused
	termOver
)

var primaryNext = []phases{
	reconciling: to(reconciled, termOver),
	reconciled:  to(active, mute, termOver),
	active:      to(termOver),
	mute:        to(termOver),
	termOver:    0,
}

func (p primaryPhase) String() string {
	return [...]string{"reconciling", "reconciled", "active", "mute", "over"}[p]
}

func (l *primary) become(next primaryPhase) { move(primaryNext, &l.phase, next) }

// serves reports whether the primary takes up requests.
func (l *primary) serves() bool { return l.phase == active || l.phase == mute }

// primary is what a primary keeps for one term. It ends with the term; what goes on in the
// next one is handed over by leaveTerm.
type primary struct {
	core  *Core
	part  *part
	phase primaryPhase
	began time.Duration // the term
	reads reader

	watchers watchers
	fed      uint64 // the feed was told up to this seq, while there is one

	// The other replicas that get the log. Invariant: sorted by id; each acting one is
	// there all the term; learners come once the primary serves.
	followers []*follower
	askedAt   time.Duration // the acting ones were last asked for what is missing
	ejectedAt time.Duration // an eject was last asked for; 0 = never

	// The entries that some follower may still need. Invariant: their seqs are windowFirst,
	// windowFirst+1, …, log.last.Seq; an entry of this term above the commit is among them,
	// and so is all that an acting or proposed follower lacks.
	window      []*Entry
	windowFirst uint64
	windowBytes int // of all of them
	flightBytes int // of those above the commit: beyond FlightBytes writes queue

	// Writes. One is in queue, or is sequenced and waits in part.waiting, and is answered once.
	queue   []queued       // requests that are not sequenced yet, reads between them, in order
	pending map[Key]uint64 // the last entry of a key. Invariant: commit < seq ≤ log.last.Seq

	records     *records      // Invariant: loaded where the primary serves
	unloadedAt  time.Duration // one of them could not be read then; 0 = never
	collectedAt time.Duration // old ones were last looked for

	handoffAskedAt time.Duration // 0 = never
	quiesceUntil   time.Duration // new writes wait, see quiesce; 0: they never had to
	stoppedAt      time.Duration // the partition takes no writes since then, as far as we know; see stops.go

	notice   bool          // the commit moved, which followers may not know yet
	noticeAt time.Duration // when it began to be so
}

func newPrimary(p *part) *primary {
	l := &primary{core: p.core, part: p, began: p.core.now.Mono}
	l.reads = reader{core: p.core, part: p, lead: l}
	l.watchers = watchers{core: p.core, part: p}
	l.fed = p.commit
	return l
}

// step handles a message to a primary.
func (l *primary) step(from ring.ServerID, m *Message) {
	switch m.Type {
	case MsgState:
		l.onState(from, m)
	case MsgAck:
		l.onAck(from, m)
	case MsgSubscribe:
		l.onSubscribe(from, m)
	case MsgStray:
		l.onStray(from, m)
	}
}

// queued is a request waiting for its partition to serve.
type queued struct {
	since time.Duration
	write *Request
	read  *Read
}

// tick repeats what got no answer and ends what waited too long.
func (l *primary) tick() {
	l.expireQueue()
	l.reads.expire()
	if l.phase == reconciling {
		l.tickReconcile()
		return
	}
	if !l.serves() {
		l.tryActivate()
		return
	}
	l.drainQueue()
	tell := !l.notice || l.core.now.Mono-l.noticeAt >= noticeAfter
	for _, f := range l.followers {
		if l.tickFollower(f, tell) {
			return
		}
	}
	l.notice = l.notice && !tell
	l.considerHandoff()
	l.watchers.tick()
	if l.core.now.Mono-l.collectedAt >= l.core.cfg.Limits.RecordGCEvery && l.part.enoughCopies() {
		l.collectedAt = l.core.now.Mono
		l.collectRecords()
	}
}

// tickReconcile asks again who has not answered, and gives up on who stays
// silent.
func (l *primary) tickReconcile() {
	if l.core.now.Mono-l.askedAt < askAfter {
		return
	}
	l.askedAt = l.core.now.Mono
	for _, f := range l.followers {
		if !f.acting() || f.state != nil && f.state.Last == l.part.log.last {
			continue
		}
		if l.core.now.Mono-f.movedAt > ejectAfter {
			l.eject(f.id)
		}
		l.part.send(f.id, &Message{Type: MsgNewTerm})
	}
	l.tryReconcile()
}

// expireQueue answers requests whose partition did not serve in time.
func (l *primary) expireQueue() {
	n := 0
	for n < len(l.queue) && l.core.now.Mono-l.queue[n].since > queueTTL {
		l.core.refuse(&l.queue[n], StatusUnavailable)
		n++
	}
	l.queue = l.queue[n:]
	if l.reads.confirmToken != 0 && len(l.reads.question) > 0 && l.core.now.Mono-l.reads.askedConfirm > queueTTL {
		delete(l.core.confirms, l.reads.confirmToken)
		l.reads.confirmed(false)
	}
}
