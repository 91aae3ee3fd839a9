package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
)

// listSorted is how many lines a list has at most that is printed in order of paths.
const listSorted = 1000

// listing prints a list as it comes: with --json as one object.
type listing[T any] struct {
	a      *app
	head   string  // what is listed, as a field of the object
	field  string  // of the object, that has the list
	whole  bool    // all are sorted
	teller *teller // may be nil
	order  func(x, y *T) int
	fields func(*T) map[string]any // of one, with --json
	one    func(*T)                // prints a line
	count  int
}

// print prints the list. The first are kept until it is known whether there are more than are
// sorted.
func (l *listing[T]) print(items iter.Seq2[T, error]) error {
	first, sorted := make([]T, 0, listSorted), true
	flush := func() {
		slices.SortFunc(first, func(x, y T) int { return l.order(&x, &y) })
		for i := range first {
			l.next(&first[i])
		}
		first, sorted = nil, false
	}
	began := false
	for it, err := range items {
		if err != nil {
			if !began && len(first) > 0 { // what is known is told
				began = true
				l.begin()
				flush()
			}
			if began && l.a.flags.json { // what was printed is no object without its end
				return silentJSON(l.a, err)
			}
			return err
		}
		if sorted && (l.whole || len(first) < listSorted) {
			first = append(first, it)
			continue
		}
		if sorted {
			began = true
			l.begin()
			flush()
		}
		l.next(&it)
	}
	if !began {
		l.begin()
		flush()
	}
	if l.a.flags.json {
		l.a.printf("]}\n")
	}
	return nil
}

// silentJSON ends an object that was begun with the error that ended it.
func silentJSON(a *app, err error) error {
	code := a.exitCode(context.Background(), err)
	text, _ := json.Marshal(err.Error()) // a string
	a.printf("],\"error\":%s,\"exit\":%d}\n", text, code)
	a.tell("%s %s\n", a.paint(a.env.Stderr, red, "viewring:"), err)
	return silentExit{code}
}

// jsonField is a field of an object, whose value is text or bytes.
func jsonField[V string | []byte](name string, value V) string {
	text, _ := json.Marshal(value) // it can be
	return fmt.Sprintf("%q:%s", name, text)
}

func (l *listing[T]) begin() {
	if l.a.flags.json {
		l.a.printf("{\"version\":%d,%s,\"%s\":[", jsonVersion, l.head, l.field)
	}
}

func (l *listing[T]) next(it *T) {
	if l.a.flags.json {
		if l.count > 0 {
			l.a.printf(",")
		}
		text, _ := json.Marshal(l.fields(it)) // strings, numbers and such
		l.a.printf("%s", text)
	} else {
		l.one(it)
	}
	l.count++
	if l.teller != nil {
		l.teller.tell(l.count)
	}
}
