package bubble

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"viewring/tests/harness"
)

// TestSeeds plays two minutes of a cluster, of 6 with VIEWRING_SLOW=1.
// VIEWRING_BUBBLE_SEEDS says how many, VIEWRING_BUBBLE_SEED replays one, as far as
// goroutines allow.
func TestSeeds(t *testing.T) {
	few := uint64(1)
	if os.Getenv("VIEWRING_SLOW") != "" {
		few = 6
	}
	first, n := harness.EnvUint(t, "VIEWRING_BUBBLE_SEED_FIRST", 1), harness.EnvUint(t, "VIEWRING_BUBBLE_SEEDS", few)
	if one := harness.EnvUint(t, "VIEWRING_BUBBLE_SEED", 0); one != 0 {
		first, n = one, 1
	}
	counts, looks := make(map[string]int), make(map[string]int)
	for seed := first; seed < first+n; seed++ {
		fmt.Printf("bubble: seed %d\n", seed) // the last one before a panic is its seed
		began := time.Now()
		r := playInBubble(t, Options{Seed: seed, Span: 2 * time.Minute, Faults: 20, Keys: 2, Pace: 100 * time.Millisecond})
		for k, c := range r.Counts {
			counts[k] += c
		}
		for k, c := range r.Looks {
			looks[k] += c
		}
		v := r.judge(t, seed)
		t.Logf("seed %d: %.0f virtual seconds in %.1f s, %d operations, %d unknown, %d acked, %d lost, longest without a write %v",
			seed, r.Virtual.Seconds(), time.Since(began).Seconds(), v.Operations, v.Unknown, v.Acked, v.Lost, v.WriteGap)
	}
	t.Logf("faults %v, looks at disks %v", counts, looks)
}

// playInBubble plays a seed in a bubble of its own. What the pools of packages
// keep belongs to the bubble that made it, so they are emptied before.
func playInBubble(t *testing.T, opts Options) *Run {
	t.Helper()
	runtime.GC()
	runtime.GC() // what the first has only marked as old
	var r *Run
	synctest.Test(t, func(*testing.T) { r = Play(opts) })
	return r
}
