package faults

import (
	"os"
	"testing"

	"viewring/tests/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
