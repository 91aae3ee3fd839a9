package mutants

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// TestCatalogue keeps every mutant fit to be played.
func TestCatalogue(t *testing.T) {
	all, err := load("catalogue")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no mutants")
	}
	root := filepath.Join("..", "..")
	names, faults := make(map[string]bool), make(map[string]string)
	for _, m := range all {
		if names[m.name] {
			t.Errorf("two mutants are named %s", m.name)
		}
		names[m.name] = true
		mutated, _, err := m.apply(root)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		fault := fmt.Sprintf("%q", mutated) // in the order of the files
		if other, ok := faults[fault]; ok {
			t.Errorf("%s and %s are the same", m.name, other)
		}
		faults[fault] = m.name
		for _, c := range slices.Concat(m.tests, m.also) {
			if err := c.check(root); err != nil {
				t.Errorf("%s: %v", m.name, err)
			}
		}
	}
}
