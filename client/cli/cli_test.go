package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/admin"
	"viewring/client/bulk"
	"viewring/internal/port"
	"viewring/ring"
	"viewring/scripts"
)

// run runs a command line in this process.
func run(t *testing.T, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(t.Context(), args, Env{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Version: "test",
		Getenv: func(key string) string { return env[key] },
	}, Starters{
		ViewLeader: func(context.Context, ViewLeaderOptions) error { return errors.New("started") },
		Server: func(_ context.Context, o ServerOptions) error {
			return fmt.Errorf("started: zone %s, data %s, leaders %v, domains %v", o.Zone, o.Data, o.Leaders, o.HTTP.S3.Domains)
		},
	})
	return code, out.String(), errs.String()
}

func TestUsageErrors(t *testing.T) {
	tests := []struct {
		args string
		want string // in what it says
	}{
		{"setx a b", "did you mean"},
		{"frobnicate", `unknown command "frobnicate"`},
		{"setr", "NAME and VALUE are missing"},
		{"setr a", "VALUE is missing"},
		{"setr a b c", `unexpected argument "c"`},
		{"setr --nonsense a b", "unknown flag: --nonsense"},
		{"setr a --jsno", "a value that looks like a flag goes behind --"},
		{"setr a --json", "VALUE is missing"},
		{"print a --jsno", "unknown flag: --jsno"},
		{"setr --ttl 0 a b", "--ttl is a millisecond or more"},
		{"setr a b --ttl -5s", "--ttl is a millisecond or more"},
		{"getr", "NAME is missing"},
		{"getr a b", `unexpected argument "b"`},
		{"getr a --timeout nonsense", `invalid argument "nonsense" for "--timeout": want a time such as 90s, 30m or 24h`},
		{"setr a b --ttl 5", `invalid argument "5" for "--ttl": want a time such as 90s, 30m or 24h`},
		{"getr a --timeout -1s", "--timeout must be above 0"},
		{"getr a --viewleader nonsense", "must be HOST:PORT"},
		{"getr a --log-level loud", "--log-level"},
		{"set a b", "did you mean setr?"},
		{"get a", "did you mean getr?"},
		{"set a", "did you mean setr?"},
		{"print hello", "--server ADDR is missing"},
		{"query_all_keys", "--server ADDR is missing"},
		{"get a --server nonsense", "--server must be HOST:PORT"},
		{"lock_get a", "CLIENT is missing"},
		{"lock_get a b --wait -1s", "cannot be negative"},
		{"up --metrics :9000", "say --metrics=:9000"},
		{"up --metrics=nonsense", "--metrics must be HOST:PORT"},
		{"leave", "SERVER is missing"},
		{"accept-loss", "either PARTITION"},
		{"accept-loss 3 --all-unavailable", "either PARTITION"},
		{"accept-loss 9-7", `"9-7" is not a partition`},
		{"accept-loss 3,x", `"x" is not a partition`},
		{"accept_loss 70000", "is not a partition"},
		{"events now", `unexpected argument "now"`},
		{"bulk", "load or verify is missing"},
		{"bulk unload x", `unknown command "unload"`},
		{"bulk load /nonexistent/folder", "no such file"},
		{"file", "a command is missing"},
		{"file frobnicate", `unknown command "frobnicate"`},
		{"file put", "SRC and DEST are missing"},
		{"file put x", "DEST is missing"},
		{"file get", "SRC is missing"},
		{"file get a b c", `unexpected argument "c"`},
		{"file cat", "PATH is missing"},
		{"file cat --offset -1 /a", "0 or more"},
		{"file cat --length -1 /a", "0 or more"},
		{"file write /a", "--offset N says where"},
		{"file write --offset -1 /a", "--offset N says where"},
		{"file truncate /a", "BYTES is missing"},
		{"file truncate /a 1k", `not "1k"`},
		{"file mv /a", "TO is missing"},
		{"run", "FILE is missing"},
		{"up --servers 99", "--servers must be"},
		{"bench --mode sideways", "--mode must be"},
		{"viewleader --partitions 1000", "power of two"},
		{"viewleader --min-copies 4", "--min-copies must be 1 to 3"},
		{"viewleader --listen nonsense", "--listen must be HOST:PORT"},
		{"viewleader --recover-without s3", "--recover-without needs --recover"},
		{"viewleader --recover --recover-accept-loss", "--recover-accept-loss need both"},
		{"viewleader --recover --recover-without three", "not a server id"},
		{"server --listen 127.0.0.1:99999", "is not a port"},
		{"server --listen :0", "needs --data"},
		{"server --memory 1000", "--memory must be at least 134217728"},
		{"server --memory -1", "--memory must be at least"},
		{"demo --dir /nonexistent/folder", "--dir"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := run(t, nil, "", strings.Fields(tt.args)...)
			if code != exitUsage || !strings.Contains(stderr, tt.want) || (stdout != "") != strings.Contains(tt.args, " --json") {
				t.Errorf("exit %d, stdout %q, stderr %q; want exit 2 and %q", code, stdout, stderr, tt.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	tests := []struct {
		args []string
		want string
	}{
		{[]string{"server", "--listen", "0.0.0.0:0", "--data", t.TempDir()}, "--insecure"},
		{[]string{"viewleader", "--data", "/proc/nonsense"}, "data folder"},
	}
	for _, tt := range tests {
		code, _, stderr := run(t, nil, "", tt.args...)
		if code != exitRefused || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: exit %d, %q; want exit 4 and %q", tt.args, code, stderr, tt.want)
		}
	}
	for _, verb := range []string{"load", "verify"} {
		if code, _, stderr := run(t, nil, "", "bulk", verb, t.TempDir()); code != exitNotFound || !strings.Contains(stderr, "no regular file") {
			t.Errorf("bulk %s of nothing: exit %d, %q", verb, code, stderr)
		}
	}
	if code, _, _ := run(t, nil, "", "run", file); code != exitNotFound {
		t.Errorf("run of no file: exit %d, want 1", code)
	}
}

func TestSeparateArgs(t *testing.T) {
	tests := []struct{ args, want string }{
		{"setr a b", "setr -- a b"},
		{"setr a -5", "setr -- a -5"},
		{"setr a -", "setr -- a -"},
		{"setr a --json", "setr --json -- a"},
		{"setr a --help", "setr --help -- a"},
		{"setr a -h", "setr -h -- a"},
		{"setr a --ttl 30m b", "setr --ttl 30m -- a b"},
		{"setr a --ttl=30m b", "setr --ttl=30m -- a b"},
		{"setr a --jsno", "setr --jsno -- a"},
		{"setr a -----BEGIN", "setr -- a -----BEGIN"},
		{"setr a ---", "setr -- a ---"},
		{"setr a -- --json", "setr -- a --json"},
		{"setr a b --json", "setr --json -- a b"},
		{"setr a b --timeout 5s", "setr --timeout 5s -- a b"},
		{"setr --json a -x", "setr --json -- a -x"},
		{"setr --timeout 5s a -x", "setr --timeout 5s -- a -x"},
		{"--json setr a -x", "--json setr -- a -x"},
		{"--timeout 5s setr a -x", "--timeout 5s setr -- a -x"},
		{"setr -- -a -x", "setr -- -a -x"},
		{"setr a -- -x", "setr -- a -x"},
		{"setr a --", "setr -- a"},
		{"setr a -- --", "setr -- a --"},
		{"setr -h", "setr -h --"},
		{"set a -1 --server x:1", "set --server x:1 -- a -1"},
		{"set --server x:1 a -1", "set --server x:1 -- a -1"},
		{"print hello -there --server x:1", "print --server x:1 -- hello -there"},
		{"print --server=x:1 -- --json", "print --server=x:1 -- --json"},
		{"print hello --jsno", "print --jsno -- hello"},
		{"meta create /a -p -5", "meta create -p -- /a -5"},
		{"meta create /a v --ephemeral -- ls --json", "meta create --ephemeral -- /a v -- ls --json"},
		{"meta create --ephemeral /a -- -- ls", "meta create --ephemeral -- /a -- -- ls"},
		{"meta create /a -- --ephemeral", "meta create -- /a --ephemeral"},
		{"meta set /a --if-version 3 --json v", "meta set --if-version 3 --json -- /a v"},
		{"getr --json a", "getr --json a"},
		{"lock-get a b", "lock-get a b"},
		{"nonsense -x", "nonsense -x"},
		{"", ""},
	}
	for _, tt := range tests {
		a := &app{env: Env{Getenv: func(string) string { return "" }}}
		if got := a.separateArgs(a.root(), strings.Fields(tt.args)); !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("separateArgs(%q) = %q, want %q", tt.args, got, tt.want)
		}
	}
}

// TestViewLeadersWithoutHead: with --json the group and the error are one object.
func TestViewLeadersWithoutHead(t *testing.T) {
	var out, errs bytes.Buffer
	a := &app{env: Env{Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}}
	a.flags.json = true
	g := &admin.ViewLeaderGroup{Members: []admin.ViewLeader{{ID: 1, Addr: "a:1", Voter: true, Up: true}, {ID: 2, Addr: "b:1", Voter: true}, {ID: 3, Addr: "c:1", Voter: true}}}
	err := a.printViewLeaders(g)
	code := a.exitCode(t.Context(), err)
	a.report(err, code)
	var o struct {
		Members []viewLeaderObject
		Error   string
		Exit    int
	}
	if err := json.Unmarshal(out.Bytes(), &o); err != nil || len(o.Members) != 3 || !strings.Contains(o.Error, "1 of the 2") || o.Exit != exitUnavailable || code != o.Exit {
		t.Errorf("%s: %+v, %v", out.String(), o, err)
	}
}

func TestHelp(t *testing.T) {
	a := &app{env: Env{Getenv: func(string) string { return "" }}}
	root := a.root()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "completion" || cmd.Name() == "help" {
			continue
		}
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example or no short help", cmd.Name())
		}
		code, stdout, stderr := run(t, nil, "", cmd.Name(), "--help")
		if code != exitOK || !strings.Contains(stdout, "Examples:") || stderr != "" {
			t.Errorf("%s --help: exit %d, %q, %q", cmd.Name(), code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{"help", "nosuch"}, {"help", "meta", "nosuch"}, {"help", "getr", "x"}} {
		if code, stdout, stderr := run(t, nil, "", args...); code != exitUsage || stdout != "" || !strings.Contains(stderr, "unknown command") {
			t.Errorf("%v: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
	if code, stdout, _ := run(t, nil, "", "help", "meta", "create"); code != exitOK || !strings.Contains(stdout, "--sequence") {
		t.Errorf("help meta create: exit %d, %q", code, stdout)
	}
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"version"}, {"--version"}, {"completion", "bash"}, {"lock-get", "--help"}, {"query-servers", "--no_color", "--help"}, {"run", "--list"}} {
		if code, stdout, stderr := run(t, nil, "", args...); code != exitOK || stdout == "" {
			t.Errorf("%v: exit %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

// Flag over environment over default; unreachable is exit code 3, and named.
func TestUnreachableIsNamed(t *testing.T) {
	addr, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{leaderEnv: addr, "XDG_CACHE_HOME": t.TempDir()}
	for _, args := range [][]string{{"getr", "x"}, {"query_servers"}, {"getr", "x", "--json"}, {"locks"}, {"get", "x", "--server", addr}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(t, env, "", args...)
			if code != exitUnknown || !strings.Contains(stderr, addr) {
				t.Errorf("%v: exit %d, %q; want exit 3 and %s named", args, code, stderr, addr)
			}
			if slices.Contains(args, "--json") {
				var o struct{ Version, Exit int }
				if err := json.Unmarshal([]byte(stdout), &o); err != nil || o.Version != 1 || o.Exit != 3 {
					t.Errorf("%v printed %q", args, stdout)
				}
			}
		})
	}
}

// A server's state says what is wrong with its disk, while it is up.
func TestStateOf(t *testing.T) {
	m := &ring.Member{Status: ring.In, Up: true}
	ill := &admin.ServerStats{Full: true, Corrupt: 5, Repaired: 3}
	if got := stateOf(m, ill); !strings.HasSuffix(got, ", disk full, 2 corrupt") {
		t.Error(got)
	}
	for _, s := range []*admin.ServerStats{{}, {Corrupt: 3, Repaired: 3}, {Repaired: 1}} {
		if got := stateOf(m, s); got != m.State() {
			t.Errorf("%+v: %q", s, got)
		}
	}
	m.Up = false
	if got := stateOf(m, ill); got != m.State() {
		t.Errorf("down: %q", got)
	}
}

func TestLeaders(t *testing.T) {
	a := &app{}
	if got := a.leaders(); !slices.Equal(got, []string{defaultLeader}) {
		t.Errorf("leaders when nothing is said: %q", got)
	}
	a.flags.leaders = "flag:1"
	if got := a.leaders(); !slices.Equal(got, []string{"flag:1"}) {
		t.Errorf("leaders from the flag: %q", got)
	}
}

func TestWords(t *testing.T) {
	for name, want := range map[string]string{
		"plain": "plain", "a/b.c-d": "a/b.c-d", "": `""`, "two words": `"two words"`, "line\nbreak": `"line\nbreak"`,
		"\xff": `"\xff"`, `quo"te`: `"quo\"te"`, "größe": "größe",
	} {
		if got := quoted(name); got != want {
			t.Errorf("quoted(%q) = %s, want %s", name, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1 << 20: "1.0 MiB", 1<<20 - 1: "1.0 MiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}

// TestProblemsExit: of many files an outcome that is not known counts more than any
// other, wherever it stands; else the first that has an error.
func TestProblemsExit(t *testing.T) {
	of := func(err error) bulk.Problem { return bulk.Problem{Err: err} }
	unknown, down, none := of(client.ErrUnknownOutcome), of(client.ErrRefused), of(nil)
	for _, tt := range []struct {
		problems []bulk.Problem
		want     int
	}{
		{[]bulk.Problem{none}, exitNotFound},
		{[]bulk.Problem{none, down}, exitRefused},
		{[]bulk.Problem{unknown, down, none}, exitUnknown},
		{[]bulk.Problem{down, unknown}, exitUnknown},
		{[]bulk.Problem{none, down, unknown, down}, exitUnknown},
	} {
		var code codeError
		if err := (&app{running: true}).problemsError("load", tt.problems); !errors.As(err, &code) || code.code != tt.want {
			t.Errorf("%+v: %+v, want exit code %d", tt.problems, code, tt.want)
		}
	}
}

// TestScriptsChecked: the scripts that are built in can be played, and a wrong one is told before
// anything is.
func TestScriptsChecked(t *testing.T) {
	entries, err := scripts.FS.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if code, _, stderr := run(t, nil, "", "run", "--check", "--set", "TREE=.", e.Name()); code != exitOK {
			t.Errorf("%s: exit %d, %s", e.Name(), code, stderr)
		}
	}
	wrong := filepath.Join(t.TempDir(), "wrong.txt")
	if err := os.WriteFile(wrong, []byte("cluster servers 3\ngetr a b\nsetr a --jsno\nmeta craete /a\nlocks\nexpcet failed 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"run", wrong}, {"run", "--check", wrong}} {
		code, _, stderr := run(t, nil, "", args...)
		for _, want := range []string{"wrong.txt:2", "wrong.txt:3", "wrong.txt:4", "wrong.txt:6: expcet"} {
			if code != exitUsage || !strings.Contains(stderr, want) {
				t.Errorf("%v: exit %d, %q; want exit 2 and %q", args, code, stderr, want)
			}
		}
		if strings.Contains(stderr, ":5") {
			t.Errorf("%v: %s", args, stderr)
		}
	}
}

// TestHelpWidth: no line of any help is wider than a terminal.
func TestHelpWidth(t *testing.T) {
	a := &app{env: Env{Getenv: func(string) string { return "" }}}
	var look func(cmd *cobra.Command, path []string)
	look = func(cmd *cobra.Command, path []string) {
		_, help, _ := run(t, nil, "", append(path, "--help")...)
		for line := range strings.Lines(help) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
				t.Errorf("viewring %s --help has a line of %d columns: %s", strings.Join(path, " "), n, line)
			}
		}
		for _, c := range cmd.Commands() {
			look(c, append(path[:len(path):len(path)], c.Name()))
		}
	}
	look(a.root(), nil)
}
