package history

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// lockStep is an operation with what is known of the order of all on its lock, so
// that few orders are left to try.
type lockStep struct {
	LockOp
	before uint64 // LockGet: the token of the grant before this one; no other may come between
}

// lockSteps prepares the operations on one lock. Tokens grow, so grants come in their
// order; and what had no end that anybody saw ends where another's grant says that
// it must have.
func lockSteps(ops []LockOp) []lockStep {
	grants := grantsOf(ops)
	before := make(map[uint64]uint64, len(grants))
	last := uint64(0)
	for i := range grants {
		if i > 0 && grants[i].Token != grants[i-1].Token {
			last = grants[i-1].Token
		}
		before[grants[i].Token] = last
	}
	steps := make([]lockStep, 0, len(ops))
	for _, op := range ops {
		if op.Kind != LockGet && op.Return == Never && op.Token != 0 {
			op.Return = goneBy(&op, grants)
		}
		steps = append(steps, lockStep{op, before[op.Token]})
		if op.Kind == LockGet && op.Unknown { // and if it was granted, it is gone again at some time
			op.Kind, op.Token = LockLost, 0
			steps = append(steps, lockStep{LockOp: op})
		}
	}
	return steps
}

// grantsOf are the grants that were told of, by token.
func grantsOf(ops []LockOp) (grants []LockOp) {
	for i := range ops {
		if ops[i].granted() {
			grants = append(grants, ops[i])
		}
	}
	slices.SortFunc(grants, func(a, b LockOp) int { return cmp.Compare(a.Token, b.Token) })
	return grants
}

// goneBy is when somebody was told of a grant that no other may stand beside: of a
// later token than op's, which was held until then at most.
func goneBy(op *LockOp, grants []LockOp) (by time.Duration) {
	by = Never
	from, _ := slices.BinarySearchFunc(grants, op.Token+1, func(g LockOp, token uint64) int { return cmp.Compare(g.Token, token) })
	for i := range grants[from:] {
		if g := &grants[from+i]; !g.Shared || !op.Shared {
			by = min(by, g.Return)
		}
	}
	return max(by, op.Call)
}

// withoutIdle leaves out the questions that nobody saw answered and that were not
// granted: each grant has the next token, over all locks, so one that nobody saw
// leaves a gap among those that were told of meanwhile.
func withoutIdle(ops []LockOp) []LockOp {
	grants := slices.CompactFunc(grantsOf(ops), func(a, b LockOp) bool { return a.Token == b.Token })
	return slices.DeleteFunc(slices.Clone(ops), func(op LockOp) bool {
		return op.Kind == LockGet && op.Unknown && op.Return != Never && !gapped(grants, &op)
	})
}

// gapped reports whether a token is missing of those that op may have been given.
func gapped(grants []LockOp, op *LockOp) bool {
	from, to := uint64(0), uint64(0) // the highest that was told of before, the lowest that was asked for after
	for i := range grants {
		g := &grants[i]
		if g.Return < op.Call {
			from = g.Token
		}
		if g.Call > op.Return {
			to = g.Token
			break
		}
	}
	if to == 0 {
		return true // those after the last are missing
	}
	i, _ := slices.BinarySearchFunc(grants, from+1, func(g LockOp, token uint64) int { return cmp.Compare(g.Token, token) })
	j, _ := slices.BinarySearchFunc(grants, to, func(g LockOp, token uint64) int { return cmp.Compare(g.Token, token) })
	return uint64(j-i) < to-from-1
}

// lockState is a lock as the model has it.
type lockState struct {
	shared  bool
	holders string // " owner/token" of each, sorted; token 0: nobody was told
	gone    string // owners whose question, which nobody saw answered, came to nothing
	token   uint64 // the highest that was told
}

func holderOf(op *LockOp) string { return op.Owner + "/" + strconv.FormatUint(op.Token, 10) }

func has(list, who string) bool { return slices.Contains(strings.Fields(list), who) }

func with(list, who string) string {
	all := append(strings.Fields(list), who)
	slices.Sort(all)
	return strings.Join(all, " ")
}

func without(list, who string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(list), func(w string) bool { return w == who }), " ")
}

// lockModel says what a lock may do: be granted to one, or to several that share it,
// with tokens that grow; and be let go by who has it, or without its word once that
// may be.
var lockModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{lockState{}} },
	Step: func(st, in, _ any) []any {
		s, op := st.(lockState), in.(lockStep)
		switch op.Kind {
		case LockGet:
			return s.get(&op)
		case LockLost:
			return s.lost(&op)
		}
		return s.free(&op)
	},
	DescribeOperation: func(in, _ any) string { op := in.(lockStep); return op.String() },
}

// open reports whether somebody who wants the lock can have it.
func (s lockState) open(shared bool) bool { return s.holders == "" || s.shared && shared }

func (s lockState) get(op *lockStep) []any {
	who := holderOf(&op.LockOp)
	switch {
	case op.Unknown:
		no := s
		no.gone = with(s.gone, op.Owner)
		if !s.open(op.Shared) {
			return []any{no}
		}
		s.shared, s.holders = op.Shared, with(s.holders, op.Owner+"/0")
		return []any{no, s}
	case op.Refused:
		return only(s.holders != "", s)
	case has(s.holders, who):
		return only(s.shared == op.Shared, s) // it had it before
	}
	ok := s.token == op.before && op.Token > s.token && s.open(op.Shared)
	s.shared, s.token, s.holders = op.Shared, op.Token, with(s.holders, who)
	return only(ok, s)
}

// lost is what becomes of a lock without its holder's word, if it holds it yet.
func (s lockState) lost(op *lockStep) []any {
	who := holderOf(&op.LockOp)
	if op.Token == 0 && !has(s.holders, who) { // only after it was asked for
		ok := has(s.gone, op.Owner)
		s.gone = without(s.gone, op.Owner)
		return only(ok, s)
	}
	s.holders = without(s.holders, who)
	return []any{s}
}

func (s lockState) free(op *lockStep) []any {
	who := holderOf(&op.LockOp)
	switch {
	case op.Refused && !op.Any:
		return only(!has(s.holders, who), s) // its owner may have another grant by then
	case op.Refused:
		return only(!slices.ContainsFunc(strings.Fields(s.holders), func(w string) bool { return strings.HasPrefix(w, op.Owner+"/") }), s)
	}
	var freed []any
	for _, h := range strings.Fields(s.holders) {
		if h == who || op.Any && strings.HasPrefix(h, op.Owner+"/") {
			f := s
			f.holders = without(s.holders, h)
			if h == op.Owner+"/0" { // nothing is left to be lost
				f.gone = with(s.gone, op.Owner)
			}
			freed = append(freed, f)
		}
	}
	if op.Unknown {
		return append(freed, s)
	}
	return freed
}

func only(ok bool, s lockState) []any {
	if !ok {
		return nil
	}
	return []any{s}
}
