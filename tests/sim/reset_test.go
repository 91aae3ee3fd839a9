package sim

import (
	"testing"

	"viewring/tests/harness"
)

// playOften plays worlds in which something happens that few of the default ones have,
// and wants to see it in one of every so many seeds.
func playOften(t *testing.T, opt Options, what string, every uint64) {
	t.Helper()
	few := uint64(24)
	if harness.IsSlow() {
		few = 100
	}
	seeds := harness.EnvUint(t, "VIEWRING_SIM_SEEDS", few)
	seen := 0
	Play(harness.EnvUint(t, "VIEWRING_SIM_SEED_FIRST", 1), seeds, opt, func(r Result) bool {
		seen += r.Counts[what]
		if r.Violation != "" {
			t.Error(r.Report())
		}
		return true
	})
	t.Logf("%s: %d in %d seeds", what, seen, seeds)
	if seen < int(seeds/every) {
		t.Errorf("%s: only %d in %d seeds", what, seen, seeds)
	}
}

// TestReset plays worlds in which an operator gives up partitions.
func TestReset(t *testing.T) { playOften(t, Options{Loss: true}, "partitions given up", 4) }
