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

// part is one partition as this server keeps it: its copy, and what the view makes of it.
// It is never shared. A method of it lies in the file of the rules that it keeps.
type part struct {
	core *Core
	id   ring.PartitionID

	meta     // the copy: written into the batch that changes it
	progress // how much of that is durable
	assigned // from the view
	index    rowCounts

	// Who does the work of the role. Invariant: lead is nil unless role is rolePrimary, and
	// learn unless it is roleLearner. Both end with the term, and so do the repairs.
	lead     *primary
	learn    *learner
	repairer repairer

	// Writes that it sequenced as primary, of this term or of earlier ones since which it
	// acts. Invariant: in the order of seq; each is in the log; none where it does not act.
	waiting []waitingWrite

	// As a source of copies and suffixes.
	stateOwed bool          // backup: a State goes out when everything is durable
	gapSaid   time.Duration // the primary was last told of a gap; 0 = there is none
	held      []heldPage    // until their state is committed. Invariant: at most heldPagesMax
	sending   bool          // in Core.toSend
	fedOpen   bool          // the feed was told that we serve, in this term or one from which we go on. Invariant: where the feed is on and lead is active; nowhere without lead

	// What is repeated until the view changes: when it was last done, 0 = never.
	strayAt       time.Duration
	retireAskedAt time.Duration // in this term
	successorBy   time.Duration // who was the primary last retires once its successor serves, or then; 0: at once
	stoppedAt     time.Duration // as primary of the term before this one we stopped then; 0: we were not
	offeredAt     time.Duration
	lonelySince   time.Duration // our copy may be the one to restore from, see offer; 0 = it is not
}

// progress is how far a part's batches have come.
type progress struct {
	durable       uint64 // up to this seq the log is. Invariant: ≤ log.last.Seq; within a generation it never falls (I5)
	durableDigest uint64 // of the partition, at durable
	generation    uint64 // of the log: raised when it is replaced, so that marks from before count for nothing

	commitSaved uint64        // the commit in the last meta that was handed out
	savedAt     time.Duration // when that was
	dirty       bool          // the meta goes into the batch being filled. Invariant: the part is in Core.dirty
	unsynced    int           // metas handed out and not durable. Invariant: that many of Core.marks are the part's
	wiping      uint64        // number of the batch that emptied the partition
}

// assigned is what the view says of a partition. It changes in adopt alone.
type assigned struct {
	view    *ring.Partition // nil before the first view
	term    uint64          // Invariant: view.Term; it never falls (I6)
	role    role            // Invariant: what roleIn says
	targets []ring.ServerID
	wanted  []ring.ServerID                 // to act: the targets, and returners (ring.Partition)
	holds   map[ring.ServerID]time.Duration // promises to former primaries: until when
}

// rowCounts is about how large the change index is, see trimIndex.
type rowCounts struct {
	rows   uint64              // applied since the last piece was full,
	keys   int                 // how many keys they have,
	bytes  int64               // and what they take on the disk, about
	pieces [indexPieces]uint64 // rows of each piece, the newest first; 0: there is none yet
}

func newPart(c *Core, id ring.PartitionID) *part {
	p := &part{core: c, id: id}
	p.holds = make(map[ring.ServerID]time.Duration)
	p.repairer = repairer{core: c, part: p}
	return p
}

// load takes over what a former process left behind.
func (p *part) load(m meta) {
	p.meta = m
	p.durable, p.durableDigest, p.commitSaved = m.log.last.Seq, m.log.digest, m.commit
}

// become changes what the server has of the partition.
func (p *part) become(next copyState) {
	if next != p.state {
		move(copyNext, &p.state, next)
	}
}

// step handles a message that is neither for a primary or a learner, nor about a repair.
func (p *part) step(from ring.ServerID, m *Message) {
	switch m.Type {
	case MsgNewTerm:
		p.onNewTerm(from)
	case MsgSuffixAsk:
		p.onSuffixAsk(from, m)
	case MsgSuffix:
		p.onSuffix(from, m)
	case MsgAppend:
		p.onAppend(from, m)
	case MsgFetch:
		p.onFetch(from, m)
	case MsgPurge:
		p.onPurge(from, m)
	}
}

// enoughCopies reports whether the acting replicas may acknowledge writes.
func (p *part) enoughCopies() bool { return len(p.view.Acting) >= int(p.view.MinCopies) }

func (p *part) isWanted(id ring.ServerID) bool { return slices.Contains(p.wanted, id) }

func (p *part) isActing() bool { return p.role == rolePrimary || p.role == roleBackup }

// quiet reports whether everything applied is durable.
func (p *part) quiet() bool { return p.unsynced == 0 && !p.dirty }
