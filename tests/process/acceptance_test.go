package process

import (
	"os/exec"
	"testing"

	"viewring/tests/harness"
)

// The acceptance scripts that hold whatever the machine does, so that a change of what
// commands say is noticed where it is made. The others take many minutes:
// scripts/acceptance/all.sh.
func TestAcceptance(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	for _, script := range []string{"commands", "badinput", "values"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel() // they mostly wait
			cmd := exec.Command("../../scripts/acceptance/all.sh", harness.Program(), script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
