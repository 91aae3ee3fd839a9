package faults

import (
	"os"
	"runtime"
	"testing"

	"viewring/tests/harness"
)

func TestMain(m *testing.M) {
	harness.AtOnce(2 * runtime.GOMAXPROCS(0)) // they mostly wait
	os.Exit(harness.Main(m))
}
