package history

import (
	"fmt"
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
	Call    time.Duration // asked
	Return  time.Duration // answered; Never: not seen
}

// LockHistory is what all clients of locks saw. Any number of goroutines may add
// to it.
type LockHistory struct {
	mu  sync.Mutex
	ops []LockOp // guarded by mu
}

// Add adds what happened.
func (h *LockHistory) Add(op LockOp) {
	if op.Kind == LockLost || op.Unknown {
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

// Check looks for an order of the operations on each lock that explains every
// answer: one holder at a time, or several that share, each with a token that is
// higher than all before.
func (h *LockHistory) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	byLock := make(map[string][]porcupine.Operation)
	for i, op := range h.ops {
		byLock[op.Lock] = append(byLock[op.Lock], porcupine.Operation{ClientId: i, Input: op, Call: int64(op.Call), Return: int64(op.Return)})
	}
	for name, ops := range byLock {
		if r := porcupine.CheckOperationsTimeout(lockModel, ops, checkPatience); r != porcupine.Ok {
			var told strings.Builder
			slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
			for _, op := range ops {
				fmt.Fprintf(&told, "\n%9v %9v  %s", time.Duration(op.Call), time.Duration(op.Return), describeLock(op.Input.(LockOp)))
			}
			return fmt.Errorf("the history of lock %q is %v:%s", name, r, told.String())
		}
	}
	return nil
}

// lockState is a lock as the model has it.
type lockState struct {
	shared  bool
	holders string // " owner/token" of each, sorted
	token   uint64 // the highest
	unseen  bool   // somebody may hold it, and nobody saw the grant
}

func (s lockState) with(who string) lockState {
	all := append(strings.Fields(s.holders), who)
	slices.Sort(all)
	s.holders = strings.Join(all, " ")
	return s
}

func (s lockState) has(who string) bool { return slices.Contains(strings.Fields(s.holders), who) }

func (s lockState) without(who string) lockState {
	all := slices.DeleteFunc(strings.Fields(s.holders), func(w string) bool { return w == who })
	s.holders = strings.Join(all, " ")
	return s
}

var lockModel = porcupine.Model{
	Init: func() any { return lockState{} },
	Step: func(st, in, _ any) (bool, any) {
		s, op := st.(lockState), in.(LockOp)
		who := fmt.Sprintf("%s/%d", op.Owner, op.Token)
		switch {
		case op.Kind == LockGet && op.Unknown:
			s.unseen = true
			return true, s
		case op.Kind == LockLost || op.Unknown:
			return true, s.without(who)
		case op.Kind == LockGet && op.Refused:
			return s.holders != "" || s.unseen, s
		case op.Kind == LockGet && s.has(who):
			return s.shared == op.Shared, s // it had it before
		case op.Kind == LockGet:
			ok := op.Token > s.token && (s.holders == "" || s.shared && op.Shared)
			s.shared, s.token = op.Shared, op.Token
			return ok, s.with(who)
		case op.Refused:
			return !slices.ContainsFunc(strings.Fields(s.holders), func(w string) bool { return strings.HasPrefix(w, op.Owner+"/") }), s
		}
		return s.has(who), s.without(who)
	},
	DescribeOperation: func(in, _ any) string { return describeLock(in.(LockOp)) },
}

func describeLock(op LockOp) string {
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
