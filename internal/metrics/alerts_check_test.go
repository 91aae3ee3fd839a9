package metrics

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestAlerts: promtool takes the rules, and each fires on what it is for. Each says what to do.
func TestAlerts(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts := regexp.MustCompile(`(?m)^      - alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) < 20 {
		t.Fatalf("%d alerts", len(alerts))
	}
	for _, a := range alerts {
		if !strings.Contains(string(tests), "- name: "+a[1]+"\n") {
			t.Errorf("no test of %s", a[1])
		}
	}
	for _, annotation := range []string{"summary", "action"} {
		if n := len(regexp.MustCompile(`(?m)^          `+annotation+`: "\S`).FindAllString(string(rules), -1)); n != len(alerts) {
			t.Errorf("%d of %d alerts have a %s", n, len(alerts), annotation)
		}
	}
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		if out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
}
