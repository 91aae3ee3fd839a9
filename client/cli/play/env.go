package play

import (
	"os"
	"slices"
	"strings"
)

// plainEnv is the environment of children: without what the parent's says of
// encryption and passwords, which flags tell them where a cluster has any.
func plainEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "VIEWRING_TLS_") || strings.HasPrefix(e, "VIEWRING_PASSWORD_FILE=")
	})
}
