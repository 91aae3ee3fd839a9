package history

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// TestUnknownWrites: writes that nobody saw the effect of do not make a long history too
// hard to check, and hide no value that nobody wrote.
func TestUnknownWrites(t *testing.T) {
	at := opsOf("k")
	var ops []Op
	for i := range 400 {
		text := fmt.Sprint("v", i)
		ops = append(ops, at(Set, text, Output{Known: true, Done: true}, 20*i, 20*i+25))
		ops = append(ops, at(Get, "", Output{Known: true, Content: ContentOf(text)}, 20*i+26, 20*i+27))
		if i%50 == 1 {
			ops = append(ops, at(SetPresent, fmt.Sprint("lost", i), Output{}, 20*i+3, 0))
		}
	}
	if r := linearizable(ops, ""); r != porcupine.Ok {
		t.Errorf("%v", r)
	}
	told := at(Get, "", Output{Known: true, Content: ContentOf("lost1")}, 8002, 8003)
	if r := linearizable(append(ops, told), ""); r != porcupine.Ok {
		t.Errorf("one came late: %v", r)
	}
	nobodys := at(Get, "", Output{Known: true, Content: ContentOf("nobody's")}, 41, 42)
	if r := linearizable(append(ops[:10:10], nobodys), ""); r != porcupine.Illegal {
		t.Errorf("a value that nobody wrote: %v", r)
	}
}

// TestUnknownAppends: appends that the log does not have at the end never happened,
// however many; one that it has did.
func TestUnknownAppends(t *testing.T) {
	at := opsOf("log/0")
	value := ""
	var ops []Op
	for i := range 100 {
		text := fmt.Sprint(1000+i, ";")
		value += text
		ops = append(ops, at(Append, text, Output{Known: i != 7, Number: int64(len(value))}, 20*i, 20*i+15))
		ops = append(ops, at(Get, "", Output{Known: true, Content: ContentOf(value)}, 20*i+16, 20*i+17))
		if i%10 == 1 {
			ops = append(ops, at(Append, fmt.Sprint(2000+i, ";"), Output{}, 20*i+3, 0))
		}
	}
	if r := linearizable(ops, value); r != porcupine.Ok {
		t.Errorf("%v", r)
	}
	gone := at(Get, "", Output{Known: true, Content: ContentOf(value[:10])}, 401, 402)
	if r := linearizable(append(ops[:10:10], gone), value); r != porcupine.Illegal {
		t.Errorf("appends are gone: %v", r)
	}
}

// opsOf makes operations on a key.
func opsOf(key string) func(kind Kind, text string, out Output, from, to int) Op {
	return func(kind Kind, text string, out Output, from, to int) Op {
		op := Op{Client: from % 8, In: Input{Kind: kind, Key: key, Text: text}, Out: out, Call: time.Duration(from), Return: time.Duration(to)}
		if !out.Known {
			op.Return = Never
		}
		return op
	}
}
