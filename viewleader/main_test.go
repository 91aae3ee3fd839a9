package viewleader

import (
	"os"
	"testing"

	"viewring/tests/harness"
)

func TestMain(m *testing.M) {
	harness.AtOnce(8) // they mostly wait
	os.Exit(m.Run())
}
