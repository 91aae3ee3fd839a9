package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"viewring/internal/chart"
	"viewring/tests/harness"
)

// TestExperiments plays those experiments that need no cluster and one that does, as 'viewring run
// experiments' does all of them: each leaves its tables, plots and note, and one page shows them.
func TestExperiments(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	s := harness.NewShell(t, "")
	out := filepath.Join(s.Dir, "results")
	s.OK("run", "experiments", "--out", out, "--set", "only=moved balance cost old-setr", "--set", "trials=3")
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range map[string]string{"moved": "moved", "balance": "balance", "cost": "cost", "old-setr": "setr"} {
		dir := filepath.Join(out, name)
		run, err := chart.ReadRun(dir)
		if err != nil || run == nil || run.Failed != "" || !strings.Contains(run.About, "xpect") {
			t.Errorf("%s: note %+v, %v", name, run, err)
		}
		for _, ending := range []string{".csv", ".md", ".svg", ".png"} {
			if info, err := os.Stat(filepath.Join(dir, table+ending)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !strings.Contains(string(page), table+".csv") {
			t.Errorf("the page lacks the table of %s", name)
		}
	}
	// One that breaks is told, and the others are played all the same.
	r := s.Run("", "run", "experiments", "--out", out+"2", "--set", "only=moved nothing cost")
	if r.Code == 0 || !strings.Contains(r.Stdout+r.Stderr, "not to their end: nothing") {
		t.Errorf("one experiment of three is none: exit %d, %s", r.Code, r.Stdout)
	}
	if _, err := os.Stat(filepath.Join(out+"2", "cost", "cost.csv")); err != nil {
		t.Error(err)
	}
}

// TestExperimentsExplained: each script that leaves a table begins with a paragraph on what it shows and
// what to expect, and stands in the page of the experiments.
func TestExperimentsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "scripts/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(root, "scripts/*.txt"))
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	for _, name := range found {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\ntable ") {
			continue
		}
		base := strings.TrimSuffix(filepath.Base(name), ".txt")
		about, _, _ := strings.Cut(string(text), "\n\n")
		if !strings.HasPrefix(about, "# ") || strings.Count(about, "\n") < 3 || !strings.Contains(about, "xpect") || !strings.Contains(string(text), "\nplot ") {
			t.Errorf("%s does not say what it shows and what to expect, or has no plot", base)
		}
		if !strings.Contains(string(page), "`"+base+"`") {
			t.Errorf("%s is not in scripts/README.md", base)
		}
	}
}
