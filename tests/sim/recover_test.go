package sim

import (
	"strings"
	"testing"

	"viewring/tests/harness"
)

// TestRecovery plays worlds in which the view leader loses its data, which three of
// ten of the default ones are.
func TestRecovery(t *testing.T) {
	seeds := harness.EnvUint(t, "VIEWRING_SIM_SEEDS", 60)
	first := harness.EnvUint(t, "VIEWRING_SIM_SEED_FIRST", 1)
	recovered := 0
	Play(first, seeds, Options{Ruin: true}, func(r Result) bool {
		recovered += r.Counts["view leader recovered"]
		if r.Violation != "" {
			t.Error(r.Report())
		}
		return true
	})
	t.Logf("recovered %d times in %d seeds", recovered, seeds)
	if recovered < int(seeds)/2 {
		t.Errorf("recovered only %d times", recovered)
	}
}

// TestPlantedRecoveryBugs recovers the view leader wrongly, in one way at a time: the
// checkers must notice within the given number of seeds.
func TestPlantedRecoveryBugs(t *testing.T) {
	seeds := harness.EnvUint(t, "VIEWRING_SIM_BUG_SEEDS", 600)
	for _, b := range []struct {
		name string
		bug  RecoveryBug
	}{
		{"some have not reported", RecoverEarly},
		{"an older view", RecoverOlder},
		{"each folder knows its start", RecoverTrusting},
	} {
		t.Run(b.name, func(t *testing.T) {
			caught := false
			Play(1, seeds, Options{Ruin: true, Recovery: b.bug}, func(r Result) bool {
				if caught = r.Violation != ""; caught {
					first, _, _ := strings.Cut(r.Violation, "\n")
					t.Logf("caught by seed %d: %s", r.Seed, first)
				}
				return !caught
			})
			if !caught {
				t.Errorf("not caught within %d seeds", seeds)
			}
		})
	}
}
