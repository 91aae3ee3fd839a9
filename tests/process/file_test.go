package process

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"viewring/tests/harness"
)

// folderOf writes files of these lengths below a new folder; a length below 0 is an empty folder.
func folderOf(t *testing.T, files map[string]int) string {
	t.Helper()
	dir := t.TempDir()
	for name, n := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if n < 0 {
			if err := os.MkdirAll(path, 0o777); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b := make([]byte, n)
		_, _ = rand.Read(b) // never fails
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, b, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sameFolders compares all that is in two folders.
func sameFolders(t *testing.T, one, other string) {
	t.Helper()
	contents := func(dir string) map[string]string {
		all := map[string]string{}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(dir, path) // both are below dir
			if err != nil || d.IsDir() {
				all[rel] = "folder"
				return err
			}
			b, err := os.ReadFile(path)
			all[rel] = "file " + string(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	a, b := contents(one), contents(other)
	for name, what := range a {
		if b[name] != what {
			t.Errorf("%s is %.10q with %d bytes in one, %.10q with %d in the other", name, what, len(what), b[name], len(b[name]))
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d names in one, %d in the other", len(a), len(b))
	}
}

// testFiles is the commands of file: what they do to folders, print, and exit with.
func testFiles(t *testing.T, s *harness.Shell) {
	dir := folderOf(t, map[string]int{"empty": 0, "small": 100, "bound": 4096, "chunks": 3<<20 + 5, "sub/deep/x y": 5000, "sub/ü": 1 << 20, "nothing": -1})
	name := filepath.Base(dir)
	if got := s.OK("file", "put", "-r", "-p", dir, "/files/"); !strings.Contains(got, "stored 6 files") {
		t.Errorf("put: %s", got)
	}
	back := t.TempDir()
	s.OK("file", "get", "-r", "/files/"+name, back)
	sameFolders(t, dir, filepath.Join(back, name))
	if got := s.OK("file", "put", "-r", dir, "/files/"); !strings.Contains(got, "stored 0 files") || !strings.Contains(got, "6 files were there already") {
		t.Errorf("put again: %s", got)
	}
	testPutOn(t, s, dir, "/files/"+name)
	s.OK("file", "cp", "-r", "/files/"+name, "/copy")
	s.OK("file", "get", "-r", "/copy", filepath.Join(back, "new"))
	sameFolders(t, dir, filepath.Join(back, "new"))
	if got := s.OK("file", "verify", "/copy", "/files"); !strings.Contains(got, "verified 12 files") {
		t.Errorf("verify: %s", got)
	}
	if got, want := s.OK("file", "ls", "/copy"), "bound\nchunks\nempty\nnothing/\nsmall\nsub/\n"; got != want {
		t.Errorf("ls: %q, want %q", got, want)
	}
	if got := s.OK("file", "ls", "-l", "-r", "/copy/sub/"); !strings.Contains(got, "4.9 KiB") || !strings.Contains(got, "/copy/sub/deep/x y\n") {
		t.Errorf("ls -l -r: %s", got)
	}
	if got := s.OK("file", "stat", "/copy/chunks"); !strings.Contains(got, "4 of 1.0 MiB") || !strings.Contains(got, "s1 ") {
		t.Errorf("stat: %s", got)
	}
	var o struct {
		Bytes, Chunks int64
		Servers       []struct{ Copies int }
		Files         []struct{ Path string }
	}
	if err := json.Unmarshal([]byte(s.OK("file", "stat", "--json", "/copy/chunks")), &o); err != nil || o.Chunks != 4 || o.Bytes != 3<<20+5 || len(o.Servers) != 3 || o.Servers[0].Copies != 4 {
		t.Errorf("stat --json: %+v, %v", o, err)
	}
	if err := json.Unmarshal([]byte(s.OK("file", "ls", "--json", "/copy")), &o); err != nil || len(o.Files) != 6 {
		t.Errorf("ls --json: %+v, %v", o, err)
	}
	s.OK("file", "rm", "-r", "/copy", "/files")
	s.Fails(1, "does not exist", "file", "ls", "/copy")
}

// testPutOn stores a folder again that was stored, with changes: only they are stored, and what can't be is passed over.
func testPutOn(t *testing.T, s *harness.Shell, dir, dest string) {
	t.Helper()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	put := func(code int, want string, flags ...string) {
		t.Helper()
		r := s.Run("", append([]string{"file", "put", "-r", dir, dest}, flags...)...)
		if r.Code != code || !strings.Contains(r.Stdout, want) {
			t.Errorf("%v: exit %d, want %d, %q\n%s%s", flags, r.Code, code, want, r.Stdout, r.Stderr)
		}
	}
	write("small", strings.Repeat("n", 100)) // another one, of the same length
	put(0, "stored 1 file,")
	if got := s.OK("file", "cat", dest+"/small"); got != strings.Repeat("n", 100) {
		t.Errorf("small: %q", got)
	}
	if err := os.Chtimes(filepath.Join(dir, "chunks"), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	put(0, "stored 0 files", "--checksum")
	s.OK("file", "append", dest+"/chunks", filepath.Join(dir, "small"))
	put(0, "stored 1 file,", "-c")
	put(0, "stored 6 files", "-I")
	put(0, "stored 6 files", "--md5", "--sha256") // which are not kept yet
	put(0, "stored 0 files", "--md5")
	write("bad\x01name", "x")
	write("good", "x")
	put(4, "stored 1 file,")
	locked := filepath.Join(dir, "sub", "locked")
	if err := errors.Join(os.Remove(filepath.Join(dir, "bad\x01name")), os.Mkdir(locked, 0o000)); err != nil {
		t.Fatal(err)
	}
	write("good", "xy")
	if os.Geteuid() != 0 { // who may read all
		put(1, "stored 1 file,")
	}
	if err := errors.Join(os.Remove(locked), os.Remove(filepath.Join(dir, "good"))); err != nil {
		t.Fatal(err)
	}
	s.OK("file", "rm", dest+"/good")
	s.Run("", "file", "rm", dest+"/sub/locked")
	s.Fails(2, "exclude", "file", "put", "-c", "-I", dir, dest)
}

// testFileChanges is the commands that change a file, one by one.
func testFileChanges(t *testing.T, s *harness.Shell) {
	pipe := func(stdin string, args ...string) {
		t.Helper()
		if r := s.Run(stdin, args...); r.Code != 0 || r.Stdout != "" {
			t.Fatalf("%v: exit %d, %s%s", args, r.Code, r.Stdout, r.Stderr)
		}
	}
	want := func(path, text string) {
		t.Helper()
		if got := s.OK("file", "cat", path); got != text {
			t.Errorf("%s: %d bytes, %.40q, want %d, %.40q", path, len(got), got, len(text), text)
		}
	}
	long := strings.Repeat("0123456789abcdef", 100_000)
	pipe(long, "file", "put", "-p", "-", "/c/f")
	want("/c/f", long)
	pipe("the end", "file", "append", "/c/f")
	pipe("THE BEGINNING", "file", "write", "--offset", "0", "/c/f")
	changed := "THE BEGINNING" + long[13:] + "the end"
	want("/c/f", changed)
	if got := s.OK("file", "cat", "--offset", "5", "--length", "20", "/c/f"); got != changed[5:25] {
		t.Errorf("a part: %q", got)
	}
	if got := s.OK("file", "get", "/c/f", "-"); got != changed {
		t.Errorf("get -: %d bytes", len(got))
	}
	s.OK("file", "truncate", "/c/f", "1500000")
	s.OK("file", "cp", "/c/f", "/c/g")
	s.OK("file", "mv", "/c/f", "/c/h")
	s.OK("file", "mkdir", "-p", "/c/d/e")
	s.OK("file", "mv", "/c/h", "/c/d/e/")
	want("/c/g", changed[:1500000])
	want("/c/d/e/h", changed[:1500000])
	pipe("new", "file", "append", "/c/new")
	want("/c/new", "new")

	s.Fails(1, "does not exist", "file", "cat", "/c/f")
	s.Fails(1, "does not exist", "file", "truncate", "/c/f", "1")
	s.Fails(1, "does not exist", "file", "rm", "/c/f")
	s.Fails(1, "no such file", "file", "put", "/nonexistent/file", "/c/f")
	s.Fails(1, "directory", "file", "mkdir", "/c/no/x")
	s.Fails(4, "exists", "file", "mkdir", "/c/d")
	s.Fails(4, "not empty", "file", "rm", "/c")
	s.Fails(4, "is a directory", "file", "cat", "/c")
	s.Fails(4, "is a directory", "file", "mv", "/c/d", "/c/x")
	s.Fails(4, "is a directory", "file", "cp", "/c/d", "/c/x")
	s.Fails(4, "is in it", "file", "cp", "-r", "/c", "/c/d/x")
	s.Fails(1, "does not exist", "file", "ls", "/c/g/x/")
	s.Fails(4, "slash", "file", "cat", "c")
	s.Fails(4, "stands for another", "file", "rm", "/c/..")
	s.Fails(4, "root", "file", "rm", "-r", "/")
	s.Fails(2, "missing", "file")
	s.Fails(2, "DEST", "file", "put", "x")
	s.Fails(2, "is a folder", "file", "put", t.TempDir(), "/c/x")
	s.Fails(2, "has no name", "file", "put", "-", "/c/")
	s.Fails(2, "--offset", "file", "write", "/c/g")
	s.Fails(2, "without --json", "file", "cat", "--json", "/c/g")
	s.Fails(2, "BYTES", "file", "truncate", "/c/g", "many")
	if r := s.Run("x", "file", "put", "--if-absent", "-", "/c/g"); r.Code != 4 || !strings.Contains(r.Stderr, "exists") {
		t.Errorf("put --if-absent: exit %d, %s", r.Code, r.Stderr)
	}
	if r := s.Run("x", "file", "put", "-", "/c/g/x"); r.Code != 4 || !strings.Contains(r.Stderr, "is not a directory") {
		t.Errorf("put below a file: exit %d, %s", r.Code, r.Stderr)
	}
	empty := t.TempDir()
	s.Fails(1, "does not exist", "file", "get", "/c/no", empty)
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Errorf("a get that failed left %v, %v", left, err)
	}
	for range 2 { // again over what is there
		s.OK("file", "get", "/c/new", empty)
	}
	if b, err := os.ReadFile(filepath.Join(empty, "new")); err != nil || string(b) != "new" {
		t.Errorf("get: %q, %v", b, err)
	}
	testInterrupted(t, s, changed[:1500000])
	s.OK("file", "rm", "-r", "/c")
}

// testInterrupted: who ends in the middle of a put, by a signal that asks or one that does not, leaves the old file.
func testInterrupted(t *testing.T, s *harness.Shell, old string) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		pipe := filepath.Join(t.TempDir(), "pipe")
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Fatal(err)
		}
		put := s.Start("file", "put", pipe, "/c/g")
		w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // once it reads
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(bytes.Repeat([]byte("new"), 2<<20)); err != nil { // some chunks, and what fits into a pipe
			t.Fatal(err)
		}
		_ = put.Cmd.Process.Signal(signal)
		<-put.Done
		_ = w.Close() // nobody reads any more
		if code := put.Cmd.ProcessState.ExitCode(); signal == syscall.SIGINT && (code != 3 || !strings.Contains(put.Stderr.Text(), "interrupted")) {
			t.Errorf("exit %d, %s", code, put.Stderr.Text())
		}
		if got := s.OK("file", "cat", "/c/g"); got != old {
			t.Errorf("after %v: %d bytes, %.20q", signal, len(got), got)
		}
	}
}
