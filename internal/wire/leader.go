package wire

import (
	"time"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// The commands of the view leader. Each carries one opaque bulk, encoded by the
// type of the same name below, unless said otherwise. CmdMember, CmdPlace,
// CmdLockFree and CmdLoss may carry a CommandID after all else.
const (
	CmdRegister  = "VL.REGISTER"  // Register → Registered
	CmdHeartbeat = "VL.HEARTBEAT" // Heartbeat → HeartbeatReply
	CmdView      = "VL.VIEW"      // args: since epoch (0 = has none), wait milliseconds → a view, whole or delta (ring.Deltas), or nil when none newer came in time; since 0 and wait 0 is always answered
	CmdChange    = "VL.CHANGE"    // []Change → []ChangeResult: what servers ask for partitions, many in one
	CmdConfirm   = "VL.CONFIRM"   // []Confirm → one byte each, 1 = still so
	CmdMember    = "VL.MEMBER"    // args: verb (leave, drain, undrain, remove), server id or address → id; an operator's
	CmdPlace     = "VL.PLACE"     // args: what (weight, zone), server id or address, the new one → id; an operator's
	CmdStatus    = "VL.STATUS"    // no argument → Status
	CmdLockGet   = "VL.LOCKGET"   // args: lock, client, wait ms (-1 = for ever), ttl ms (0 = none), any of SHARED, KNOT, SESSION id → [token, held since ms]; answers when granted
	CmdLockFree  = "VL.LOCKFREE"  // args: lock, client, the session in which it is held (0 = none) → OK
	CmdLocks     = "VL.LOCKS"     // no argument → Locks; any: and the sessions that the head has not heard of
	CmdSession   = "VL.SESSION"   // args: OPEN ttl ms, lock delay ms → id; KEEP id → OK; END id → OK; ENDED, ENDS: see SessionEnded
	CmdLoss      = "VL.LOSS"      // []PartitionID → epoch; an operator's: their data is given up
	CmdElections = "VL.ELECTIONS" // arg: since, unix milliseconds → []Event: what the view leader that is asked has seen of its group
	CmdEvents    = "VL.EVENTS"    // args: since number, wait milliseconds → []Event, or nil when none came in time
)

// LeaderCommandBytesMax bounds a command or reply of the view leader: a whole
// view of the largest cluster fits.
const LeaderCommandBytesMax = 8 << 20

// CodeDeadlock is the first word of the refusal of a lock whose waiter would
// wait for itself; the text names the locks and clients.
const CodeDeadlock = "DEADLOCK"

// CodeNoSession is the first word of the answer to who names a session that has
// ended.
const CodeNoSession = "NOSESSION"

// The verbs of CmdMember.
const (
	MemberLeave   = "leave"
	MemberDrain   = "drain"
	MemberUndrain = "undrain"
	MemberRemove  = "remove"
)

// What CmdPlace changes.
const (
	PlaceWeight = "weight"
	PlaceZone   = "zone"
)

// Registered is the view leader's answer to Register.
type Registered struct {
	ID    ring.ServerID
	Epoch uint64        // the epoch in which the incarnation stands; any view from here on lists it
	View  []byte        // whole, as ring.AppendView wrote it
	Every time.Duration // how often the view leader wants heartbeats
}

// Heartbeat is a server's word that it lives, kept in memory at the view leader.
type Heartbeat struct {
	ID          ring.ServerID
	Instance    uint64
	Incarnation uint64
	Epoch       uint64 // adopted by every lane ("done")
	Stats       vocab.ServerStats
	Brief       bool // without what view leaders of earlier builds do not understand
}

// HeartbeatReply tells a server what the view leader thinks of it.
type HeartbeatReply struct {
	Epoch uint64
	Known bool          // false: expired or replaced; register again
	Every time.Duration // how often the view leader wants heartbeats
}

// ChangeKind says what a Change asks for.
type ChangeKind uint8

// The changes that servers ask for, each compare-and-set on the term.
const (
	ChangeHandoff ChangeKind = iota + 1 // Acting becomes the acting replicas
	ChangeEject                         // Acting[0] leaves the acting (or proposed) replicas
	ChangeRestore                       // From has all that was acknowledged and acts, nobody else of acting being up
)

// Change is one compare-and-set change of a partition by a server.
type Change struct {
	Kind      ChangeKind
	From      ring.Incarnated
	Partition ring.PartitionID
	Term      uint64
	Acting    []ring.Incarnated
}

// ChangeResult is the view leader's word on a Change. Only a higher term ends a
// proposal, whatever Done says.
type ChangeResult struct {
	Done   bool
	Epoch  uint64
	Reason string // when not done
}

// Confirm asks whether the partition's term is still this one.
type Confirm struct {
	Partition ring.PartitionID
	Term      uint64
}

// Status is the view leader's whole picture, for query_servers.
type Status struct {
	View    []byte // whole, as ring.AppendView wrote it
	Servers []ServerStatus
}

// ServerStatus is the last heartbeat of a server.
type ServerStatus struct {
	ID    ring.ServerID
	Age   time.Duration // since its last heartbeat; negative: none since this view leader started
	Epoch uint64        // adopted by all its lanes
	Down  time.Time     // since when it is declared down; zero: it is up
	Stats vocab.ServerStats
	// Failures counts those of the last minutes. Held is until when a server that
	// fails again and again stays out; zero: it need not.
	Failures uint32
	Held     time.Time
}
