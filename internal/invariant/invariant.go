// Package invariant stops the process when something that the design calls
// impossible has happened: going on would risk the data.
package invariant

import "fmt"

// Violation is the panic value of a broken invariant. A simulation recovers it
// to report the invariant's name beside its seed.
type Violation struct {
	Name   string // for example "I4", or a rule's short name
	Detail string
}

func (v Violation) Error() string { return "invariant " + v.Name + " broken: " + v.Detail }

// Check panics with a Violation when ok is false. The arguments are formatted
// only then, but they are evaluated always: keep them cheap.
func Check(ok bool, name, format string, args ...any) {
	if !ok {
		panic(Violation{Name: name, Detail: fmt.Sprintf(format, args...)})
	}
}
