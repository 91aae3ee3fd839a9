package process

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"viewring/tests/harness"
)

// Each kind of change, played on real processes. The churn joins, kills, brings back,
// gives up and has leave, and the scenes of tests/faults remove one; what does one of
// these alone is played beside them when there is time.
func TestScripts(t *testing.T) {
	t.Parallel()
	for name, quick := range map[string]bool{
		"churn4": true,
		"crash":  false, "drain": false, "drill": false, "join": false, "leader": false, "leave": false, "pause": false, "remove": false, "restart-all": false, "return": false,
	} {
		t.Run(name, func(t *testing.T) {
			if !quick {
				harness.Slow(t)
			}
			t.Parallel() // they mostly wait for timeouts
			harness.NewShell(t, "").OK("run", name)
		})
	}
}

// TestSlowScripts plays one after the other, as TestSizes does: more large clusters at once
// would only take each other for dead.
func TestSlowScripts(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	for _, name := range []string{"churn5", "churn7", "churn12"} {
		t.Run(name, func(t *testing.T) { harness.NewShell(t, "").OK("run", name) })
	}
	t.Run("demo", func(t *testing.T) { harness.NewShell(t, "").OK("demo") })
}

func TestSizes(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	for _, n := range []int{1, 2, 3, 4, 5, 7, 12} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { harness.NewShell(t, "").OK("run", "sizes", "--set", fmt.Sprintf("N=%d", n)) })
	}
}

// The demo, on a small folder.
func TestDemo(t *testing.T) {
	t.Parallel()
	tree, err := filepath.Abs("../../client")
	if err != nil {
		t.Fatal(err)
	}
	out := harness.NewShell(t, "").OK("demo", "--dir", tree, "--json")
	var summary struct{ Version, Files, Failed, Lost, Slots_Moved, Slots_Needed int }
	if err := json.Unmarshal([]byte(out), &summary); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if summary.Version != 1 || summary.Files == 0 || summary.Failed+summary.Lost > 0 || summary.Slots_Needed == 0 {
		t.Errorf("summary %+v", summary)
	}
}

// TestScriptsOnNothing: what a script expects of nothing is not met.
func TestScriptsOnNothing(t *testing.T) {
	t.Parallel()
	play := func(script string) {
		t.Helper()
		name := filepath.Join(t.TempDir(), "script.txt")
		if err := os.WriteFile(name, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		harness.NewShell(t, "").OK("run", name)
	}
	play("cluster servers 1\n! expect failed 0\n! expect lost 0\n! expect copies 1\n! expect delta s1\nsetr k v\nexpect copies 1\nlock_get l me -- sh -c 'viewring getr k'\nstdout v\nexits 3 lock_get l me -- sh -c 'exit 3'\nkill s1 leader\n")
	if harness.IsSlow() { // requests wait their time out
		play("cluster servers 2\ntraffic start 200\nkill all\n! traffic stop\nworkload start\nworkload 8\nworkload stop\n! expect failed 0\n! expect lost 0\n")
	}
}
