package sum

import (
	"os"
	"testing"
)

func TestOf(t *testing.T) {
	t.Run("two and three", func(t *testing.T) {
		if n := Of(2, 3); n != 5 {
			t.Errorf("2 + 3 = %d", n)
		}
	})
}

func TestZero(t *testing.T) {
	if Of(0, 0) != 0 {
		t.Error("0 + 0 is not 0")
	}
}

func TestWanted(t *testing.T) {
	if os.Getenv("VIEWRING_WANTED") == "" {
		t.Skip("not wanted")
	}
	TestOf(t)
}

func TestRed(t *testing.T) { t.Error("always") }
