package process

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"viewring/tests/harness"
)

// testSync is file sync, both ways, and file sums.
func testSync(t *testing.T, s *harness.Shell) {
	dir := folderOf(t, map[string]int{"empty": 0, "small": 100, "long": 2<<20 + 5, "sub/deep/x y": 5000, `sub/back\slash`: 10, "sub/gone": 10, "nothing": -1})
	ran := func(want string, args ...string) {
		t.Helper()
		if got := s.OK(append([]string{"file", "sync"}, args...)...); !strings.Contains(got, want) {
			t.Errorf("%v: %s, want %q", args, got, want)
		}
	}
	there := func() {
		t.Helper()
		back := filepath.Join(t.TempDir(), "back")
		s.OK("file", "get", "-r", "/sync/d", back)
		sameFolders(t, dir, back)
	}
	ran("would sync 6 files", "-n", dir, "store:/sync/d")
	s.Fails(1, "does not exist", "file", "ls", "/sync")
	ran("synced 6 files", dir, "store:/sync/d/")
	there()
	ran("synced 0 files", dir, "store:/sync/d")

	change := func(root string) {
		t.Helper()
		err := errors.Join(os.Remove(filepath.Join(root, "sub/gone")), os.RemoveAll(filepath.Join(root, "nothing")), os.RemoveAll(filepath.Join(root, "sub/deep")),
			os.WriteFile(filepath.Join(root, "sub/deep"), []byte("a file now"), 0o666), os.Remove(filepath.Join(root, "empty")),
			os.MkdirAll(filepath.Join(root, "empty/folder/now"), 0o777), os.WriteFile(filepath.Join(root, "small"), []byte(strings.Repeat("s", 100)), 0o666))
		if err != nil {
			t.Fatal(err)
		}
	}
	change(dir)
	var o struct {
		Files, Deleted, Skipped, Failed int
		Would                           []string
	}
	if err := json.Unmarshal([]byte(s.OK("file", "sync", "--json", "-n", "--delete", dir, "store:/sync/d")), &o); err != nil || o.Files != 2 || o.Deleted != 4 || len(o.Would) != 6 {
		t.Errorf("dry run: %+v, %v", o, err)
	}
	s.Fails(4, "directory", "file", "sync", dir, "store:/sync/d") // without --delete what is in the way stays
	ran("4 deleted", "--delete", dir, "store:/sync/d")
	there()
	ran("synced 0 files", "--delete", "-c", dir, "store:/sync/d")

	other := filepath.Join(t.TempDir(), "new", "other")
	ran("synced 4 files", "store:/sync/d", other)
	sameFolders(t, dir, other)
	ran("synced 0 files", "store:/sync/d", other)
	ran("synced 0 files", "--delete", other, "store:/sync/d") // with the times of the source
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(other, name)), 0o777), os.WriteFile(filepath.Join(other, name), []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	write("more/and/more", "x")
	write("small", strings.Repeat("o", 100))
	if err := os.Chtimes(filepath.Join(other, "long"), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	ran("would sync 1 file,", "-c", "-n", "--delete", "store:/sync/d", other)
	ran("1 deleted", "-c", "--delete", "store:/sync/d", other)
	sameFolders(t, dir, other)
	testSums(t, s, other)

	s.Fails(2, "in the store", "file", "sync", dir, other)
	s.Fails(2, "in the store", "file", "sync", "store:/sync", "store:/x")
	s.Fails(2, "is no folder", "file", "sync", filepath.Join(other, "small"), "store:/x")
	s.Fails(2, "is no directory", "file", "sync", "store:/sync/d/small", other)
	s.Fails(1, "no such file", "file", "sync", filepath.Join(other, "none"), "store:/x")
	s.Fails(1, "does not exist", "file", "sync", "--delete", "store:/none", other)
	sameFolders(t, dir, other)
	s.OK("file", "rm", "-r", "/sync")
}

// testSums checks what file sums and get print with the programs that take it.
func testSums(t *testing.T, s *harness.Shell, dir string) {
	t.Helper()
	check := func(program, at, lines string) {
		t.Helper()
		cmd := exec.Command(program, "-c", "--strict")
		cmd.Dir, cmd.Stdin = at, strings.NewReader(lines)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), ": OK") != 4 {
			t.Errorf("%s of\n%s: %v\n%s", program, lines, err, out)
		}
	}
	check("md5sum", dir, s.OK("file", "sums", "/sync/d"))
	check("sha256sum", dir, s.OK("file", "sums", "--sha256", "/sync/d/"))
	s.OK("file", "put", "-r", "--md5", dir, "/sync/d")
	check("md5sum", dir, s.OK("file", "sums", "/sync/d")) // that are kept
	back := filepath.Join(t.TempDir(), "back")
	check("md5sum", ".", s.OK("file", "get", "-r", "--md5", "/sync/d", back))
	check("sha256sum", ".", s.OK("file", "get", "-r", "--sha256", "/sync/d", back+"2"))
	var o struct{ Sums []struct{ Name, MD5 string } }
	if err := json.Unmarshal([]byte(s.OK("file", "sums", "--json", "/sync/d")), &o); err != nil || len(o.Sums) != 4 || len(o.Sums[0].MD5) != 32 {
		t.Errorf("sums --json: %+v, %v", o, err)
	}
	s.Fails(2, "exclude", "file", "sums", "--md5", "--sha256", "/sync/d")
}
