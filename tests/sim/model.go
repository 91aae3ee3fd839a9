package sim

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"

	"viewring/internal/wire"
	"viewring/server/replica"
)

// input and output are what the linearizability checker sees.
type input struct {
	op      replica.OpCode // 0: a read
	cond    replica.Cond
	key     string
	value   string
	delta   int64
	version replica.Version // CondVersion
	expiry  int64
	ttl     int64  // in place of expiry: from when the primary takes the request up
	keep    bool   // KeepExpiry
	token   uint64 // of the lock that its client thinks it holds; 0: of none

	checks []keyCheck // of a batch
	writes []keyWrite

	step *wire.TreeRequest // in the tree of paths; nil: none
}

type output struct {
	status replica.Status // 0: never answered
	value  string
	ver    replica.Version
	number int64
	expiry int64
}

// record is one operation of the history.
type record struct {
	client     int
	number     uint64
	born       int64 // of its id, by the client's clock at the first try
	in         input
	out        output
	call, done time.Duration // done is far away when the outcome is unknown
	refused    bool          // its client was told for certain that it did nothing
}

const never = 24 * time.Hour

// keyState is one key as the history tells it. What nobody answered wrote a
// version that nobody knows: then ver is a bound that it exceeds.
type keyState struct {
	found  bool
	value  string
	ver    replica.Version
	sure   bool // ver is exactly the version
	expiry span
}

// span is when a key expires: in between, where only the primary knew the time
// from which it is to live on. Zero: never.
type span struct{ from, to int64 }

func at(t int64) span { return span{t, t} }

func (s span) holds(t int64) bool { return s.from <= t && t <= s.to }

// times are what the checker knows of the clocks: a key may be gone from when any
// server's clock had passed its expiry, and must be at the end.
type times interface {
	mayExpire(expiry int64, by time.Duration) bool
	mustExpire(expiry int64, since time.Duration) bool
	expiryOf(r *record) span // that an operation sets
}

// step returns the states that an operation may leave behind, none when its
// answer cannot be.
func step(t times, s keyState, r *record, valueMax int) []keyState {
	gone := s.found && s.expiry != span{} && t.mayExpire(s.expiry.from, r.done)
	var next []keyState
	if !(s.found && s.expiry != span{} && t.mustExpire(s.expiry.to, r.call)) {
		next = stepAlive(t, s, r, valueMax)
	}
	if gone {
		for _, n := range stepAlive(t, keyState{ver: s.ver, sure: s.sure}, r, valueMax) {
			if !slices.Contains(next, n) {
				next = append(next, n)
			}
		}
	}
	return next
}

// stepAlive is step for a key that does not expire.
func stepAlive(t times, s keyState, r *record, valueMax int) []keyState {
	in, out := &r.in, &r.out
	switch {
	case in.op == 0:
		return stepRead(s, out)
	case out.status == replica.StatusFenced:
		return []keyState{s}
	case in.token != 0 && out.status == 0:
		return append(stepDone(t, s, r, valueMax), s) // it may have been refused
	}
	return stepDone(t, s, r, valueMax)
}

// stepDone is stepAlive for a mutation that no fence refused.
func stepDone(t times, s keyState, r *record, valueMax int) []keyState {
	in, out := &r.in, &r.out
	if in.op == replica.OpSet && out.status == replica.StatusTooLarge && len(in.value) > valueMax {
		return []keyState{s} // whatever is there, it is
	}
	if holds := condHolds(s, in); holds < 0 || holds == 0 && out.status == 0 {
		// It did nothing, or nobody knows whether its condition held.
		same := []keyState{s}
		if out.status == replica.StatusCondFailed {
			return s.seen(s.found, out.ver)
		}
		if out.status != 0 {
			return nil
		}
		if holds == 0 {
			return append(same, effect(t, s, r, valueMax)...)
		}
		return same
	}
	if out.status == replica.StatusCondFailed {
		if in.cond == replica.CondVersion && !s.sure && out.ver != in.version {
			return s.seen(s.found, out.ver)
		}
		return nil
	}
	return effect(t, s, r, valueMax)
}

// condHolds says whether an operation's condition holds: 1 yes, -1 no, 0 it
// depends on a version that nobody knows.
func condHolds(s keyState, in *input) int {
	switch {
	case in.cond == replica.CondAbsent && s.found, in.cond == replica.CondPresent && !s.found:
		return -1
	case in.cond != replica.CondVersion:
		return 1
	case !s.found:
		return yes(in.version.IsZero())
	case s.sure:
		return yes(in.version == s.ver)
	case in.version.Compare(s.ver) <= 0:
		return -1
	}
	return 0
}

func yes(b bool) int {
	if b {
		return 1
	}
	return -1
}

// seen is s after somebody was shown the version of a key that is there, or zero
// for one that is not.
func (s keyState) seen(found bool, v replica.Version) []keyState {
	switch {
	case !found:
		if !v.IsZero() {
			return nil
		}
		return []keyState{s}
	case s.sure && v != s.ver || !s.sure && v.Compare(s.ver) <= 0:
		return nil
	}
	s.ver, s.sure = v, true
	return []keyState{s}
}

func stepRead(s keyState, out *output) []keyState {
	if out.status == replica.StatusNotFound {
		if s.found {
			return nil
		}
		return []keyState{s}
	}
	if !s.found || out.value != s.value || !s.expiry.holds(out.expiry) {
		return nil
	}
	s.expiry = at(out.expiry)
	return s.seen(true, out.ver)
}

// effect is what a mutation does whose condition holds.
func effect(t times, s keyState, r *record, valueMax int) []keyState {
	in, out := &r.in, &r.out
	next, number, want := s, int64(0), replica.StatusOK
	switch in.op {
	case replica.OpSet:
		next = keyState{found: true, value: in.value, expiry: t.expiryOf(r)}
		if in.keep {
			next.expiry = s.expiry
		}
	case replica.OpAppend:
		next.found, next.value = true, s.value+in.value
		number = int64(len(next.value))
	case replica.OpDelete:
		next = keyState{}
		if !s.found {
			want = replica.StatusNotFound
		}
	case replica.OpIncr:
		n, err := int64(0), error(nil)
		if s.found {
			n, err = strconv.ParseInt(s.value, 10, 64)
		}
		if err != nil || in.delta > 0 && n > math.MaxInt64-in.delta {
			want = replica.StatusNotInteger
			break
		}
		number = n + in.delta
		next.found, next.value = true, strconv.FormatInt(number, 10)
	case replica.OpExpire:
		switch {
		case !s.found:
			want = replica.StatusNotFound
		case in.expiry == 0 && in.ttl == 0 && s.expiry == span{}:
			return unchanged(s, out, replica.StatusOK, true)
		default:
			next.expiry, number = t.expiryOf(r), 1
		}
	}
	if len(next.value) > valueMax && (in.op == replica.OpSet || in.op == replica.OpAppend) {
		want = replica.StatusTooLarge
	}
	if want != replica.StatusOK {
		return unchanged(s, out, want, want == replica.StatusNotInteger)
	}
	switch {
	case out.status == 0:
		next.ver, next.sure = s.ver, false
		return []keyState{next}
	case out.status != replica.StatusOK || out.number != number || out.ver.Compare(s.ver) <= 0:
		return nil
	}
	next.ver, next.sure = out.ver, true
	return []keyState{next}
}

// unchanged is s after an operation that changes nothing and must answer want;
// shown says that the answer has the present version.
func unchanged(s keyState, out *output, want replica.Status, shown bool) []keyState {
	switch {
	case out.status == 0:
		return []keyState{s}
	case out.status != want || out.number != 0:
		return nil
	case shown:
		return s.seen(s.found, out.ver)
	}
	return []keyState{s}
}

func hashState(state any) uint64 {
	s := state.(keyState)
	h := s.ver.Seq ^ s.ver.Term<<40 ^ uint64(s.expiry.from)<<20 ^ uint64(len(s.value))<<32
	if s.found {
		h = ^h
	}
	return h * 0x9e3779b97f4a7c15
}

func describe(in, _ any) string { return fmt.Sprintf("%+v", in) }

// model is the checker's idea of one key; forks says that one state is not enough.
func (w *world) model(forks bool) porcupine.Model {
	if forks {
		m := porcupine.NondeterministicModel{
			Init: func() []any { return []any{keyState{}} },
			Step: func(state, in, _ any) (next []any) {
				for _, s := range step(w, state.(keyState), in.(*record), w.valueMax) {
					next = append(next, s)
				}
				return next
			},
			Hash:              hashState,
			DescribeOperation: describe,
		}
		return m.ToModel()
	}
	return porcupine.Model{
		Init: func() any { return keyState{} },
		Step: func(state, in, _ any) (bool, any) {
			next := stepAlive(w, state.(keyState), in.(*record), w.valueMax)
			if len(next) == 0 {
				return false, state
			}
			return true, next[0]
		},
		Hash:              hashState,
		DescribeOperation: describe,
	}
}

// checkHistory looks for an order of the operations that explains every answer.
func (w *world) checkHistory() string {
	byKey, forks := make(map[string][]porcupine.Operation), make(map[string]bool)
	for _, r := range w.history {
		if name := (requestName{byte(r.client), r.number}); r.refused && w.sequenced[name] {
			return fmt.Sprintf("client %d number %d was told that nothing was done, its entry is in a log", name.client, name.number)
		}
		if r.refused || r.in.step != nil {
			continue
		}
		if r.done == never && (r.in.op == 0 || !w.sequenced[requestName{byte(r.client), r.number}]) {
			continue // a read nobody saw says nothing; what was never in a log did nothing
		}
		if r.done == never && (r.in.cond == replica.CondVersion || r.in.token != 0) {
			forks[r.in.key] = true // nobody knows whether it did something
		}
		name := historyOf(r.in.key)
		byKey[name] = append(byKey[name], porcupine.Operation{ClientId: r.client, Input: r, Call: int64(r.call), Return: int64(r.done)})
	}
	for _, key := range hotKeys {
		model := w.model(expires(key) || forks[key])
		if inPair(key) {
			model = w.pairModel()
		}
		switch porcupine.CheckOperationsTimeout(model, byKey[key], 20*time.Second) {
		case porcupine.Illegal:
			return fmt.Sprintf("history of key %s is not linearizable", key)
		case porcupine.Unknown:
			w.count("histories too hard to check")
		}
	}
	return ""
}
