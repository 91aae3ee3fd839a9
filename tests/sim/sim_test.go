package sim

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
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

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // worlds are small and live shortly
	os.Exit(m.Run())
}

// TestSeeds plays seeds with no bug planted: 120, or 2,000 with VIEWRING_SLOW=1.
// VIEWRING_SIM_SEEDS says how many, VIEWRING_SIM_SEED_FIRST where to begin;
// VIEWRING_SIM_SEED replays one, with VIEWRING_SIM_TRACE=1 in full.
func TestSeeds(t *testing.T) {
	few := uint64(120)
	if os.Getenv("VIEWRING_SLOW") != "" {
		few = 2000
	}
	first, n := envInt(t, "VIEWRING_SIM_SEED_FIRST", 1), envInt(t, "VIEWRING_SIM_SEEDS", few)
	if one := envInt(t, "VIEWRING_SIM_SEED", 0); one != 0 {
		first, n = one, 1
	}
	opt := Options{Trace: os.Getenv("VIEWRING_SIM_TRACE") != ""}
	tally := newTally(n)
	Play(first, n, opt, func(r Result) bool {
		if opt.Trace {
			fmt.Println(r.Trace(anyPartition, 0))
		}
		tally.add(r)
		if r.Faults < faultsMin || r.Operations < opsMin {
			t.Errorf("seed %d falls short: %d faults, %d operations", r.Seed, r.Faults, r.Operations)
		}
		if r.Violation != "" {
			t.Error(r.Report())
		}
		return tally.violations < 10
	})
	t.Log(tally.table())
}

// TestSameSeedSameRun is what makes a seed worth reporting. The hashes go to a
// file named by VIEWRING_SIM_HASHES, or are compared with it when it is there:
// the race detector's build must come to the same.
func TestSameSeedSameRun(t *testing.T) {
	var hashes strings.Builder
	for seed := uint64(1); seed <= 6; seed++ {
		a := Run(seed, Options{})
		for range 2 {
			if b := Run(seed, Options{}); a.Hash != b.Hash || a.Operations != b.Operations {
				t.Errorf("seed %d: two runs differ: %x with %d operations, %x with %d", seed, a.Hash, a.Operations, b.Hash, b.Operations)
			}
		}
		if b := Run(seed, Options{Trace: true}); a.Hash != b.Hash {
			t.Errorf("seed %d: a traced run is another run: %x, %x", seed, a.Hash, b.Hash)
		}
		fmt.Fprintf(&hashes, "seed %d: %016x\n", seed, a.Hash)
	}
	name := os.Getenv("VIEWRING_SIM_HASHES")
	if name == "" {
		return
	}
	before, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(name, []byte(hashes.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err != nil || string(before) != hashes.String() {
		t.Errorf("another build came to other runs: %v\n%snow\n%s", err, before, &hashes)
	}
}

// TestPlantedBugs breaks the core in one way at a time: the checkers, which
// know nothing of it, must notice within the given number of seeds.
func TestPlantedBugs(t *testing.T) {
	for name, bug := range plantedBugs {
		t.Run(name, func(t *testing.T) {
			seeds := envInt(t, "VIEWRING_SIM_BUG_SEEDS", 200)
			caught := false
			Play(1, seeds, Options{Bugs: bug}, func(r Result) bool {
				if caught = r.Violation != ""; caught {
					t.Logf("caught by seed %d: %s", r.Seed, r.Violation)
				}
				return !caught
			})
			if !caught {
				t.Errorf("not caught within %d seeds", seeds)
			}
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
	"clock unchecked":                        replica.BugClockUnchecked,
	"expiry not logged":                      replica.BugExpiryNotLogged,
}
