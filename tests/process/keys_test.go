package process

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/tests/harness"
)

// testKeys: all keys of the cluster are listed, in each form.
func testKeys(t *testing.T, s *harness.Shell) {
	names := []string{"list:two words", "list:\n", "list:\xff", "list:{tag}x", "list:b", "list:a"}
	for i, name := range names {
		s.OK("setr", name, fmt.Sprint("v ", i))
	}
	if got, want := s.OK("keys", "list:"), "\"list:\\n\"\nlist:a\nlist:b\n\"list:two words\"\nlist:{tag}x\n\"list:\\xff\"\n"; got != want {
		t.Errorf("keys:\n%s, want\n%s", got, want)
	}
	got := strings.Split(strings.TrimSuffix(s.OK("keys", "-0", "list:", "--sort"), "\x00"), "\x00")
	if want := slices.Sorted(slices.Values(names)); !slices.Equal(got, want) {
		t.Errorf("keys -0: %q, want %q", got, want)
	}
	if got := s.OK("keys", "list:{tag}", "--values"); got != "list:{tag}x  \"v 3\"\n" {
		t.Errorf("keys --values: %q", got)
	}
	if got := s.OK("keys", "-0", "--values", "list:a"); got != "list:a\x00v 5\x00" {
		t.Errorf("keys -0 --values: %q", got)
	}
	if got := s.OK("keys", "list:", "--count"); got != "6\n" {
		t.Errorf("keys --count: %q", got)
	}
	if got := s.OK("keys", "nothing like it"); got != "" {
		t.Errorf("no keys: %q", got)
	}
	var object struct {
		Version int
		Prefix  []byte
		Keys    []struct {
			Name, Value []byte
			Seq         uint64
			Expires     string
		}
	}
	s.OK("expire", "list:b", "1h")
	if err := json.Unmarshal([]byte(s.OK("keys", "list:b", "--values", "--json")), &object); err != nil || object.Version != 1 || string(object.Prefix) != "list:b" ||
		len(object.Keys) != 1 || string(object.Keys[0].Name) != "list:b" || string(object.Keys[0].Value) != "v 4" || object.Keys[0].Seq == 0 || object.Keys[0].Expires == "" {
		t.Errorf("keys --json: %+v, %v", object, err)
	}
	s.Fails(2, "--count", "keys", "--count", "--sort")
	s.Fails(2, "exclude", "keys", "-0", "--json")
	s.Fails(3, "in time", "keys", "--timeout", "1ns")
}

// testChanges: what changes keys besides setr and delr, and what depends on what is there.
func testChanges(t *testing.T, s *harness.Shell) {
	s.OK("setr", "when", "one", "--if-absent")
	s.Fails(4, "condition not met: the key is at version", "setr", "when", "two", "--if-absent")
	s.Fails(4, "the key is absent", "setr", "when not", "two", "--if-present")
	version, value, _ := strings.Cut(s.OK("getr", "when", "--show-version"), "\n")
	if value != "one" {
		t.Errorf("getr --show-version: %q, %q", version, value)
	}
	next := strings.TrimSpace(s.OK("setr", "when", "two", "--if-version", version, "--show-version"))
	s.Fails(4, "version "+next, "setr", "when", "three", "--if-version", version)
	s.Fails(4, "version "+next, "delr", "when", "--if-version", version)
	s.Fails(2, "TERM.SEQ", "setr", "when", "three", "--if-version", "3")
	s.Fails(2, "exclude each other", "setr", "when", "three", "--if-version", next, "--if-absent")
	s.OK("delr", "when", "--if-version", next)
	if got := s.OK("incr", "counter") + s.OK("incr", "counter", "-5") + s.OK("incr", "counter", "10", "--json"); !strings.HasPrefix(got, "1\n-4\n{") || !strings.Contains(got, `"sum":6`) {
		t.Errorf("incr: %q", got)
	}
	s.OK("setr", "word", "x")
	s.Fails(4, "not a 64-bit integer", "incr", "word")
	s.Fails(2, "BY is an integer", "incr", "counter", "much")
	s.OK("append", "word", "--", "--y")
	if r := s.Run("z\n", "append", "word", "-"); r.Code != 0 {
		t.Errorf("append from a pipe: %+v", r)
	}
	if got := s.OK("getr", "word"); got != "x--yz\n" {
		t.Errorf("appended: %q", got)
	}
	if got := s.OK("ttl", "word"); got != "never\n" {
		t.Errorf("ttl: %q", got)
	}
	s.OK("expire", "word", "1h")
	if left, err := time.ParseDuration(strings.TrimSpace(s.OK("ttl", "word"))); err != nil || left > time.Hour || left < 30*time.Minute {
		t.Errorf("ttl: %v, %v", left, err)
	}
	s.OK("expire", "word", "--never")
	if got := s.OK("ttl", "word"); got != "never\n" {
		t.Errorf("ttl after --never: %q", got)
	}
	s.Fails(1, "not found", "ttl", "nothing")
	s.Fails(1, "not found", "expire", "nothing", "1h")
	s.Fails(2, "DURATION is", "expire", "word", "1")
	s.Fails(2, "unexpected argument", "expire", "word", "1h", "--never")
	s.OK("expire", "word", "1ms")
	harness.Eventually(t, "the key goes", func() bool { return s.Run("", "getr", "word").Code == 1 })
	if got := s.OK("keys", "word"); got != "" {
		t.Errorf("an expired key is listed: %q", got)
	}
	s.Fails(4, "token", "incr", "counter", "--fence", fenced(t, s))
}

// fenced is a fence whose lock has gone to another, who has written.
func fenced(t *testing.T, s *harness.Shell) string {
	t.Helper()
	old := strings.TrimSpace(s.OK("lock_get", "change", "first"))
	s.OK("lock_release", "change", "first")
	s.OK("incr", "counter", "--fence", "change:"+strings.TrimSpace(s.OK("lock_get", "change", "second")))
	s.OK("lock_release", "change", "second")
	return "change:" + old
}
