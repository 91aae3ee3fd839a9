package sim

import (
	"testing"
	"time"

	"viewring/tests/harness"
)

// TestLocks plays worlds with 50 clients of locks, 10,000 operations between them.
func TestLocks(t *testing.T) {
	const wanted = 10_000
	began := time.Now()
	counts := make(map[string]int)
	seeds := 0
	Play(harness.EnvUint(t, "VIEWRING_SIM_SEED_FIRST", 1), harness.EnvUint(t, "VIEWRING_SIM_SEEDS", 8), Options{Lockers: 50}, func(r Result) bool {
		seeds++
		for k, n := range r.Counts {
			counts[k] += n
		}
		if r.Violation != "" {
			t.Error(r.Report())
		}
		return true
	})
	ops := counts["lock operations"]
	t.Logf("%d lock operations by 50 clients in %d seeds, %v; porcupine: ok: %v", ops, seeds, time.Since(began).Round(time.Millisecond), !t.Failed())
	for _, what := range []string{"fault lock client: crash", "fault lock client: pause", "fault lock client: cut off", "fault view leader fails over",
		"fault view leader out", "lock get: done", "lock session expire: done", "lock deadlock refused", "lock deadlock joined", "lock readers together"} {
		t.Logf("%-40s %8d", what, counts[what])
	}
	if ops < wanted {
		t.Errorf("only %d operations", ops)
	}
}
