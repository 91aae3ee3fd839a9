package sim

import (
	"testing"

	"viewring/tests/harness"
)

// TestReborn plays worlds in which an operator gives up partitions, which few of the
// default ones are.
func TestReborn(t *testing.T) {
	seeds := harness.EnvUint(t, "VIEWRING_SIM_SEEDS", 60)
	first := harness.EnvUint(t, "VIEWRING_SIM_SEED_FIRST", 1)
	born := 0
	Play(first, seeds, Options{Loss: true}, func(r Result) bool {
		born += r.Counts["partitions given up"]
		if r.Violation != "" {
			t.Error(r.Report())
		}
		return true
	})
	t.Logf("%d partitions were made anew in %d seeds", born, seeds)
	if born < int(seeds)/4 {
		t.Errorf("only %d partitions were made anew", born)
	}
}
