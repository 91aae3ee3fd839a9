package roster

import (
	"time"

	"viewring/ring"
	"viewring/viewleader/vocab"
)

// Kind says what a Command does. The numbers are stored: never reuse one.
type Kind uint8

// The commands. DESIGN.md states for each what it requires and does.
const (
	KindRegister    Kind = 1  // Register
	KindExpire      Kind = 2  // Who
	KindOut         Kind = 3  // ID
	KindHandoff     Kind = 4  // From, Partition, Term, Who
	KindEject       Kind = 5  // From, Partition, Term, Who[0]
	KindLeave       Kind = 6  // ID
	KindDrain       Kind = 7  // ID
	KindRemove      Kind = 8  // ID
	KindConfigure   Kind = 9  // LeaseTTL, MinCopies
	KindLockGet     Kind = 10 // Lock, Client, Session, Shared, Wait, WaitInDeadlock, TTL
	KindLockFree    Kind = 11 // Lock, Client, Session, Token
	KindLockDequeue Kind = 12 // Lock, Client, Session
	KindLockTick    Kind = 13
	KindAcceptLoss  Kind = 14 // Partitions
	KindRestore     Kind = 15 // From, Partition, Term

	KindSessionOpen   Kind = 16 // TTL, Delay
	KindSessionEnd    Kind = 17 // Session
	KindSessionExpire Kind = 18 // Sessions

	KindSetWeight Kind = 19 // ID, Weight
	KindSetZone   Kind = 20 // ID, Zone
	KindUndrain   Kind = 21 // ID
)

// Command is one change of the state. Which fields count depends on its kind.
type Command struct {
	Kind Kind
	At   int64 // unix ms by the clock of who proposed it

	Register  vocab.Register
	ID        ring.ServerID
	From      ring.Incarnated
	Who       []ring.Incarnated
	Partition ring.PartitionID
	Term      uint64

	Partitions []ring.PartitionID

	Weight uint32
	Zone   string

	LeaseTTL  time.Duration
	MinCopies int

	Lock, Client   string
	Session        uint64 // 0: none
	Shared         bool   // as one of several readers
	Wait           bool   // join the queue when the lock is held
	WaitInDeadlock bool   // wait even if that closes a cycle of waiters
	TTL            int64  // ms from the grant; 0 = until released; of a session: of silence
	Delay          int64  // ms
	Token          uint64

	Sessions []uint64
}

// Code says how a command ended.
type Code uint8

// The outcomes of a command.
const (
	Done      Code = iota + 1
	Refused        // Reason says why; nothing changed
	Waiting        // LockGet: in the queue; a Grant follows
	Locked         // LockGet without Wait: held by another
	NotHeld        // LockFree: held by another, or by nobody
	Deadlock       // LockGet: waiting would close a cycle, told in Reason
	NoSession      // LockGet, SessionEnd: the session has ended
)

// Result is what a command came to.
type Result struct {
	Code   Code
	Reason string
	ID     ring.ServerID // Register; the member of Leave, Drain, Undrain, Remove, SetWeight and SetZone
	Epoch  uint64        // after the batch
	Token  uint64        // LockGet
	Since  int64         // LockGet: unix ms
	Held   bool          // LockGet: the client had it before
	Grants []Grant       // locks that went to waiters because of this command

	Session uint64   // SessionOpen
	Ended   []uint64 // SessionExpire: those that were open
	Cycle   Cycle    // LockGet: of waiters, refused (Deadlock) or closed (Waiting)
}

// Grant is a lock that a waiter got.
type Grant struct {
	Lock, Client string
	Session      uint64
	Token        uint64
	Since        int64
}

func refused(err error) Result { return Result{Code: Refused, Reason: err.Error()} }
