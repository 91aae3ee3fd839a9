package roster

// Bugs is a set of planted bugs of locks and sessions. The simulation switches one on
// at a time to prove that its checkers would notice; everyone else leaves it zero.
type Bugs uint8

// The bugs that can be planted, named for what the roster then does.
const (
	BugTokenKept    Bugs = 1 << iota // a grant to a waiter has the token of the grant before
	BugNoLockDelay                   // the locks of a session that fell silent are free at once
	BugReaderPasses                  // a reader joins others though a writer waits
	BugLastFirst                     // a lock goes to the last in line
	BugCycleUnseen                   // nobody looks whether a newcomer waits for itself
)

// Plant plants bugs in a state; they are in no snapshot of it.
func (s *State) Plant(b Bugs) { s.locks.bugs = b }

func (t *lockTable) planted(b Bugs) bool { return t.bugs&b != 0 }
