package sim

import (
	"strings"
	"testing"

	"viewring/tests/harness"
)

// TestTree plays worlds with clients of the tree of paths.
func TestTree(t *testing.T) {
	counts := make(map[string]int)
	Play(harness.EnvUint(t, "VIEWRING_SIM_SEED_FIRST", 1), harness.EnvUint(t, "VIEWRING_SIM_SEEDS", 16), Options{Walkers: 3}, func(r Result) bool {
		for k, n := range r.Counts {
			counts[k] += n
		}
		if r.Violation != "" {
			t.Error(r.Report())
		}
		return !t.Failed()
	})
	for _, what := range []string{"operations in the tree", "steps in the tree", "walkers died", "lists on the spot", "lists by the log"} {
		t.Logf("%-30s %8d", what, counts[what])
		if counts[what] == 0 {
			t.Errorf("no %s", what)
		}
	}
	t.Logf("%-30s %8d", "directories too hard to check", counts["directories too hard to check"])
}

// TestTreeMutant is TestMutant in worlds with clients of the tree.
func TestTreeMutant(t *testing.T) {
	seeds := harness.EnvUint(t, "VIEWRING_SIM_MUTANT", 0)
	if seeds == 0 {
		t.Skip("VIEWRING_SIM_MUTANT says how many seeds to play")
	}
	firstViolation(seeds, Options{Walkers: 3}, func(r Result) {
		first, _, _ := strings.Cut(r.Violation, "\n")
		t.Fatalf("seed %d: %s", r.Seed, first)
	})
}
