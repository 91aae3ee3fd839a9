package process

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// testMeta is the tree of paths by the command line: what it prints, and exit codes.
func testMeta(t *testing.T, s *harness.Shell) {
	for _, value := range []string{"", "-5", "--json", "plain"} {
		s.OK("meta", "create", "-p", "/m/values/v"+value, "--", value)
		if got := s.OK("meta", "get", "/m/values/v"+value); got != value {
			t.Errorf("got %q, want %q", got, value)
		}
	}
	if r := s.Run("from a pipe", "meta", "set", "/m/values/v", "-"); r.Code != 0 || s.OK("meta", "get", "/m/values/v") != "from a pipe" {
		t.Errorf("set from a pipe: exit %d, %s", r.Code, r.Stderr)
	}
	for i := range 3 {
		if got := s.OK("meta", "create", "--sequence", "/m/seq-"); got != fmt.Sprintf("/m/seq-%010d\n", i) {
			t.Errorf("number %d: %s", i, got)
		}
	}
	s.OK("meta", "set", "--if-version", "0", "/m", "1")
	s.Fails(4, "another version", "meta", "set", "--if-version", "0", "/m", "2")
	s.Fails(4, "another version", "meta", "remove", "--if-version", "9", "/m/seq-0000000000")
	s.Fails(1, "no such node", "meta", "get", "/m/no")
	s.Fails(1, "no such node", "meta", "set", "/m/no", "x")
	s.Fails(1, "no such node", "meta", "list", "/m/no")
	s.Fails(1, "no such node", "meta", "remove", "/m/no")
	s.Fails(1, "parent", "meta", "create", "/m/no/child")
	s.Fails(4, "exists", "meta", "create", "/m")
	s.OK("meta", "create", "-p", "/m")
	s.Fails(4, "children", "meta", "remove", "/m")
	s.Fails(4, "root", "meta", "remove", "/")
	s.Fails(4, "root", "meta", "remove", "-r", "/")
	s.Fails(4, "slash", "meta", "create", "m")
	s.Fails(4, "stands for another", "meta", "create", "/m/..")
	s.Fails(2, "missing", "meta", "create")
	s.Fails(2, "missing", "meta", "set", "/m")
	s.Fails(2, "missing", "meta")
	s.Fails(2, "unknown", "meta", "destroy")
	s.Fails(2, "-r", "meta", "remove", "-r", "--if-version", "1", "/m")
	s.Fails(2, "0 or more", "meta", "set", "--if-version", "-1", "/m", "x")
	if r := s.Run(strings.Repeat("x", 1<<20+1), "meta", "set", "/m", "-"); r.Code != 4 || !strings.Contains(r.Stderr, "too large") {
		t.Errorf("over the limit: exit %d, %s", r.Code, r.Stderr)
	}
	if got, want := s.OK("meta", "list", "/m"), "seq-0000000000\nseq-0000000001\nseq-0000000002\nvalues\n"; got != want {
		t.Errorf("list: %q, want %q", got, want)
	}
	if got := s.OK("meta", "list", "-r", "/m"); !strings.Contains(got, "/m/values\n/m/values/v\n/m/values/v--json\n") {
		t.Errorf("list -r: %q", got)
	}
	if got := s.OK("meta", "list", "-l", "/m/values"); !strings.Contains(got, "11 B") {
		t.Errorf("list -l: %q", got)
	}
	var o struct {
		Path     string
		Children int
		Nodes    []struct{ Path string }
		Removed  int
	}
	decode := func(args ...string) {
		t.Helper()
		if err := json.Unmarshal([]byte(s.OK(args...)), &o); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	if decode("meta", "stat", "--json", "/m"); o.Path != "/m" || o.Children != 4 {
		t.Errorf("stat: %+v", o)
	}
	if decode("meta", "list", "--json", "/m"); len(o.Nodes) != 4 {
		t.Errorf("list: %+v", o)
	}
	if decode("meta", "remove", "-r", "--json", "/m"); o.Removed != 9 {
		t.Errorf("remove -r: %+v", o)
	}
	s.Fails(1, "no such node", "meta", "stat", "/m")
}

// testEphemeral: a node is there while a command runs, whose exit code is passed on; and when
// the session is lost it goes, and the command is ended.
func testEphemeral(t *testing.T, s *harness.Shell) {
	r := s.Run("", "meta", "create", "--ephemeral", "--sequence", "-p", "/e/n-", "v", "--", "sh", "-c", `echo $VIEWRING_NODE; exit 7`)
	if r.Code != 7 || r.Stdout != "/e/n-0000000000\n" {
		t.Errorf("exit %d, %q, %s", r.Code, r.Stdout, r.Stderr)
	}
	gone := func(path string) {
		t.Helper()
		harness.Eventually(t, path+" is gone", func() bool { return s.Run("", "meta", "get", path).Code == 1 })
	}
	gone("/e/n-0000000000")
	s.Fails(127, "not found", "meta", "create", "--ephemeral", "/e/x", "--", "no-such-command")
	s.Fails(2, "wants -- and a command", "meta", "create", "--ephemeral", "/e/x")
	s.Fails(2, "wants -- and a command", "meta", "create", "--ephemeral", "/e/x", "--")
	s.Fails(2, "is for --ephemeral", "meta", "create", "--session-ttl", "2s", "/e/x")
	s.Fails(2, "a second or more", "meta", "create", "--ephemeral", "--session-ttl", "1ms", "/e/x", "--", "true")
	s.Fails(1, "parent", "meta", "create", "--ephemeral", "/e/no/child", "--", "true")
	s.Fails(1, "no such node", "meta", "get", "/e/x")

	held := s.Start("meta", "create", "--ephemeral", "--session-ttl", "1s", "/e/held", "--",
		"sh", "-c", `trap "echo ended" TERM; echo began; sleep 1000 & wait; sleep 1000`)
	held.Stdout.Wait(t, "began", held.Done)
	s.Fails(4, "exists", "meta", "create", "--ephemeral", "-p", "/e/held", "--", "true")
	s.Fails(4, "session", "meta", "create", "-p", "/e/held/child")
	pause(t, held, "the node is gone", func() bool { return s.Run("", "meta", "get", "/e/held").Code == 1 })
	if code := held.Cmd.ProcessState.ExitCode(); code != 4 || !strings.Contains(held.Stderr.Text(), "stood still") {
		t.Errorf("a command whose node was lost: exit %d, %s%s", code, held.Stdout.Text(), held.Stderr.Text())
	}
}
