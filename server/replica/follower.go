package replica

import (
	"slices"
	"time"

	"viewring/ring"
)

// followerPhase is what a replica is to its primary. One that acts stays what it is for
// the term; a learner comes closer to acting, step by step (rules 5 and 6).
type followerPhase uint8

const (
	followerActing     followerPhase = iota // in the view's acting set
	followerSubscribed                      // a learner that has said nothing yet: it is taken to have what it was told
	followerBehind                          // it acknowledges live entries, and still lacks others
	followerReady                           // its copy is whole, and durable from here on
	followerProposed                        // commits and leases include it; only a higher term ends that
	followerNamed                           // proposed, and in a handoff that the view leader was asked for
)

var followerNext = []phases{
	followerActing:     0,
	followerSubscribed: to(followerBehind, followerReady),
	followerBehind:     to(followerReady),
	followerReady:      to(followerProposed),
	followerProposed:   to(followerNamed),
	followerNamed:      0,
}

func (p followerPhase) String() string {
	return [...]string{"acting", "subscribed", "behind", "ready", "proposed", "named"}[p]
}

func (f *follower) become(next followerPhase) { move(followerNext, &f.phase, next) }

func (f *follower) acting() bool { return f.phase == followerActing }

func (f *follower) proposed() bool { return f.phase == followerProposed || f.phase == followerNamed }

// ready reports whether a learner's copy is whole there.
func (f *follower) ready() bool { return f.phase >= followerReady }

// joint reports whether commits and leases need the follower: acting ∪ proposed.
func (f *follower) joint() bool { return f.acting() || f.proposed() }

// follower is another replica as its primary sees it.
type follower struct {
	id          ring.ServerID
	incarnation uint64 // it is dropped, or ejected, when the view has another one
	phase       followerPhase
	sub         uint64   // of a learner: number of the subscription, the learner's choice
	state       *Message // of an acting one: its State in this term. Invariant: there once the primary has reconciled

	// What it has. Invariant: match < next ≤ log.last.Seq+1 once the primary has reconciled;
	// only a learner that returns below min-copies may have more than the primary, a tail.
	match       uint64        // durable there; of a learner that is not ready yet, what it has
	matchDigest uint64        // at match
	next        uint64        // seq to send next
	told        uint64        // commit last sent. Invariant: ≤ commit
	movedAt     time.Duration // match last grew, or nothing was owed
	resentAt    time.Duration
	resends     uint8 // since it last moved

	owes bool // it was the primary, and has writes to answer: it acts until it has

	full      bool // it has no room for more
	fullSince time.Duration
	askedAt   time.Duration // it was last made to say whether it still is, or owes
}

func (l *primary) follower(id ring.ServerID) *follower {
	for _, f := range l.followers {
		if f.id == id {
			return f
		}
	}
	return nil
}

// patience is how long a follower may leave entries unacknowledged.
func (l *primary) patience() time.Duration {
	return ejectAfter + time.Duration(l.flightBytes)*time.Second/slowBytesPerSec
}

// proposes reports whether a handoff that adds somebody is under way.
func (l *primary) proposes() bool {
	return slices.ContainsFunc(l.followers, (*follower).proposed)
}

func (l *primary) addFollower(f *follower) {
	i, _ := slices.BinarySearchFunc(l.followers, f.id, func(f *follower, id ring.ServerID) int {
		return int(int64(f.id) - int64(id))
	})
	l.followers = slices.Insert(l.followers, i, f)
}

// dropFollower leaves the old slice as it is: callers may be walking over it.
func (l *primary) dropFollower(id ring.ServerID) {
	l.followers = slices.DeleteFunc(slices.Clone(l.followers), func(f *follower) bool { return f.id == id })
}

// tickFollower sends again what was not acknowledged, and the commit to who
// does not know it. It reports whether the follower is being ejected.
func (l *primary) tickFollower(f *follower, tell bool) bool {
	owed := f.match < f.next-1
	silent := l.core.now.Mono - f.movedAt
	ejecting := owed && f.joint() && silent > l.patience()
	if ejecting {
		l.eject(f.id)
	}
	switch {
	case owed && silent > resendAfter && l.core.now.Mono-f.resentAt > resendAfter<<f.resends:
		l.resend(f)
	case tell && f.told < l.part.commit, (f.full || f.owes) && l.core.now.Mono-f.askedAt > resendAfter:
		// One that had no room may have some again: its word can have been lost, and
		// where writes are refused for it nothing else makes it speak.
		l.tell(f)
	}
	return ejecting
}

// tell sends a follower the commit, which it acknowledges.
func (l *primary) tell(f *follower) {
	f.told, f.askedAt = l.part.commit, l.core.now.Mono
	l.part.send(f.id, &Message{Type: MsgAppend, Prev: l.part.versionAt(f.next - 1), Commit: l.part.commit, Digest: l.part.log.digest, Last: l.part.log.last})
}

// resend sends again what f did not acknowledge, at longer and longer intervals:
// what is large may just take long, and should not be in its own way. It says
// nothing of f: the time since f moved runs on.
func (l *primary) resend(f *follower) {
	silentSince := f.movedAt
	f.resentAt = l.core.now.Mono
	f.resends = min(f.resends+1, resendsMax)
	f.next = f.match + 1
	l.sendFrom(f)
	f.movedAt = silentSince
}
