package play

import (
	"os"
	"slices"
	"strings"
)

// plainEnv is the environment of children: without the variables that stand for flags of the
// parent, which would be flags of the children. They are told all by their command lines. And
// they are no units of the service manager that may have started the parent.
func plainEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "VIEWRING_") || strings.HasPrefix(e, "NOTIFY_SOCKET=")
	})
}
