package mutants

import (
	"os"
	"path/filepath"
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
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(m.file)))
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		mutated, _, err := m.apply(text)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if other, ok := faults[string(mutated)]; ok {
			t.Errorf("%s and %s are the same", m.name, other)
		}
		faults[string(mutated)] = m.name
		for _, c := range m.tests {
			if err := c.check(root); err != nil {
				t.Errorf("%s: %v", m.name, err)
			}
		}
	}
}
