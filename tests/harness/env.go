package harness

import (
	"os"
	"strconv"
	"testing"
)

// EnvUint returns the number in an environment variable, or fallback where it is not
// set; a test with anything else in it fails.
func EnvUint(t testing.TB, name string, fallback uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return fallback
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
