package sim

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"viewring/server/replica"
)

func envInt(t *testing.T, name string, fallback uint64) uint64 {
	s := os.Getenv(name)
	if s == "" {
		return fallback
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestSeeds plays seeds with no bug planted: 200, or 1,000 with VIEWRING_SLOW=1.
// VIEWRING_SIM_SEEDS says how many,
// VIEWRING_SIM_SEED_FIRST where to begin; VIEWRING_SIM_SEED replays one, with
// VIEWRING_SIM_TRACE=1 in full.
func TestSeeds(t *testing.T) {
	few := uint64(200)
	if os.Getenv("VIEWRING_SLOW") != "" {
		few = 1000
	}
	first, n := envInt(t, "VIEWRING_SIM_SEED_FIRST", 1), envInt(t, "VIEWRING_SIM_SEEDS", few)
	if one := envInt(t, "VIEWRING_SIM_SEED", 0); one != 0 {
		first, n = one, 1
	}
	trace := os.Getenv("VIEWRING_SIM_TRACE") != ""
	counts, bad := make(map[string]int), 0
	for seed := first; seed < first+n; seed++ {
		r := Run(seed, Options{Trace: trace})
		for k, v := range r.Counts {
			counts[k] += v
		}
		if trace {
			fmt.Println(strings.Join(r.Log, "\n"))
		}
		if r.Violation != "" {
			t.Errorf("seed %d: %s", seed, r.Violation)
			if bad++; bad == 10 {
				t.Fatal("that is enough")
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%-28s %d", k, counts[k])
	}
}

// TestSameSeedSameRun is what makes a seed worth reporting.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := Run(seed, Options{}), Run(seed, Options{})
		if a.Hash != b.Hash || a.Operations != b.Operations {
			t.Errorf("seed %d: two runs differ: %x with %d operations, %x with %d", seed, a.Hash, a.Operations, b.Hash, b.Operations)
		}
	}
}

// TestPlantedBugs breaks the core in one way at a time: the checkers, which
// know nothing of it, must notice within the given number of seeds.
func TestPlantedBugs(t *testing.T) {
	for name, bug := range plantedBugs {
		t.Run(name, func(t *testing.T) {
			seeds := envInt(t, "VIEWRING_SIM_BUG_SEEDS", 60)
			for seed := uint64(1); seed <= seeds; seed++ {
				if r := Run(seed, Options{Bugs: bug}); r.Violation != "" {
					t.Logf("caught by seed %d: %s", seed, r.Violation)
					return
				}
			}
			t.Errorf("not caught within %d seeds", seeds)
		})
	}
}

var plantedBugs = map[string]replica.Bugs{
	"acknowledge before the sync":            replica.BugAckBeforeSync,
	"commit without one backup":              replica.BugCommitWithoutOne,
	"no second look at the lease":            replica.BugNoSecondLeaseCheck,
	"promises not waited out":                replica.BugNoHolds,
	"other terms accepted":                   replica.BugAcceptLowerTerm,
	"request record not written":             replica.BugNoRecord,
	"a page overwrites newer":                replica.BugPageOverwrites,
	"tombstone forgotten":                    replica.BugTombstoneForgotten,
	"new primary asks nobody":                replica.BugSkipReconcile,
	"handoff to learners that are not ready": replica.BugHandoffEarly,
	"commits not joint with a proposal":      replica.BugCommitNotJoint,
	"uncommitted values read":                replica.BugDirtyRead,
	"strays purged unasked":                  replica.BugPurgeEarly,
	"suffix without deletes":                 replica.BugSuffixNoDeletes,
	"suffix without rows":                    replica.BugSuffixNoRows,
	"shorter replicas not brought level":     replica.BugNotLevelled,
	"tail below min-copies committed":        replica.BugTailCommitted,
	"no wait after a start":                  replica.BugNoStartWait,
	"lease below min-copies":                 replica.BugLeaseBelowMin,
	"own divergent keys kept":                replica.BugOwnKeysKept,
	"pages settle too early":                 replica.BugNeedIgnored,
	"ready before the sync":                  replica.BugReadyBeforeSync,
	"unfinished copy whole after a restart":  replica.BugUnfinishedWhole,
	"client's mark ignored":                  replica.BugClientMarkIgnored,
	"no horizon":                             replica.BugNoHorizon,
	"silent proposed replica not awaited":    replica.BugProposalTimesOut,
	"ejected replica not awaited":            replica.BugEjectedNotAwaited,
}
