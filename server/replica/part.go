package replica

import (
	"slices"
	"time"

	"viewring/ring"
)

// role is what the view makes of this server in a partition.
type role uint8

const (
	roleNone    role = iota // neither acting nor a target; a stray when it has a copy
	rolePrimary             // first of acting
	roleBackup              // acting, not first
	roleLearner             // a target, not acting
)

// part is one partition as this server keeps it. It is never shared.
type part struct {
	id ring.PartitionID

	// Stored, see meta.
	state    copyState
	log      logState            // what has been applied, durable or in a batch under way
	commit   uint64              // commitKnown: never above log.last.Seq
	floor    uint64              // index rows exist for floor < seq ≤ last
	rows     uint64              // applied since the last piece of the index was full,
	keys     int                 // how many keys they have,
	rowBytes int64               // and what they take on the disk, about
	pieces   [indexPieces]uint64 // rows of each piece, the newest first; 0: there is none yet
	reborn   uint64              // the partition's life that the copy is of: View's Reborn

	// How much of the above is durable.
	durable       uint64
	durableDigest uint64
	commitSaved   uint64
	savedAt       time.Duration
	unsynced      int    // marks under way
	dirty         bool   // in Core.dirty
	generation    uint64 // of the log: marks from before it was replaced count for nothing
	wiping        uint64 // number of the batch that emptied the partition

	// From the view.
	term    uint64
	role    role
	view    *ring.Partition
	targets []ring.ServerID
	wanted  []ring.ServerID                 // to act: the targets, and returners (ring.Partition)
	holds   map[ring.ServerID]time.Duration // promises to former primaries

	stateOwed bool // backup: a State goes out when everything is durable
	gapSaid   time.Duration
	lead      *lead  // rolePrimary
	learn     *learn // roleLearner, once the mover started it
	held      []heldPage
	sending   bool // in Core.toSend
	strayAt   time.Duration

	retireAskedAt time.Duration // draining: 0 = not in this term
	lonelySince   time.Duration // our copy may be the one to restore from, see offer; 0 = it is not
	offeredAt     time.Duration

	mends  map[Key]*mend // whole and acting: keys that cannot be read
	damage damage        // of a whole copy, or of one that cannot be loaded
}

func newPart(id ring.PartitionID) *part {
	return &part{id: id, holds: make(map[ring.ServerID]time.Duration)}
}

// load takes over what a former process left behind.
func (p *part) load(m meta) {
	p.state, p.damage, p.log, p.commit, p.floor, p.reborn = m.state, m.damage, m.log, m.commit, m.floor, m.reborn
	p.durable, p.durableDigest, p.commitSaved = m.log.last.Seq, m.log.digest, m.commit
}

// become changes what the server has of the partition.
func (p *part) become(next copyState) {
	if next != p.state {
		move(copyNext, &p.state, next)
	}
}

// enoughCopies reports whether the acting replicas may acknowledge writes.
func (p *part) enoughCopies() bool { return len(p.view.Acting) >= int(p.view.MinCopies) }

func (p *part) isWanted(id ring.ServerID) bool { return slices.Contains(p.wanted, id) }

func (p *part) isActing() bool { return p.role == rolePrimary || p.role == roleBackup }

// quiet reports whether everything applied is durable.
func (p *part) quiet() bool { return p.unsynced == 0 && !p.dirty }

// lead is what a primary keeps for one term. It is dropped with the term.
type lead struct {
	phase     primaryPhase
	startedAt time.Duration
	askedAt   time.Duration // the acting replicas were last asked for what is missing
	ejectedAt time.Duration // an eject was last asked for; 0 = never
	followers []*follower   // sorted by id

	window      []*Entry // seqs windowFirst…last, kept for followers
	windowFirst uint64
	windowBytes int
	flightBytes int // of entries above commit

	pending        map[Key]uint64 // latest uncommitted seq of a key
	waiting        []waitingWrite // in seq order
	readers        map[Key][]Read // wait for pending[key] to be committed
	queue          []queued       // not sequenced yet
	question       []Read         // asked of the view leader
	asks           []Read         // arrived after the question was sent
	confirmToken   uint64         // of the question under way
	askedConfirm   time.Duration  // when it was sent
	handoffAskedAt time.Duration  // 0 = never
	hushUntil      time.Duration  // new writes wait, see hush
	hushes         int            // how often they did
	collectedAt    time.Duration  // old records were last looked for

	records    *records      // loaded with activation
	unloadedAt time.Duration // when one of them could not be read
	notice     bool          // the commit moved, which followers may not know yet
	noticeAt   time.Duration // when it began to be so
}

// waitingWrite is a sequenced request without an answer yet.
type waitingWrite struct {
	seq    uint64
	since  time.Duration
	answer Answer
}

// queued is a request waiting for its partition to serve.
type queued struct {
	since time.Duration
	write *Request
	read  *Read
}

// follower is another replica as its primary sees it.
type follower struct {
	id          ring.ServerID
	incarnation uint64
	phase       followerPhase
	sub         uint64        // learner: number of the subscription, the learner's choice
	state       *Message      // its State in this term
	match       uint64        // durable there; of a learner that is not ready yet, what it has
	matchDigest uint64        // at match
	next        uint64        // seq to send next
	told        uint64        // commit last sent
	movedAt     time.Duration // match last grew, or nothing was owed
	resentAt    time.Duration
	resends     uint8 // since it last moved
	full        bool  // it has no room for more
	fullSince   time.Duration
	askedRoomAt time.Duration // it was last made to say whether it still is
}

func (l *lead) follower(id ring.ServerID) *follower {
	for _, f := range l.followers {
		if f.id == id {
			return f
		}
	}
	return nil
}

// patience is how long a follower may leave entries unacknowledged.
func (l *lead) patience() time.Duration {
	return ejectAfter + time.Duration(l.flightBytes)*time.Second/slowBytesPerSec
}

// proposes reports whether a handoff that adds somebody is under way.
func (l *lead) proposes() bool {
	return slices.ContainsFunc(l.followers, (*follower).proposed)
}

func (l *lead) addFollower(f *follower) {
	i, _ := slices.BinarySearchFunc(l.followers, f.id, func(f *follower, id ring.ServerID) int {
		return int(int64(f.id) - int64(id))
	})
	l.followers = slices.Insert(l.followers, i, f)
}

// dropFollower leaves the old slice as it is: callers may be walking over it.
func (l *lead) dropFollower(id ring.ServerID) {
	l.followers = slices.DeleteFunc(slices.Clone(l.followers), func(f *follower) bool { return f.id == id })
}
