package sim

import (
	"os"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// TestPlantedBugs breaks a side of a session's rule, which is the simulation's own
// code, in one way at a time: the checkers, which know nothing of it, must notice within
// the given number of seeds. How the core and the roster are broken is in
// tests/mutants/catalogue.
func TestPlantedBugs(t *testing.T) {
	seeds := harness.EnvUint(t, "VIEWRING_SIM_BUG_SEEDS", 5000)
	for _, b := range []struct {
		name string
		rule sessionRule
		rare bool // caught after hundreds of seeds, or thousands
	}{
		{"a new head counts silence from before", bugNewHeadHasty, false},
		{"a session counts from its answers", bugHeardWhenAnswered, true},
		{"who asks again is taken out of line", bugPlaceTaken, true},
	} {
		t.Run(b.name, func(t *testing.T) {
			if b.rare {
				rare(t)
			}
			mustCatch(t, seeds, Options{Rule: b.rule})
		})
	}
}

// rare skips what takes hundreds of seeds to catch, unless that is wanted.
func rare(t *testing.T) {
	t.Helper()
	if os.Getenv("VIEWRING_SIM_RARE") == "" {
		t.Skip("takes minutes: VIEWRING_SIM_RARE=1 plays it")
	}
}

// mustCatch plays worlds with a planted bug until the checkers notice.
func mustCatch(t *testing.T, seeds uint64, opt Options) {
	t.Helper()
	if !firstViolation(seeds, opt, func(r Result) {
		first, _, _ := strings.Cut(r.Violation, "\n")
		t.Logf("caught by seed %d: %s", r.Seed, first)
	}) {
		t.Errorf("not caught within %d seeds", seeds)
	}
}

// TestMutant is what mutants of tests/mutants are played by: it plays the seeds from 1
// on, as many as VIEWRING_SIM_MUTANT says, and ends at the first that breaks a rule.
// Without a mutant that is what TestSeeds does.
func TestMutant(t *testing.T) {
	seeds := harness.EnvUint(t, "VIEWRING_SIM_MUTANT", 0)
	if seeds == 0 {
		t.Skip("VIEWRING_SIM_MUTANT says how many seeds to play")
	}
	firstViolation(seeds, Options{}, func(r Result) {
		first, _, _ := strings.Cut(r.Violation, "\n")
		t.Fatalf("seed %d: %s", r.Seed, first)
	})
}

// firstViolation plays seeds until one breaks a rule, and tells of it; it reports
// whether one does.
func firstViolation(seeds uint64, opt Options, tell func(r Result)) (found bool) {
	var broken Result
	Play(1, seeds, opt, func(r Result) bool {
		if found = r.Violation != ""; found {
			broken = r
		}
		return !found
	})
	if found {
		tell(broken)
	}
	return found
}
