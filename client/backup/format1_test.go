package backup

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestFormat1 reads what a build wrote that backed up keys alone (format 1), and writes a run behind it: the keys are built upon
// that, and paths are whole.
func TestFormat1(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backups")
	if err := os.CopyFS(dir, os.DirFS("testdata/format1")); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	v, err := f.Verify(nil)
	if err != nil || len(v.Faults) > 0 || v.Runs != 2 {
		t.Fatalf("verified: %+v, %v", v, err)
	}
	for number, want := range map[uint64]string{1: "map[old:a:one old:b:two]", 2: "map[old:a:changed old:c:three]"} {
		got := make(map[string]string)
		err := f.Each(number, func(k Key) error {
			got[string(k.Name)] = string(k.Value)
			return nil
		})
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("run %d: %v, %v", number, got, err)
		}
	}
	to := connect(t, clusters()[1])
	done, err := to.restored(dir, RestoreOptions{Run: 2})
	if err != nil || done.Counts.Written != 2 || done.Paths != (Tally{}) {
		t.Errorf("restored: %+v, %v", done, err)
	}

	// A run of this build upon one of the old: of the same cluster, as far as it says.
	from := connect(t, clusters()[0])
	old := from.backedUp(filepath.Join(t.TempDir(), "backups"), Options{}).Manifest
	old.paths, old.Tree = [sectionsEnd - 1][]Part{}, Tree{}
	c := &filler{c: from.backup, m: old, base: &Run{Manifest: old}, o: &Options{}}
	if base := c.streamsOf(0); base == nil {
		t.Error("a run without paths is none to build upon")
	}
	if part := old.part(sectionNodes, 0); !part.Whole || part.At != (Version{}) {
		t.Errorf("it has paths: %+v", part)
	}
}
