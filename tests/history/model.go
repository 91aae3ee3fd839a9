package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// Kind says what an operation does.
type Kind uint8

// The operations.
const (
	Get        Kind = iota
	Set             // Text becomes the value
	SetAbsent       // the same, if the key is absent
	SetPresent      // the same, if it is present
	SetSame         // the same, if its version is that of the value read before: Seen
	Append          // Text is added at the end
	Delete          //
	Incr            // adds 1 to a number
)

var kindNames = [...]string{"get", "set", "set if absent", "set if present", "set if same", "append", "delete", "incr"}

func (k Kind) String() string { return kindNames[k] }

// Content is a key's state: absent, or a value's length and hash. Texts are
// never written twice, so equal contents are the same write.
type Content struct {
	Found bool
	Size  int64
	Sum   uint64 // FNV-1a, which goes on where an append does
}

// Input is what a client asked for.
type Input struct {
	Kind Kind
	Key  string
	Text string
	Seen Content // SetSame
}

// Output is what it was told.
type Output struct {
	Known   bool    // false: the outcome is not known, it may still take effect
	Done    bool    // a condition held, or the key to delete was there
	Number  int64   // the new length of an append, the sum of an increment
	Content Content // of a get
}

const fnvStart, fnvPrime = 14695981039346656037, 1099511628211

func extend(sum uint64, text string) uint64 {
	for i := range len(text) {
		sum = (sum ^ uint64(text[i])) * fnvPrime
	}
	return sum
}

// ContentOf is the content of a value.
func ContentOf(value string) Content {
	return Content{Found: true, Size: int64(len(value)), Sum: extend(fnvStart, value)}
}

// state of a key. number counts along for keys that are only incremented.
type state struct {
	Content
	number int64
}

// next is what an operation that takes effect makes of a key, and whether its
// condition held.
func next(s state, in Input) (state, bool) {
	set := state{Content: ContentOf(in.Text)}
	switch in.Kind {
	case Set:
		return set, true
	case SetAbsent, SetPresent, SetSame:
		holds := s.Found == (in.Kind == SetPresent)
		if in.Kind == SetSame {
			holds = s.Content == in.Seen
		}
		if holds {
			return set, true
		}
		return s, false
	case Append:
		if !s.Found {
			return set, true
		}
		return state{Content: Content{Found: true, Size: s.Size + int64(len(in.Text)), Sum: extend(s.Sum, in.Text)}}, true
	case Delete:
		return state{}, s.Found
	case Incr:
		n := s.number + 1
		return state{Content: ContentOf(strconv.FormatInt(n, 10)), number: n}, true
	}
	return s, true
}

// agrees reports whether an answer fits the state that the operation made.
func agrees(s state, done bool, in Input, out Output) bool {
	switch {
	case !out.Known:
		return true
	case in.Kind == Get:
		return s.Content == out.Content
	case in.Kind == Append:
		return s.Size == out.Number
	case in.Kind == Incr:
		return s.number == out.Number
	}
	return done == out.Done
}

var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(st, in, out any) (bool, any) {
		i := in.(Input)
		s, done := next(st.(state), i)
		return agrees(s, done, i, out.(Output)), s
	},
	DescribeOperation: func(in, out any) string { return describe(in.(Input), out.(Output)) },
}

func describe(in Input, out Output) string {
	what := fmt.Sprintf("%v %s %.40q", in.Kind, in.Key, in.Text)
	if !out.Known {
		return what + " -> ?"
	}
	return fmt.Sprintf("%s -> %v %d %+v", what, out.Done, out.Number, out.Content)
}

// checkPatience bounds the search for an order of one key's operations.
const checkPatience = time.Minute

// linearizable looks for an order of the operations on one key that explains every
// answer; final is the value that was read back at the end, as far as that is known.
// What nobody saw the effect of may have happened after everything else, so an order
// without it will do; only where there is none, its place is looked for.
func linearizable(ops []Op, final string) porcupine.CheckResult {
	if seen := withoutUnseen(ops, final); len(seen) < len(ops) && ordered(seen) == porcupine.Ok {
		return porcupine.Ok
	}
	return ordered(ops)
}

// withoutUnseen leaves out the writes of unknown outcome whose value no read told,
// and the appends of unknown outcome to a log that does not have them at the end.
func withoutUnseen(ops []Op, final string) []Op {
	told, kept := make(map[Content]bool), make(map[string]bool)
	for _, o := range ops {
		if o.In.Kind == Get && o.Out.Known {
			told[o.Out.Content] = true
		}
	}
	for text := range strings.SplitAfterSeq(final, ";") {
		kept[text] = true
	}
	return slices.DeleteFunc(slices.Clone(ops), func(o Op) bool {
		if o.Out.Known || o.Return != Never {
			return false
		}
		if o.In.Kind == Append && strings.HasPrefix(o.In.Key, logPrefix) {
			return !kept[o.In.Text]
		}
		return o.In.Kind.sets() && !told[ContentOf(o.In.Text)]
	})
}

// sets reports whether an operation that takes effect replaces the value by its text.
func (k Kind) sets() bool { return k >= Set && k <= SetSame }

func ordered(ops []Op) porcupine.CheckResult {
	events := make([]porcupine.Operation, 0, len(ops))
	for _, o := range ops {
		if o.In.Kind == Get && !o.Out.Known {
			continue // a read nobody saw says nothing
		}
		events = append(events, porcupine.Operation{ClientId: o.Client, Input: o.In, Output: o.Out, Call: int64(o.Call), Return: int64(o.Return)})
	}
	return porcupine.CheckOperationsTimeout(model, events, checkPatience)
}
