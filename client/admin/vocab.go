package admin

import "viewring/viewleader/vocab"

// What the view leader tells is defined in package vocab, once for all of viewring. These
// are its names here.
type (
	// Event is something that happened to the cluster.
	Event = vocab.Event
	// Locks are the locks that are held, and the deadlocks among those who wait.
	Locks = vocab.Locks
	// Lock is a lock that is held.
	Lock = vocab.Lock
	// LockHolder is who holds a lock.
	LockHolder = vocab.LockHolder
	// LockWaiter is who waits in line for a lock.
	LockWaiter = vocab.LockWaiter
	// LockWait is one step of a deadlock: who waits for which lock, and for whom.
	LockWait = vocab.LockWait
	// UnlinkedPeer is a server that another one can't connect to.
	UnlinkedPeer = vocab.UnlinkedPeer
	// ServerStats is what a server says of itself with each heartbeat.
	ServerStats = vocab.ServerStats
)

// Why a server can't connect to another one: ServerStats.UnlinkedWhy.
const (
	UnlinkedUnknown     = vocab.UnlinkedUnknown
	UnlinkedCertificate = vocab.UnlinkedCertificate
	UnlinkedRefused     = vocab.UnlinkedRefused
	UnlinkedPassword    = vocab.UnlinkedPassword
	UnlinkedFiles       = vocab.UnlinkedFiles
	UnlinkedTLS         = vocab.UnlinkedTLS
)

// Why copies do not come to a server: ServerStats.WaitingWhy, Wait.Why.
const (
	WaitingPaused  = vocab.WaitingPaused
	WaitingFull    = vocab.WaitingFull
	WaitingLimit   = vocab.WaitingLimit
	WaitingPrimary = vocab.WaitingPrimary
	WaitingSlow    = vocab.WaitingSlow
	WaitingSilent  = vocab.WaitingSilent
	WaitingClients = vocab.WaitingClients
)

// Who holds back what a server copies in: ServerStats.MoveHeld, Rebalancing.HeldBy.
const (
	HeldByNobody  = vocab.HeldByNobody
	HeldByRate    = vocab.HeldByRate
	HeldByOwn     = vocab.HeldByOwn
	HeldBySources = vocab.HeldBySources
)
