package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// LockKind says what a LockOp did.
type LockKind int

// What happens to locks.
const (
	LockGet  LockKind = iota // asked for, and granted unless Refused
	LockFree                 // released; Refused: it was not held
	LockLost                 // from Call on it may be gone without its holder's word
)

// LockOp is what a client asked of a lock and was told, or what became of it
// without being asked. Times are of one clock.
type LockOp struct {
	Lock    string
	Owner   string // no two hold a lock, or wait for it, under one name at a time
	Kind    LockKind
	Shared  bool
	Token   uint64
	Refused bool          // somebody else held it, or it was not held
	Unknown bool          // nobody saw the answer
	Any     bool          // LockFree: it names no token, and frees whatever grant its owner has by then
	Call    time.Duration // asked
	Return  time.Duration // answered; 0 or Never: not seen. Unknown, LockLost: it has no effect after that
}

// LockHistory is what all clients of locks saw. Any number of goroutines may add
// to it.
type LockHistory struct {
	mu  sync.Mutex
	ops []LockOp // guarded by mu
}

// Add adds what happened.
func (h *LockHistory) Add(op LockOp) {
	if op.Return == 0 {
		op.Return = Never
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// Len returns how many there are.
func (h *LockHistory) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// Tokens has the token of each owner that was granted a lock, by lock and owner.
func (h *LockHistory) Tokens() map[[2]string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	tokens := make(map[[2]string]uint64)
	for i := range h.ops {
		if op := &h.ops[i]; op.granted() {
			tokens[[2]string{op.Lock, op.Owner}] = op.Token
		}
	}
	return tokens
}

func (op *LockOp) granted() bool { return op.Kind == LockGet && !op.Refused && !op.Unknown }

// Check looks for an order of the operations on each lock that explains every
// answer: one holder at a time, or several that share, each with a token that is
// higher than all before; and tokens that grow over all locks.
func (h *LockHistory) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := checkTokens(h.ops); err != nil {
		return err
	}
	byLock := make(map[string][]LockOp)
	for _, op := range withoutIdle(h.ops) {
		byLock[op.Lock] = append(byLock[op.Lock], op)
	}
	for _, name := range slices.Sorted(maps.Keys(byLock)) {
		if err := checkLock(name, byLock[name]); err != nil {
			return err
		}
	}
	return nil
}

// checkTokens says which grant has a token that is not its own, or lower than one
// that was told of, for whatever lock, before it was asked for.
func checkTokens(ops []LockOp) error {
	var grants []*LockOp
	owners := make(map[uint64]string)
	for i := range ops {
		op := &ops[i]
		if !op.granted() {
			continue
		}
		mine := op.Lock + "\x00" + op.Owner
		if whose, given := owners[op.Token]; given && whose != mine {
			return fmt.Errorf("token %d is of %q and of %q", op.Token, whose, mine)
		} else if !given { // else it was told the same again
			owners[op.Token] = mine
			grants = append(grants, op)
		}
	}
	told := slices.Clone(grants)
	slices.SortFunc(told, func(a, b *LockOp) int { return cmp.Compare(a.Return, b.Return) })
	slices.SortFunc(grants, func(a, b *LockOp) int { return cmp.Compare(a.Call, b.Call) })
	var highest *LockOp
	for _, g := range grants {
		for ; len(told) > 0 && told[0].Return < g.Call; told = told[1:] {
			if highest == nil || told[0].Token > highest.Token {
				highest = told[0]
			}
		}
		if highest != nil && g.Token < highest.Token {
			return fmt.Errorf("%q: %s, after %q: %s", g.Lock, g, highest.Lock, highest)
		}
	}
	return nil
}

func checkLock(name string, ops []LockOp) error {
	steps := lockSteps(ops)
	history := make([]porcupine.Operation, len(steps))
	for i, st := range steps {
		history[i] = porcupine.Operation{ClientId: i, Input: st, Call: int64(st.Call), Return: int64(st.Return)}
	}
	model := lockModel.ToModel()
	if r := porcupine.CheckOperationsTimeout(model, history, checkPatience); r != porcupine.Ok {
		var told strings.Builder
		slices.SortFunc(steps, func(a, b lockStep) int { return cmp.Compare(a.Call, b.Call) })
		for i := range steps {
			fmt.Fprintf(&told, "\n%9v %9v  %s", steps[i].Call, steps[i].Return, &steps[i].LockOp)
		}
		return fmt.Errorf("the history of lock %q is %v:%s", name, r, told.String())
	}
	return nil
}

// String tells what was asked and what came of it.
func (op *LockOp) String() string {
	what := map[LockKind]string{LockGet: "get", LockFree: "free", LockLost: "lost"}[op.Kind]
	if op.Shared {
		what += " shared"
	}
	switch {
	case op.Refused:
		return fmt.Sprintf("%s by %s -> refused", what, op.Owner)
	case op.Unknown:
		return fmt.Sprintf("%s by %s of %d -> ?", what, op.Owner, op.Token)
	}
	return fmt.Sprintf("%s by %s -> %d", what, op.Owner, op.Token)
}
