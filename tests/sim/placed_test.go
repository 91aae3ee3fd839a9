package sim

import (
	"testing"

	"viewring/tests/harness"
)

// TestPlaced plays worlds in which weights and zones change all the time: 24, or 400 with
// VIEWRING_SLOW=1.
func TestPlaced(t *testing.T) {
	few := uint64(24)
	if harness.IsSlow() {
		few = 400
	}
	seeds := harness.EnvUint(t, "VIEWRING_SIM_SEEDS", few)
	counts := make(map[string]int)
	Play(harness.EnvUint(t, "VIEWRING_SIM_SEED_FIRST", 1), seeds, Options{Placed: true}, func(r Result) bool {
		for k, n := range r.Counts {
			counts[k] += n
		}
		if r.Violation != "" {
			t.Error(r.Report())
		}
		return !t.Failed()
	})
	for _, what := range []string{"fault set weight", "fault set zone", "fault join", "fault leave", "fault crash", "operations"} {
		t.Logf("%-30s %8d", what, counts[what])
		if counts[what] < int(seeds/6) {
			t.Errorf("%s: only %d in %d seeds", what, counts[what], seeds)
		}
	}
}
