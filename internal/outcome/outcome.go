// Package outcome has the rule that makes the answer to an operation from what its tries
// came to. All code that repeats operations uses it: the client library, its pipelines and
// with them the gateway, the view leader's client, and the clients of the simulation.
//
// A try that was sent and not answered may have taken effect, or may still do so. From
// then on only two answers are true: the one that servers give to the operation itself,
// whose repeats they know by its request id, and "unknown". That a later try was refused
// says nothing about the earlier one. Pure.
package outcome

import "fmt"

// Kind says what an operation may do, and whether it may be asked for again.
type Kind uint8

// The kinds of operations.
const (
	// Read changes nothing that anyone could miss: each try stands for itself.
	Read Kind = iota
	// Repeatable changes something and may be asked for again: servers know it by
	// its request id and answer what it came to, or doing it twice is doing it once.
	Repeatable
	// Single changes something and would be done twice: once a try of it may have
	// taken effect, nobody can be asked what came of it.
	Single
	kindEnd
)

// Try is what one try came to.
type Try uint8

// What a try may come to.
const (
	NotSent  Try = iota // nothing of it left this side: it did nothing
	Silent              // sent, and not answered: it may have taken effect, or may yet
	Unsure              // answered that it may or may not take effect
	Declined            // answered that it did nothing; another server, or a later try, may do it
	AtLimit             // refused at a limit that others fill, before it was looked at: it did nothing
	Refused             // answered that it did nothing, and that asking again is no use
	Answered            // answered with what the operation came to, be that good or bad
	tryEnd
)

// Verdict is what follows from the tries so far.
type Verdict uint8

// The verdicts.
const (
	Retry   Verdict = iota // nothing is known yet: ask again
	Answer                 // the last try's answer is the operation's
	Refuse                 // the operation did nothing and will not; the last try says why
	Unknown                // it may or may not have taken effect, or may yet
)

// Tries is what is known of an operation by its tries so far. The zero value is that
// of a Read; Of makes others. Not safe for concurrent use.
type Tries struct {
	kind  Kind
	maybe bool
}

// Of returns the state of an operation before its first try.
func Of(k Kind) Tries {
	if k >= kindEnd {
		panic(fmt.Sprintf("outcome: kind %d", k))
	}
	return Tries{kind: k}
}

// Maybe reports whether a try so far may have taken effect without an answer.
func (t *Tries) Maybe() bool { return t.maybe }

// Next notes what the last try came to, and returns what follows.
func (t *Tries) Next(last Try) Verdict {
	switch last {
	case NotSent, Declined:
		return Retry
	case Silent, Unsure:
		t.maybe = t.kind != Read
		if t.kind == Single {
			return Unknown
		}
		return Retry
	case AtLimit:
		if t.maybe { // the server may have capacity later, and knows what came of it
			return Retry
		}
		return Refuse
	case Refused:
		return t.End()
	case Answered:
		return Answer
	}
	panic(fmt.Sprintf("outcome: try %d", last))
}

// End is the verdict when there will be no further try: time is up, nobody is left to
// be asked, or asking again could do it at the wrong time. It is Unknown or Refuse.
func (t *Tries) End() Verdict {
	if t.maybe {
		return Unknown
	}
	return Refuse
}
