package outcome

import (
	"fmt"
	"testing"
)

var kindNames = map[Kind]string{Read: "read", Repeatable: "repeatable", Single: "single"}

var tryNames = map[Try]string{NotSent: "not sent", Silent: "silent", Unsure: "unsure", Declined: "declined",
	AtLimit: "at limit", Refused: "refused", Answered: "answered"}

var verdictNames = map[Verdict]string{Retry: "retry", Answer: "answer", Refuse: "refuse", Unknown: "unknown"}

// table is every combination: the kind, whether an earlier try may have taken effect,
// what the last try came to; the verdict on it, whether the operation may have taken
// effect after that, and the verdict if no further try is made.
var table = []struct {
	kind    Kind
	before  bool
	last    Try
	verdict Verdict
	after   bool
	end     Verdict
}{
	{Read, false, NotSent, Retry, false, Refuse},
	{Read, false, Silent, Retry, false, Refuse},
	{Read, false, Unsure, Retry, false, Refuse},
	{Read, false, Declined, Retry, false, Refuse},
	{Read, false, AtLimit, Refuse, false, Refuse},
	{Read, false, Refused, Refuse, false, Refuse},
	{Read, false, Answered, Answer, false, Refuse},

	{Repeatable, false, NotSent, Retry, false, Refuse},
	{Repeatable, false, Silent, Retry, true, Unknown},
	{Repeatable, false, Unsure, Retry, true, Unknown},
	{Repeatable, false, Declined, Retry, false, Refuse},
	{Repeatable, false, AtLimit, Refuse, false, Refuse},
	{Repeatable, false, Refused, Refuse, false, Refuse},
	{Repeatable, false, Answered, Answer, false, Refuse},

	{Repeatable, true, NotSent, Retry, true, Unknown},
	{Repeatable, true, Silent, Retry, true, Unknown},
	{Repeatable, true, Unsure, Retry, true, Unknown},
	{Repeatable, true, Declined, Retry, true, Unknown},
	{Repeatable, true, AtLimit, Retry, true, Unknown},
	{Repeatable, true, Refused, Unknown, true, Unknown},
	{Repeatable, true, Answered, Answer, true, Unknown},

	{Single, false, NotSent, Retry, false, Refuse},
	{Single, false, Silent, Unknown, true, Unknown},
	{Single, false, Unsure, Unknown, true, Unknown},
	{Single, false, Declined, Retry, false, Refuse},
	{Single, false, AtLimit, Refuse, false, Refuse},
	{Single, false, Refused, Refuse, false, Refuse},
	{Single, false, Answered, Answer, false, Refuse},
}

// TestTable has a row for each combination that can be. A Read never may have taken
// effect, and a Single is over once it may have.
func TestTable(t *testing.T) {
	type row struct {
		kind   Kind
		before bool
		last   Try
	}
	seen := make(map[row]bool)
	for _, tt := range table {
		seen[row{tt.kind, tt.before, tt.last}] = true
		name := fmt.Sprintf("%s, maybe %v, %s", kindNames[tt.kind], tt.before, tryNames[tt.last])
		tries := Of(tt.kind)
		if tt.before {
			tries.Next(Silent)
		}
		if tries.Maybe() != tt.before {
			t.Fatalf("%s: can't be reached", name)
		}
		if v := tries.Next(tt.last); v != tt.verdict || tries.Maybe() != tt.after || tries.End() != tt.end {
			t.Errorf("%s: %s, maybe %v, at the end %s; want %s, %v, %s", name, verdictNames[v], tries.Maybe(),
				verdictNames[tries.End()], verdictNames[tt.verdict], tt.after, verdictNames[tt.end])
		}
	}
	for k := range kindEnd {
		for last := range tryEnd {
			for _, before := range []bool{false, true} {
				if can := !before || k == Repeatable; seen[row{k, before, last}] != can {
					t.Errorf("%s, maybe %v, %s: in the table %v, want %v", kindNames[k], before, tryNames[last], !can, can)
				}
			}
		}
	}
}

// TestNothingIsForgotten plays every sequence of six tries: once one may have taken
// effect, nothing but an answer to the operation itself is definite.
func TestNothingIsForgotten(t *testing.T) {
	const length = 6
	total := 1
	for range length {
		total *= int(tryEnd)
	}
	for k := range kindEnd {
		for n := range total {
			tries, maybe := Of(k), false
			for i, rest := 0, n; i < length; i, rest = i+1, rest/int(tryEnd) {
				last := Try(rest % int(tryEnd))
				maybe = maybe || k != Read && (last == Silent || last == Unsure)
				v := tries.Next(last)
				if maybe && v == Refuse || v == Answer && last != Answered || maybe != tries.Maybe() || maybe == (tries.End() == Refuse) {
					t.Fatalf("%s, sequence %d, try %d (%s): %s, maybe %v", kindNames[k], n, i, tryNames[last], verdictNames[v], tries.Maybe())
				}
				if v != Retry {
					break
				}
			}
		}
	}
}
