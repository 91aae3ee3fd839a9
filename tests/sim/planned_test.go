package sim

import (
	"strings"
	"testing"

	"viewring/tests/harness"
)

// TestPlanned plays worlds in which nothing goes wrong, and servers are restarted and
// replaced all the time: 12, or 200 with VIEWRING_SLOW=1.
func TestPlanned(t *testing.T) {
	few := uint64(12)
	if harness.IsSlow() {
		few = 200
	}
	seeds := harness.EnvUint(t, "VIEWRING_SIM_SEEDS", few)
	counts := make(map[string]int)
	Play(harness.EnvUint(t, "VIEWRING_SIM_SEED_FIRST", 1), seeds, Options{Planned: true}, func(r Result) bool {
		for k, n := range r.Counts {
			counts[k] += n
		}
		if r.Violation != "" {
			t.Error(r.Report())
		}
		return !t.Failed()
	})
	for _, what := range []string{"drained servers ended", "answered as a backup", "operations", "fault join", "fault leave", "fault slow disk", "fault slow link"} {
		t.Logf("%-30s %8d", what, counts[what])
		if counts[what] < int(seeds/6) {
			t.Errorf("%s: only %d in %d seeds", what, counts[what], seeds)
		}
	}
}

// TestPlannedMutant is TestMutant in worlds in which nothing goes wrong.
func TestPlannedMutant(t *testing.T) {
	seeds := harness.EnvUint(t, "VIEWRING_SIM_MUTANT", 0)
	if seeds == 0 {
		t.Skip("VIEWRING_SIM_MUTANT says how many seeds to play")
	}
	firstViolation(seeds, Options{Planned: true}, func(r Result) {
		first, _, _ := strings.Cut(r.Violation, "\n")
		t.Fatalf("seed %d: %s", r.Seed, first)
	})
}
