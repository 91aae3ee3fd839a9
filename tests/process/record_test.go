package process

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// testRecords is the commands of record files: what they append, print, and exit with.
func testRecords(t *testing.T, s *harness.Shell) {
	pipe := func(code int, stdin string, args ...string) string {
		t.Helper()
		r := s.Run(stdin, args...)
		if r.Code != code {
			t.Fatalf("%v: exit %d, want %d: %s%s", args, r.Code, code, r.Stdout, r.Stderr)
		}
		return r.Stdout + r.Stderr
	}
	s.OK("record", "create", "/r")
	if got := pipe(0, "one\ntwo\n\nfour", "record", "append", "/r"); !strings.Contains(got, "appended 4 records, the last at 3") {
		t.Errorf("append: %s", got)
	}
	if got, want := s.OK("record", "tail", "/r"), "one\ntwo\n\nfour\n"; got != want {
		t.Errorf("tail: %q, want %q", got, want)
	}
	var binaries bytes.Buffer
	for _, r := range []string{"a\nb", "", "\xff\x00"} {
		_ = binary.Write(&binaries, binary.BigEndian, uint32(len(r))) // never fails
		binaries.WriteString(r)
	}
	pipe(0, binaries.String(), "record", "append", "--length-prefixed", "--batch", "1", "/r")
	if got := s.OK("record", "tail", "--length-prefixed", "--from", "4", "/r"); got != binaries.String() {
		t.Errorf("tail: %q", got)
	}
	if got := s.OK("record", "tail", "--from", "1", "--limit", "1", "/r"); got != "two\n" {
		t.Errorf("tail --from 1: %q", got)
	}
	if got := s.OK("record", "tail", "--from", "end", "/r"); got != "" {
		t.Errorf("tail --from end: %q", got)
	}
	if got := s.OK("record", "tail", "--from", "1h", "/r"); !strings.HasPrefix(got, "one\n") {
		t.Errorf("tail --from 1h: %q", got)
	}
	var places []string
	for line := range strings.Lines(s.OK("record", "tail", "--json", "/r")) {
		var e struct {
			Place      int64
			Data       string
			DataBase64 string `json:"data_base64"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		places = append(places, fmt.Sprint(e.Place, e.Data, e.DataBase64))
	}
	if got, want := fmt.Sprint(places), "[0one 1two 2 3four 4a\nb 5 6/wA=]"; got != want {
		t.Errorf("tail --json: %s", got)
	}
	if got := s.OK("record", "verify", "/r"); !strings.Contains(got, "7 records are sound") {
		t.Errorf("verify: %s", got)
	}
	if got := s.OK("record", "stat", "/r"); !strings.Contains(got, "places    0 to 6\n") {
		t.Errorf("stat: %s", got)
	}
	if got := s.OK("file", "ls", "-l", "/"); !strings.Contains(got, "records ") {
		t.Errorf("ls -l: %s", got)
	}
	s.Fails(4, "record file", "file", "cp", "/r", "/copy")
	s.Fails(4, "record file", "file", "cat", "/r")
	testNamedProducer(t, s, pipe)
	testRecordRefusals(t, s, pipe)
	testTailFollows(t, s, pipe)
	testReadersByName(t, s, pipe)
}

// testNamedProducer: an input that is sent again lands once.
func testNamedProducer(t *testing.T, s *harness.Shell, pipe func(code int, stdin string, args ...string) string) {
	s.OK("record", "create", "/p")
	input := strings.Repeat("record\n", 2500)
	if got := pipe(4, input, "record", "append", "--producer", "p", "/p"); !strings.Contains(got, "--new") {
		t.Errorf("an unknown producer: %s", got)
	}
	for range 2 {
		pipe(0, input, "record", "append", "--producer", "p", "--new", "--sequence", "0", "/p")
	}
	if got := pipe(0, input+"one more\n", "record", "append", "--producer", "p", "--sequence", "0", "--json", "/p"); !strings.Contains(got, `"appended":2501`) || !strings.Contains(got, `"last":2500`) {
		t.Errorf("again, and one more: %s", got)
	}
	pipe(0, "the next\n", "record", "append", "--producer", "p", "/p")
	if got := pipe(4, "x\n", "record", "append", "--producer", "p", "--sequence", "9000", "/p"); !strings.Contains(got, "the next is 2502") {
		t.Errorf("a gap: %s", got)
	}
	if got := s.OK("record", "tail", "--from", "2499", "/p"); got != "record\none more\nthe next\n" {
		t.Errorf("tail: %q", got)
	}
}

func testRecordRefusals(t *testing.T, s *harness.Shell, pipe func(code int, stdin string, args ...string) string) {
	s.Fails(4, "exist", "record", "create", "/r")
	s.Fails(1, "exist", "record", "create", "/no/r")
	s.Fails(4, "chunks of 5 bytes", "record", "create", "--chunk", "5", "/x")
	s.Fails(1, "exist", "record", "tail", "/no")
	s.Fails(1, "exist", "record", "stat", "/no")
	s.Fails(1, "exist", "record", "rm", "/no")
	s.Fails(4, "slash", "record", "tail", "no")
	s.Fails(2, "--from", "record", "tail", "--from", "yesterday", "/r")
	s.Fails(2, "--from", "record", "tail", "--from", "-3", "/r")
	s.Fails(2, "--batch", "record", "append", "--batch", "0", "/r")
	s.Fails(2, "--producer", "record", "append", "--new", "/r")
	s.Fails(2, "missing", "record")
	s.Fails(2, "unknown command", "record", "tial")
	s.Fails(1, "no such file", "record", "append", "/r", "/nonexistent")
	s.OK("record", "create", "--chunk", "1048576", "/small")
	quarter := strings.Repeat("x", 1<<18)
	pipe(0, quarter, "record", "append", "/small")
	if got := pipe(4, "first\n"+quarter+"x\nlast\n", "record", "append", "/small"); !strings.Contains(got, "record 2 of the input: too large") || !strings.Contains(got, "1 records before are appended") {
		t.Errorf("a quarter plus one: %.300s", got)
	}
	if got := pipe(4, "\x00\x00\x00\x05abc", "record", "append", "--length-prefixed", "/small"); !strings.Contains(got, "unexpected EOF") {
		t.Errorf("a record that ends early: %s", got)
	}
	pipe(0, "", "record", "append", "/small")
	if got := s.OK("record", "verify", "/small"); !strings.Contains(got, "2 records") {
		t.Errorf("verify: %s", got)
	}
	if got := pipe(0, "plain", "file", "put", "-", "/plain"); got != "" {
		t.Logf("put: %s", got)
	}
	s.Fails(4, "is not a record file", "record", "rm", "/plain")
	s.Fails(4, "is not a record file", "record", "append", "/plain")
	s.OK("record", "rm", "/small")
	s.Fails(1, "exist", "record", "verify", "/small")
}

// testTailFollows: tail -f prints what is appended once it is, and ends with the file.
func testTailFollows(t *testing.T, s *harness.Shell, pipe func(code int, stdin string, args ...string) string) {
	s.OK("record", "create", "/f")
	tail := s.Start("record", "tail", "-f", "/f")
	pipe(0, "a\nb\n", "record", "append", "/f")
	tail.Stdout.Wait(t, "a\nb\n", tail.Done)
	pipe(0, "c\n", "record", "append", "/f")
	tail.Stdout.Wait(t, "c\n", tail.Done)
	s.OK("record", "rm", "/f")
	tail.Stderr.Wait(t, "removed", tail.Done)
}

// testReadersByName: what was printed under a name is not printed again, unless it was killed before that was kept.
func testReadersByName(t *testing.T, s *harness.Shell, pipe func(code int, stdin string, args ...string) string) {
	s.OK("record", "create", "/n")
	pipe(0, "1\n2\n3\n4\n", "record", "append", "/n")
	if got := s.OK("record", "tail", "/n", "--as", "billing", "--limit", "2"); got != "1\n2\n" {
		t.Errorf("tail --as: %q", got)
	}
	if got := s.OK("record", "tail", "/n", "--as", "billing"); got != "3\n4\n" {
		t.Errorf("tail --as, again: %q", got)
	}
	if got := s.OK("record", "tail", "/n", "--as", "billing"); got != "" {
		t.Errorf("tail --as, at the end: %q", got)
	}
	s.Fails(4, "--reset", "record", "tail", "/n", "--as", "billing", "--from", "start")
	if got := s.OK("record", "tail", "/n", "--as", "billing", "--from", "3", "--reset"); got != "4\n" {
		t.Errorf("tail --reset: %q", got)
	}
	if got := s.OK("record", "tail", "/n", "--group", "indexers", "--from", "1"); got != "2\n3\n4\n" {
		t.Errorf("tail --group: %q", got)
	}
	if got := s.OK("record", "tail", "/n", "--group", "indexers"); got != "" {
		t.Errorf("tail --group, again: %q", got)
	}
	s.Fails(4, "is a group", "record", "tail", "/n", "--as", "indexers")
	s.Fails(4, "is a reader", "record", "tail", "/n", "--group", "billing")
	s.Fails(2, "--as or --group", "record", "tail", "/n", "--group", "a", "--as", "b")
	s.Fails(2, "--reset", "record", "tail", "/n", "--reset")
	s.Fails(2, "want a name", "record", "tail", "/n", "--as", "")
	s.Fails(4, "bad path", "record", "readers", "/n", "--remove", "")
	s.Fails(4, "bad path", "record", "tail", "/n", "--as", "a/b")
	s.Fails(1, "exist", "record", "tail", "/none", "--as", "a")
	pipe(0, "5\n", "record", "append", "/n")
	var list struct {
		Readers []struct {
			Name, Kind string
			Next, Lag  int64
		}
	}
	if err := json.Unmarshal([]byte(s.OK("record", "readers", "/n", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(list.Readers); got != "[{billing reader 4 1} {indexers group 4 1}]" {
		t.Errorf("readers: %s", got)
	}
	if got := s.OK("record", "readers", "/n"); !strings.Contains(got, "NAME") || !strings.Contains(got, "billing") {
		t.Errorf("readers: %s", got)
	}
	killed := s.Start("record", "tail", "-f", "/n", "--as", "billing")
	killed.Stdout.Wait(t, "5\n", killed.Done)
	later := s.Start("record", "tail", "-f", "/n", "--as", "billing")
	pipe(0, "6\n", "record", "append", "/n")
	later.Stdout.Wait(t, "6\n", later.Done)
	killed.Stderr.Wait(t, "another process reads in its place", killed.Done)
	s.OK("record", "readers", "/n", "--remove", "indexers")
	s.Fails(1, "no reader", "record", "readers", "/n", "--remove", "indexers")
	s.OK("record", "rm", "/n")
	later.Stderr.Wait(t, "removed", later.Done)
	if got := s.OK("meta", "list", "/.records"); got != "" {
		t.Errorf("places are left: %s", got)
	}
}
