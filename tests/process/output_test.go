package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// printing are command lines of all commands that print, in an order in which they do their work.
var printing = [][]string{
	{"setr", "k", "v"}, {"getr", "k"}, {"keys", "k"}, {"expire", "k", "1h"}, {"ttl", "k"}, {"append", "k", "w"}, {"delr", "k"}, {"incr", "n"},
	{"meta", "create", "/m", "v"}, {"meta", "set", "/m", "w"}, {"meta", "get", "/m"}, {"meta", "stat", "/m"}, {"meta", "list", "/"}, {"meta", "remove", "/m"},
	{"file", "mkdir", "/d"}, {"file", "put", "src", "/d/f"}, {"file", "append", "/d/f", "src"}, {"file", "write", "--offset", "1", "/d/f", "src"},
	{"file", "truncate", "/d/f", "3"}, {"file", "cat", "/d/f"}, {"file", "get", "/d/f", "got"}, {"file", "ls", "/d"}, {"file", "stat", "/d/f"},
	{"file", "cp", "/d/f", "/d/g"}, {"file", "mv", "/d/g", "/d/h"}, {"file", "sums", "/d"}, {"file", "sync", "folder", "store:/d/s"},
	{"file", "verify", "/d"}, {"file", "df", "/"}, {"file", "rm", "-r", "/d"},
	{"record", "create", "/r"}, {"record", "append", "/r"}, {"record", "tail", "/r"}, {"record", "stat", "/r"}, {"record", "readers", "/r"}, {"record", "verify", "/r"}, {"record", "rm", "/r"},
	{"bulk", "load", "folder"}, {"bulk", "verify", "folder"},
	{"query_servers"}, {"events"}, {"explain", "k"}, {"plan", "leave", "s1"}, {"set-weight", "s1", "1", "--yes"}, {"set-zone", "s1", "", "--yes"}, {"rebalance", "status"}, {"rebalance", "pause"}, {"rebalance", "resume"}, {"rebalance", "rate", "0"},
	{"export", "lines"}, {"import", "lines"}, {"backup", "copy"}, {"backup", "list", "copy"}, {"backup", "verify", "copy"}, {"restore", "copy", "--existing", "keep"},
	{"scrub"}, {"print", "hello", "--server", "s1"}, {"set", "a", "b", "--server", "s1"}, {"get", "a", "--server", "s1"}, {"query_all_keys", "--server", "s1"},
	{"lock_get", "l", "me"}, {"locks"}, {"lock_release", "l", "me"}, {"bench", "--seconds", "0.1", "--keys", "100", "--connections", "2"},
	{"certs", "make", "certs", "a"}, {"certs", "add", "certs", "b"}, {"certs", "renew", "certs"}, {"certs", "list", "certs"},
	{"viewleaders"}, {"version"}, {"completion", "bash"}, {"help"}, {"run", "--list"}, {"ring", "moved", "--servers", "3"}, {"ring", "balance", "--points", "1", "--sets", "1"}, {"ring", "cost", "--servers", "3"}, {"report", "made"}, {"wait", "--safe"}, {"drain", "s1"}, {"undrain", "s1"},
}

// silent are the commands that print nothing that could be lost, or nothing before their end.
var silent = strings.Fields("server viewleader gateway zk http s3 up demo leave remove accept-loss watch doctor shell")

// TestOutputLost: no command ends well whose output could not be written.
func TestOutputLost(t *testing.T) {
	s, _ := harness.Up(t)
	for name, text := range map[string]string{"src": "source\n", "folder/a": "a", "made/x.csv": "x\n1\n"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(s.Dir+"/"+name), 0o777), os.WriteFile(s.Dir+"/"+name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	full := func(args ...string) (int, string) {
		out, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		defer out.Close()
		var said strings.Builder
		cmd := exec.Command(harness.Program(), args...)
		s.Place(cmd)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("line\n"), out, &said
		_ = cmd.Run() // its exit code is looked at
		return cmd.ProcessState.ExitCode(), said.String()
	}
	tried := map[string]bool{}
	for _, args := range printing {
		tried[strings.Join(args[:min(2, len(args))], " ")], tried[args[0]] = true, true
		if !slices.Contains(args, "cat") { // the bytes of files
			args = append(args, "--json")
		}
		if code, said := full(args...); code != 6 || !strings.Contains(said, "standard output: ") {
			t.Errorf("viewring %q: exit %d, %s", args, code, said)
		}
	}
	for _, name := range silent {
		tried[name] = true
	}
	for _, group := range []string{"", "meta", "file", "record", "bulk", "rebalance", "backup", "certs", "ring"} {
		for _, name := range subcommands(s, group) {
			if name != "meta watch" && !tried[name] {
				t.Errorf("nobody knows what becomes of the output of %q", name)
			}
		}
	}
	// What follows changes ends with the first that it can't tell.
	followed := make(chan string)
	go func() {
		code, said := full("watch", "--prefix", "w")
		followed <- fmt.Sprintf("exit %d, %s", code, said)
	}()
	var ended string
	harness.Eventually(t, "watch ends", func() bool {
		s.OK("setr", "w", "x")
		select {
		case ended = <-followed:
			return true
		default:
			return false
		}
	})
	if !strings.HasPrefix(ended, "exit 6, ") {
		t.Errorf("watch: %s", ended)
	}
}

// testCompletion: shells complete what the cluster has.
func testCompletion(t *testing.T, s *harness.Shell) {
	s.OK("setr", "complete:me", "x")
	s.OK("lock_get", "complete-lock", "somebody")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"drain", ""}, "s2"}, {[]string{"plan", "leave", "s1", ""}, "s3"}, {[]string{"get", "x", "--server", ""}, "s1"},
		{[]string{"getr", "compl"}, "complete:me"}, {[]string{"keys", "complete"}, "complete:me"}, {[]string{"lock_release", ""}, "complete-lock"}, {[]string{"lock_release", "complete-lock", ""}, "somebody"},
		{[]string{"run", "chu"}, "churn4.txt"}, {[]string{"bench", "--mode", ""}, "mix"}, {[]string{"help", "me"}, "meta"},
	} {
		if got := s.OK(append([]string{"__complete"}, tt.args...)...); !strings.Contains(got, tt.want) {
			t.Errorf("completes %q with %q, not %s", tt.args, got, tt.want)
		}
	}
	if got := s.OK("__complete", "getr", "nothing-like-it"); !strings.HasPrefix(got, ":") {
		t.Errorf("completes with %q", got)
	}
	s.OK("lock_release", "complete-lock", "somebody")
}

// testJSON: what the page says of simple objects is what there is.
func testJSON(t *testing.T, s *harness.Shell) {
	page, err := os.ReadFile("../../client/cli/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for command, args := range map[string][]string{
		"setr": {"json", "x"}, "getr": {"json"}, "delr": {"json"}, "incr": {"json-n"},
		"append": {"json", "x"}, "expire": {"json", "1h"}, "ttl": {"json"}, "set": {"json", "x", "--server", "s1"}, "get": {"json", "--server", "s1"},
		"print": {"x", "--server", "s1"}, "lock_get": {"json", "me"}, "query_all_keys": {"--server", "s1"},
	} {
		s.OK("setr", "json", "x")
		s.OK("set", "json", "x", "--server", "s1")
		_, row, ok := strings.Cut(string(page), "\n| `"+command+"` | ")
		row, _, _ = strings.Cut(row, "\n")
		row, _, _ = strings.Cut(row, "; also")
		want := []string{"version"}
		for i, word := range strings.Split(row, "`") {
			if i%2 == 1 {
				want = append(want, word)
			}
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(s.OK(append([]string{command, "--json"}, args...)...)), &got); err != nil || !ok {
			t.Errorf("%s: in the page %v, %v", command, ok, err)
		}
		slices.Sort(want)
		if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, want) {
			t.Errorf("%s has %q, the page %q", command, keys, want)
		}
	}
	s.OK("lock_release", "json", "me")
}

// subcommands lists the commands below another, or all.
func subcommands(s *harness.Shell, group string) (names []string) {
	args := append(strings.Fields("__complete "+group), "")
	for line := range strings.Lines(s.OK(args...)) {
		if name, _, ok := strings.Cut(line, "\t"); ok {
			names = append(names, strings.TrimSpace(group+" "+name))
		}
	}
	return names
}
