package sim

import (
	"testing"

	"viewring/tests/harness"
)

// TestRecovery plays worlds in which the view leader loses its data.
func TestRecovery(t *testing.T) { playOften(t, Options{Ruin: true}, "view leader recovered", 2) }

// TestPlantedRecoveryBugs recovers the view leader wrongly, in one way at a time: the
// checkers must notice within the given number of seeds.
func TestPlantedRecoveryBugs(t *testing.T) {
	seeds := harness.EnvUint(t, "VIEWRING_SIM_BUG_SEEDS", 600)
	for _, b := range []struct {
		name string
		bug  RecoveryBug
		rare bool // caught after dozens of seeds only
	}{
		{"some have not reported", RecoverEarly, false},
		{"an older view", RecoverOlder, false},
		{"each folder knows its start", RecoverTrusting, true},
	} {
		t.Run(b.name, func(t *testing.T) {
			if b.rare {
				rare(t)
			}
			mustCatch(t, seeds, Options{Ruin: true, Recovery: b.bug})
		})
	}
}
