package replica

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTableOfHoles: DESIGN.md has a row for each hole of the protocol, and every
// test and mutant that it names exists; every mutant of this package is in it.
func TestTableOfHoles(t *testing.T) {
	tests := make(map[string]bool)
	for _, dir := range []string{".", "../../viewleader/roster", "../../viewleader", "../../tests/sim"} {
		files, err := filepath.Glob(dir + "/*_test.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", dir, err)
		}
		for _, f := range files {
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(text(t, f), -1) {
				tests[m[1]] = true
			}
		}
	}
	mutants := make(map[string]bool) // whether the table names it
	files, err := filepath.Glob("../../tests/mutants/catalogue/core/*.mutant")
	if err != nil || len(files) == 0 {
		t.Fatalf("no mutants: %v", err)
	}
	for _, f := range files {
		mutants[strings.TrimSuffix(filepath.Base(f), ".mutant")] = false
	}
	design := text(t, "DESIGN.md")
	for n := 1; n <= 30; n++ {
		if !strings.Contains(design, fmt.Sprintf("\n| H%d |", n)) {
			t.Errorf("H%d has no row", n)
		}
	}
	_, table, _ := strings.Cut(design, "| hole | mutants | tests |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			t.Fatalf("row %q", line)
		}
		for _, m := range regexp.MustCompile(`[\w-]+`).FindAllString(cells[2], -1) {
			if _, ok := mutants[m]; !ok {
				t.Errorf("%s: there is no mutant %s", strings.TrimSpace(cells[1]), m)
			}
			mutants[m] = true
		}
		if strings.HasPrefix(strings.TrimSpace(cells[3]), "open: ") {
			continue
		}
		names := regexp.MustCompile(`\w+`).FindAllString(cells[3], -1)
		if len(names) == 0 {
			t.Errorf("%s: neither a test nor open", strings.TrimSpace(cells[1]))
		}
		for _, name := range names {
			if !tests[name] {
				t.Errorf("%s: there is no %s", strings.TrimSpace(cells[1]), name)
			}
		}
	}
	for m, named := range mutants {
		if !named {
			t.Errorf("the mutant %s is in no row", m)
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
