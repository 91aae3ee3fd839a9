package vocab

import "time"

// Lock is a lock that is held.
type Lock struct {
	Name    string
	Shared  bool         // by readers, who hold it together
	Holders []LockHolder // one, or several that share it
	Waiters []LockWaiter // first come first
}

// LockHolder is who holds a lock.
type LockHolder struct {
	Client  string
	Session uint64 // 0: none
	Token   uint64 // fencing token; only grows, over all locks
	Since   time.Time
	Expires time.Time // zero: until released
	Lost    bool      // its session fell silent; the lock is free at Expires
	Unheard bool      // the head has not heard of its session yet: that it lives is remembered
}

// LockWaiter is who waits in the queue of a lock.
type LockWaiter struct {
	Client  string
	Session uint64 // 0: none
	Shared  bool
}

// LockWait is one step of a deadlock: who waits for which lock, and for whom.
type LockWait struct {
	Client  string
	Session uint64 // 0: none
	Lock    string
	For     string // who holds the lock, or is before Client in its queue
	Behind  bool   // For is in the queue
}

// Locks are the locks that are held, and the deadlocks among those who wait.
type Locks struct {
	Locks     []Lock
	Deadlocks [][]LockWait // each step waits for the next, the last for the first
}
