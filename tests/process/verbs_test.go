package process

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"viewring/client/cli/play"
	"viewring/tests/harness"
)

// scriptFile writes a script into the folder of a shell.
func scriptFile(t *testing.T, s *harness.Shell, text string) string {
	t.Helper()
	name := filepath.Join(s.Dir, "script.txt")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestScriptNetwork: what is cut carries nothing, what is slow is late, and what is healed works.
func TestScriptNetwork(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("callers are told apart on Linux alone")
	}
	s := harness.NewShell(t, "")
	s.OK("run", "--set", "servers=1", scriptFile(t, s, `
cluster servers $servers --partitions=32
setr colour blue
cut s1 clients
exits 3 getr colour --timeout 300ms
heal s1 clients
getr colour
stdout blue

cut s1 leader
wait s1 down
heal
wait s1 up

slow s1 clients 30ms
traffic start 200
measure 300ms as slow
sh awk "BEGIN { exit !($slow.p50 >= 60 && $slow.failed == 0) }"
traffic stop
`))
}

// TestScriptMeasures: a script in a loop leaves its tables and plots, with what it has measured.
func TestScriptMeasures(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, "")
	out := s.OK("run", "--out", "found", scriptFile(t, s, `# Sizes of values.
cluster servers 1 --partitions=32
table loads size ops failed
for size in 100 1KiB
  load 200 $size
  workload start 500
  measure 100ms as mixed
  workload stop
  row loads $size $mixed.ops $mixed.failed
end
traffic start 500
timeline start line 50ms
timeline mark 'it begins'
measure 200ms
timeline stop
traffic stop
plot line seconds p50 max marks=event
expect lost 0
expect failed 0
sh 'viewring keys load/ | wc -l'
stdout '^ *400$'
`))
	if !strings.Contains(out, "\nresults are in found\n") {
		t.Errorf("it does not say where the results are:\n%s", out)
	}
	read := func(name string) [][]string {
		f, err := os.Open(filepath.Join(s.Dir, "found", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		rows, err := csv.NewReader(f).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	if rows := read("loads.csv"); len(rows) != 3 || rows[2][0] != "1KiB" || rows[2][1] == "0" || rows[2][2] != "0" {
		t.Errorf("loads: %q", rows)
	}
	if rows := read("line.csv"); len(rows) < 2 || rows[1][len(rows[1])-1] != "it begins" {
		t.Errorf("line: %q", rows)
	}
	for _, name := range []string{"line.svg", "line.png", "loads.md", "run.json"} {
		if _, err := os.Stat(filepath.Join(s.Dir, "found", name)); err != nil {
			t.Error(err)
		}
	}
}

// TestScriptRunning: on a running cluster a script leaves nothing behind, however it ends, and what
// is not for it is refused before it begins.
func TestScriptRunning(t *testing.T) {
	t.Parallel()
	c := harness.NewCluster(t, harness.Config{Servers: 1, Direct: true})
	s := harness.NewShell(t, "")
	leader := c.Leader.Addr
	run := func(text string, more ...string) []string {
		return append([]string{"run", "--viewleader", leader, scriptFile(t, s, text)}, more...)
	}
	const load = `
fill 50
load 50
workload start
traffic start 200 plain
measure 100ms
`
	out := s.OK(run(load + `
sh 'viewring getr --timeout 5s nothing; test $? = 1'
setr own colour
traffic stop
workload 10
workload stop
expect lost 0
expect failed 0
wait s1 up
rebalance pause
`)...)
	if !regexp.MustCompile(`removing the \d+ keys`).MatchString(out) {
		t.Errorf("it does not say that it removes keys:\n%s", out)
	}
	s.Fails(1, "x: exit code 1", run(load+"getr x\n")...)
	d := s.Start(run(load + "sh 'sleep 1000'\n")...)
	d.Stdout.Wait(t, "> sh 'sleep", d.Done)
	if err := d.Cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-d.Done
	if code := d.Cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("exit %d after Ctrl-C, want 3", code)
	}
	if keys := s.OK("keys", "--viewleader", leader); keys != "own\n" {
		t.Errorf("there is left %.300q", keys)
	}
	if says := s.OK("rebalance", "status", "--viewleader", leader); strings.Contains(says, "paused") {
		t.Errorf("rebalancing is still paused: %s", says)
	}
	if r := s.Run("", run("setr a b\nkill s1\ncut s1 leader\nload start .\nleave s2\n", "--check")...); r.Code != 2 ||
		strings.Count(r.Stderr, "not on a running cluster: ") != 3 || !strings.Contains(r.Stderr, "script.txt:5: leave s2: no server is named") {
		t.Errorf("exit %d, %s", r.Code, r.Stderr)
	}
	s.Fails(3, "connection refused", "run", "--viewleader", harness.FreeAddr(t), "--timeout", "1s", "--check", "crash")
}

// TestVerbExamples: what help shows of each verb can be played.
func TestVerbExamples(t *testing.T) {
	harness.Slow(t)
	t.Parallel()
	s := harness.NewShell(t, "")
	for _, name := range play.Names() {
		_, example, ok := strings.Cut(s.OK("run", "help", name), "\nExample:\n")
		if !ok {
			t.Errorf("%s has no example", name)
			continue
		}
		s.OK("run", "--out", filepath.Join(s.Dir, name), scriptFile(t, s, example))
	}
}
