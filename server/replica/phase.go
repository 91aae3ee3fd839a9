package replica

import (
	"fmt"

	"viewring/internal/invariant"
)

// A copy, its damage, a primary, each of its followers, a learner, a read and a repair
// have a phase each, and a table of what may follow it. STATES.md draws the tables, and
// TestStates compares the two: what a reader sees there is what the code can do.

// phases is a set of phases of one type.
type phases uint16

// to returns a set of phases.
func to[P ~uint8](list ...P) (s phases) {
	for _, p := range list {
		s |= 1 << p
	}
	return s
}

// move changes a phase. It panics if the table, which is indexed by the phase before, does
// not have the next one: the state that such a change would leave behind was never thought
// about. It allocates nothing, for a read takes several on its way.
func move[P interface {
	~uint8
	fmt.Stringer
}](table []phases, at *P, next P) {
	if table[*at]&(1<<next) == 0 {
		invariant.Check(false, "phase", "%T goes from %v to %v", next, *at, next)
	}
	*at = next
}
