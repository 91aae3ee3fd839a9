package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"viewring/tests/harness"
)

// testBackup is backup, restore, export and import as their user sees them, exit codes included.
func testBackup(t *testing.T, s *harness.Shell) {
	binary := string([]byte{'b', 0, 0xff, '\n'})
	s.OK("setr", "bk:a", "one")
	s.OK("setr", "bk:b", "two")
	s.OK("setr", "bk:ttl", "soon", "--ttl", "1h")
	s.Run(binary, "setr", "bk:binary", "-")
	dir := filepath.Join(t.TempDir(), "backups")
	said := func(want string, args ...string) {
		t.Helper()
		if got := s.OK(args...); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	said("(run 1, whole)", "backup", dir)
	s.OK("setr", "bk:a", "other")
	s.OK("delr", "bk:b")
	said("2 keys, ", "backup", dir)
	said("verified 2 runs", "backup", "verify", dir)
	if got := s.OK("backup", "list", dir); strings.Count(got, "\n") != 3 {
		t.Errorf("list: %s", got)
	}

	for _, tt := range []struct{ command, want string }{ // in this order: the last needs the run of the one before
		{"backup list " + dir, `"upon":1`},
		{"backup verify " + dir, `"damaged":0`},
		{"backup " + dir, `"run":3`},
		{"restore --dry-run --run 3 " + dir, `"dry_run":true`},
	} {
		if got := s.OK(append(strings.Fields(tt.command), "--json")...); !strings.Contains(got, tt.want) {
			t.Errorf("%s --json: %s, want %s", tt.command, got, tt.want)
		}
	}

	// Another value: nothing is touched unless that is wanted.
	s.OK("setr", "bk:a", "newest")
	s.OK("delr", "bk:ttl")
	said("would restore 1 key in", "restore", "--dry-run", "--existing", "keep", "--prefix", "bk:", dir)
	s.Fails(4, "1 of them, such as \"bk:a\"", "restore", "--prefix", "bk:", dir)
	value(t, s, "bk:a", "newest")
	value(t, s, "bk:ttl", "soon")
	said("1 had other values", "restore", "--prefix", "bk:", "--existing", "keep", dir)
	said("restored 1 key in", "restore", "--prefix", "bk:", "--existing", "replace", dir)
	value(t, s, "bk:a", "other")
	s.Fails(1, "not found", "getr", "bk:b")
	said("restored 2 keys", "restore", "--prefix", "bk:", "--existing", "replace", "--run", "1", dir)
	value(t, s, "bk:a", "one")
	value(t, s, "bk:b", "two")
	value(t, s, "bk:binary", binary)
	if got := s.OK("getr", "--json", "bk:ttl"); !strings.Contains(got, `"expires":`) {
		t.Errorf("the expiry is lost: %s", got)
	}

	testBackupStream(t, s)
	testBackupRefusals(t, s, dir)
	if harness.IsSlow() {
		testBackupInterrupted(t, s)
	}
	testLines(t, s, binary)
}

func value(t *testing.T, s *harness.Shell, key, want string) {
	t.Helper()
	if got := s.OK("getr", key); got != want {
		t.Errorf("%s is %q, want %q", key, got, want)
	}
}

func testBackupStream(t *testing.T, s *harness.Shell) {
	s.OK("meta", "create", "/bk", "a node")
	r := s.Run("", "backup", "-")
	if r.Code != 0 || !strings.Contains(r.Stderr, "(whole)") || !strings.Contains(r.Stderr, " path") {
		t.Fatalf("backup -: exit %d, %s", r.Code, r.Stderr)
	}
	s.OK("delr", "bk:a")
	if r := s.Run(r.Stdout, "restore", "-"); r.Code != 0 || !strings.Contains(r.Stdout, "restored 1 key in") {
		t.Errorf("restore -: exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	s.OK("delr", "bk:a")
	if r := s.Run(r.Stdout[:len(r.Stdout)-1], "restore", "-"); r.Code != 5 || !strings.Contains(r.Stderr, "damaged") {
		t.Errorf("restore - of a part: exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	s.Fails(1, "not found", "getr", "bk:a")
	s.OK("setr", "bk:a", "one")
	s.OK("meta", "remove", "/bk")
}

func testBackupRefusals(t *testing.T, s *harness.Shell, dir string) {
	mine := t.TempDir()
	if err := os.WriteFile(filepath.Join(mine, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Fails(4, "name an empty one", "backup", mine)
	s.Fails(2, "DEST is missing", "backup")
	s.Fails(2, "--rate", "backup", "--rate", "-1", dir)
	s.Fails(2, "--existing", "restore", "--existing", "maybe", dir)
	s.Fails(2, "--run", "restore", "--run", "0", dir)
	s.Fails(1, "no such run: run 9; there are 1, 2, 3", "restore", "--run", "9", dir)
	s.Fails(1, "no such file", "restore", filepath.Join(mine, "nowhere"))
	s.Fails(1, "there is no backup", "backup", "verify", t.TempDir())

	// A damaged file is named, and the rest is restored.
	segments, err := filepath.Glob(filepath.Join(dir, "run-000001", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("segments %v, %v", segments, err)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Fails(5, segments[0]+": damaged", "backup", "verify", dir)
	r := s.Run("", "restore", "--existing", "keep", dir)
	if r.Code != 5 || !strings.Contains(r.Stderr, segments[0]+": damaged") || !strings.Contains(r.Stderr, "left out") || !strings.Contains(r.Stdout, "were there already") {
		t.Errorf("restore of a damaged one: exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

// testBackupInterrupted: neither a signal nor a crash leaves what looks like a backup.
func testBackupInterrupted(t *testing.T, s *harness.Shell) {
	for i := range 8 {
		s.Run(strings.Repeat("x", 1<<20), "setr", fmt.Sprint("bk:long", i), "-")
	}
	dir := filepath.Join(t.TempDir(), "backups")
	s.Fails(3, "unreachable", "backup", dir, "--viewleader", "127.0.0.1:1", "--timeout", "3s")
	for _, end := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		d := s.Start("backup", "--rate", "200000", dir)
		harness.Eventually(t, "the backup has begun", func() bool {
			found, _ := filepath.Glob(filepath.Join(dir, "run-000001.part", "*.seg"))
			return len(found) > 0
		})
		s.Fails(4, "another backup is being written", "backup", dir)
		if err := d.Cmd.Process.Signal(end); err != nil {
			t.Fatal(err)
		}
		<-d.Done
		if end == syscall.SIGINT && (d.Cmd.ProcessState.ExitCode() != 3 || !strings.Contains(d.Stderr.Text(), "backup: interrupted")) {
			t.Errorf("interrupted: %v, %s", d.Cmd.ProcessState, d.Stderr.Text())
		}
		s.Fails(1, "no such run", "restore", dir)
	}
	r := s.Run("", "backup", dir)
	if r.Code != 0 || !strings.Contains(r.Stderr, "removed what an interrupted backup had left") || !strings.Contains(r.Stdout, "run 1, whole") {
		t.Errorf("after a crash: exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	s.OK("backup", "verify", dir)

	// A restore that was interrupted goes on.
	for i := range 8 {
		s.OK("delr", fmt.Sprint("bk:long", i))
	}
	d := s.Start("restore", "--rate", "1000000", "--prefix", "bk:long", dir)
	harness.Eventually(t, "the restore has begun", func() bool {
		for i := range 8 {
			if s.Run("", "getr", fmt.Sprint("bk:long", i)).Code == 0 {
				return true
			}
		}
		return false
	})
	_ = d.Cmd.Process.Kill() // it may be done
	<-d.Done
	if got := s.OK("restore", "--prefix", "bk:long", dir); !strings.Contains(got, "there already") {
		t.Errorf("the rest: %s", got)
	}
	if got := s.OK("restore", "--prefix", "bk:long", dir); !strings.Contains(got, "restored 0 keys") || !strings.Contains(got, "8 were there already") {
		t.Errorf("again: %s", got)
	}
}

func testLines(t *testing.T, s *harness.Shell, binary string) {
	all := s.OK("export", "--prefix", "bk:")
	found := map[string]bool{}
	for line := range strings.Lines(all) {
		var l struct {
			Key, Expires string
			Value        *string
			ValueBase64  []byte `json:"value_base64"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		found[l.Key] = true
		if (l.Key == "bk:ttl") != (l.Expires != "") || (l.Key == "bk:binary") != bytes.Equal(l.ValueBase64, []byte(binary)) || (l.Value == nil) != (l.Key == "bk:binary") {
			t.Errorf("a line %s", line)
		}
	}
	if len(found) < 4 || !found["bk:b"] {
		t.Errorf("exported %v", found)
	}
	for key := range found {
		s.OK("delr", key)
	}
	if r := s.Run(all, "import"); r.Code != 0 || !strings.Contains(r.Stdout, fmt.Sprintf("imported %d keys", len(found))) {
		t.Errorf("import: exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	if r := s.Run(all, "import"); r.Code != 0 || !strings.Contains(r.Stdout, "imported 0 keys") {
		t.Errorf("again: exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
	value(t, s, "bk:binary", binary)
	for what, text := range map[string]string{
		`{"key":"k"}`:                               "one of value and value_base64",
		`{"value":"k"}`:                             "one of key and key_base64",
		`{"key":"k","value":"v","when":1}`:          `unknown field "when"`,
		`{"key":"k","value":"v"} {}`:                "more behind the object",
		`nonsense`:                                  "invalid character",
		`{"key":"k","value":"v","expires":"later"}`: "cannot parse",
	} {
		good := `{"key":"bk:line","value":"1"}` + "\n\n"
		if r := s.Run(good+what, "import", "--existing", "keep"); r.Code != 4 || !strings.Contains(r.Stderr, "line 3: ") || !strings.Contains(r.Stderr, text) {
			t.Errorf("%s: exit %d, %s", what, r.Code, r.Stderr)
		}
	}
	value(t, s, "bk:line", "1")
	file := filepath.Join(t.TempDir(), "keys.jsonl")
	s.OK("export", "--prefix", "bk:li", file)
	if b, err := os.ReadFile(file); err != nil || bytes.Count(b, []byte("\n")) != 1 {
		t.Errorf("%d lines, %v", bytes.Count(b, []byte("\n")), err)
	}
}
