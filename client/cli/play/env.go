package play

import (
	"os"
	"slices"
	"strings"
)

// plainEnv is the environment of children: without the variables that stand for flags of the
// parent, which would be flags of the children. They are told all by their command lines.
func plainEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "VIEWRING_") })
}
