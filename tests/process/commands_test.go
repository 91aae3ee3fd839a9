package process

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"viewring/tests/harness"
)

// Every command as a new user tries it on a fresh cluster, exit codes included.
func TestCommands(t *testing.T) {
	t.Parallel()
	s, d := harness.Up(t)
	t.Run("values", func(t *testing.T) { testValues(t, s) })
	t.Run("names", func(t *testing.T) { testNames(t, s) })
	t.Run("keys", func(t *testing.T) { testKeys(t, s) })
	t.Run("changes", func(t *testing.T) { testChanges(t, s) })
	t.Run("shell", func(t *testing.T) { testShell(t, s) })
	t.Run("meta", func(t *testing.T) { testMeta(t, s) })
	t.Run("files", func(t *testing.T) { testFiles(t, s) })
	t.Run("sync", func(t *testing.T) { testSync(t, s) })
	t.Run("deep", func(t *testing.T) { testDeep(t, s) })
	t.Run("records", func(t *testing.T) { testRecords(t, s) })
	t.Run("backup", func(t *testing.T) { testBackup(t, s) })
	t.Run("file changes", func(t *testing.T) { testFileChanges(t, s) })
	t.Run("ephemeral", func(t *testing.T) { testEphemeral(t, s) })
	t.Run("watch", func(t *testing.T) { testWatch(t, s) })
	t.Run("locks", func(t *testing.T) { testLocks(t, s) })
	t.Run("completion", func(t *testing.T) { testCompletion(t, s) })
	t.Run("inherited", func(t *testing.T) { testInherited(t, s) })
	t.Run("json", func(t *testing.T) { testJSON(t, s) })
	t.Run("guard", func(t *testing.T) { testGuard(t, s) })
	t.Run("guard lives", func(t *testing.T) { testGuardLives(t, s) })
	t.Run("terminal", func(t *testing.T) { testTerminal(t, s) })
	t.Run("screen", func(t *testing.T) { testScreen(t, s) })
	t.Run("servers", func(t *testing.T) { testServers(t, s, d) })
	t.Run("own", func(t *testing.T) { testOneServersOwn(t, s, d) })
	t.Run("bulk", func(t *testing.T) { testBulk(t, s) })
	t.Run("bench", func(t *testing.T) { testBench(t, s) })
	t.Run("redis", func(t *testing.T) { testRedis(t, s) })
	t.Run("garbage", func(t *testing.T) { testGarbage(t, s) })
	t.Run("refused", func(t *testing.T) { testRefusedServers(t, s) })
}

func testValues(t *testing.T, s *harness.Shell) {
	random := make([]byte, 1<<20)
	_, _ = rand.Read(random)
	for _, value := range []string{"", "-", "-5", "--json", "plain", "\x00\xff\n", string(random)} {
		if value == "-" || len(value) > 1000 || strings.Contains(value, "\x00") {
			if r := s.Run(value, "setr", "value", "-"); r.Code != 0 {
				t.Fatalf("setr of %d bytes from a pipe: exit %d, %s", len(value), r.Code, r.Stderr)
			}
		} else {
			s.OK("setr", "value", "--", value)
		}
		if got := s.OK("getr", "value"); got != value {
			t.Errorf("getr returned %d bytes, %.20q; want %d, %.20q", len(got), got, len(value), value)
		}
	}
	large := s.Run(strings.Repeat("x", 16<<20), "setr", "large", "-")
	if large.Code != 0 || len(s.OK("getr", "large")) != 16<<20 {
		t.Errorf("16 MiB: exit %d, %s", large.Code, large.Stderr)
	}
	if r := s.Run(strings.Repeat("x", 16<<20+1), "setr", "large", "-"); r.Code != 4 || !strings.Contains(r.Stderr, "too large") {
		t.Errorf("over the limit: exit %d, %s", r.Code, r.Stderr)
	}
	s.OK("delr", "large")
	s.Fails(1, "not found", "getr", "large")
	s.Fails(1, "not found", "delr", "large")
	s.Fails(4, "empty", "setr", "", "x")
}

func testNames(t *testing.T, s *harness.Shell) {
	for _, name := range []string{"two words", "line\nbreak", "\xff\xfe", "{tag}x", "größe"} {
		s.OK("setr", name, "v")
		if got := s.OK("getr", name); got != "v" {
			t.Errorf("getr %q = %q", name, got)
		}
		var o struct{ Name, Value string }
		if err := json.Unmarshal([]byte(s.OK("getr", name, "--json")), &o); err != nil || o.Name != base64.StdEncoding.EncodeToString([]byte(name)) {
			t.Errorf("getr %q --json = %+v, %v", name, o, err)
		}
	}
	keys := s.OK("query_all_keys", "--server", "s1")
	for _, want := range []string{`"two words"`, `"line\nbreak"`, `"\xff\xfe"`, "{tag}x", "größe"} {
		if !strings.Contains(keys, want) {
			t.Errorf("query_all_keys does not show %s:\n%s", want, keys)
		}
	}
}

func testLocks(t *testing.T, s *harness.Shell) {
	first := s.OK("lock_get", "l", "alice")
	if again := s.OK("lock-get", "l", "alice"); again != first {
		t.Errorf("asking again gave token %s, not %s", again, first)
	}
	s.Fails(4, "alice", "lock_get", "l", "bob", "--wait", "0")
	s.Fails(4, "still held by another client", "lock_get", "l", "bob", "--timeout", "2s")
	s.Fails(4, "", "lock_release", "l", "bob")
	waiting := s.Start("lock_get", "l", "carol")
	harness.Eventually(t, "carol waits", func() bool { return strings.Contains(s.OK("locks"), "carol") })
	s.OK("lock_release", "l", "alice")
	<-waiting.Done
	if got := waiting.Stdout.Text(); got == "" || got == first || waiting.Cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("carol got token %q after %q", got, first)
	}
	s.OK("lock_release", "l", "carol")
	s.OK("lock_get", "short", "dave", "--ttl", "100ms")
	s.OK("lock_get", "short", "erin", "--timeout", "10s")
	s.OK("lock_release", "short", "erin")
	testSharedLocks(t, s)
	testDeadlock(t, s)
	testLockedCommand(t, s)
	if got := s.OK("locks"); !strings.Contains(got, "no lock is held") {
		t.Errorf("locks: %s", got)
	}
}

func testSharedLocks(t *testing.T, s *harness.Shell) {
	s.OK("lock_get", "data", "r1", "--shared")
	s.OK("lock_get", "data", "r2", "--shared", "--wait", "0")
	s.Fails(4, "r1", "lock_get", "data", "w", "--wait", "0")
	s.OK("lock_release", "data", "r1")
	s.OK("lock_release", "data", "r2")
}

// testDeadlock: a holds L1, b holds L2, a waits for L2, b asks for L1. b is refused, and
// a is told too; if b waits all the same, the list shows it until a gives way.
func testDeadlock(t *testing.T, s *harness.Shell) {
	const told = `"b" waits for "L1" held by "a", "a" waits for "L2" held by "b"`
	s.OK("lock_get", "L1", "a")
	s.OK("lock_get", "L2", "b")
	a := s.Start("lock_get", "L2", "a")
	waits := func(who string) func() bool {
		return func() bool { return strings.Contains(s.OK("locks", "--json"), who) }
	}
	harness.Eventually(t, "a waits", waits(`"waiters":["YQ=="]`))
	s.Fails(4, told, "lock_get", "L1", "b")
	a.Stderr.Wait(t, told, a.Done)
	b := s.Start("lock_get", "L1", "b", "--on-deadlock", "wait")
	harness.Eventually(t, "the deadlock is listed", waits(`"deadlocks":[[{"client":"Yg=="`))
	a.Stderr.Wait(t, "until one of them gives way: "+told, a.Done)
	_ = a.Cmd.Process.Signal(os.Interrupt) // Ctrl-C leaves the line
	<-a.Done
	harness.Eventually(t, "the deadlock is over", waits(`"deadlocks":[]`))
	s.OK("lock_release", "L1", "a")
	<-b.Done
	if code := b.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("b got exit code %d: %s", code, b.Stderr.Text())
	}
	s.OK("lock_release", "L1", "b")
	s.OK("lock_release", "L2", "b")
	events := s.OK("events")
	for _, want := range []string{"deadlock       refused: " + told, `granted        "L1" to "b", token`} {
		if !strings.Contains(events, want) {
			t.Errorf("events do not show %s:\n%s", want, events)
		}
	}
}

// testLockedCommand: a command runs under a lock, its exit code is passed on, and when
// the lock is lost it is ended with all that it started.
func testLockedCommand(t *testing.T, s *harness.Shell) {
	r := s.Run("", "lock_get", "job", "x", "--", "sh", "-c", `echo $VIEWRING_LOCK $VIEWRING_TOKEN; exit 7`)
	if token, ok := strings.CutPrefix(strings.TrimSpace(r.Stdout), "job "); r.Code != 7 || !ok || token == "" {
		t.Errorf("exit %d, %q, %s", r.Code, r.Stdout, r.Stderr)
	}
	s.Fails(127, "not found", "lock_get", "job", "x", "--", "no-such-command")
	held := s.Start("lock_get", "job", "x", "--session-ttl", "1s", "--lock-delay", "2s", "--",
		"sh", "-c", `trap "echo ended" TERM; echo began; sleep 1000 & wait; sleep 1000`)
	held.Stdout.Wait(t, "began", held.Done)
	s.Fails(4, "session", "lock_get", "job", "y", "--wait", "0")
	pause(t, held, "the lock is another's", func() bool { return s.Run("", "lock_get", "job", "y", "--wait", "1s").Code == 0 })
	if code := held.Cmd.ProcessState.ExitCode(); code != 4 || !strings.Contains(held.Stderr.Text(), "stood still") {
		t.Errorf("a command whose lock was lost: exit %d, %s%s", code, held.Stdout.Text(), held.Stderr.Text())
	}
	// What the former holder writes now is refused, once the new one has written.
	job := strings.TrimSpace(s.OK("lock_get", "job", "y"))
	s.OK("setr", "--fence", "job:"+job, "state", "of y")
	former, err := strconv.Atoi(job)
	if err != nil {
		t.Fatal(err)
	}
	s.Fails(4, "the lock has gone to others", "setr", "--fence", "job:"+strconv.Itoa(former-1), "state", "of x")
	s.Fails(2, "LOCK:TOKEN", "setr", "--fence", "job", "state", "of x")
	s.Fails(4, "the lock has gone to others", "delr", "--fence", "job:"+strconv.Itoa(former-1), "state")
	s.OK("setr", "--fence", "other:1", "state", "of y still")
	if got := s.OK("getr", "state"); got != "of y still" {
		t.Errorf("the value is %q", got)
	}
	s.OK("delr", "--fence", "job:"+job, "state")
	s.OK("lock_release", "job", "y")
}

func testServers(t *testing.T, s *harness.Shell, d *harness.Daemon) {
	text := s.OK("query_servers")
	for _, want := range []string{"PRIMARY", "s1", "s2", "s3", fmt.Sprintf("safe: all %d partitions", harness.Partitions())} {
		if !strings.Contains(text, want) {
			t.Errorf("query_servers does not show %q:\n%s", want, text)
		}
	}
	var o struct {
		Version, Partitions int
		Servers             []struct {
			ID, Address, State string
			Log                struct {
				Disk uint64 `json:"disk_bytes"`
				Live uint64 `json:"live_bytes"`
			}
			Memory struct {
				Budget uint64
				Items  uint64 `json:"items_max"`
			}
		}
		Safety struct{ Safe bool }
	}
	if err := json.Unmarshal([]byte(s.OK("query-servers", "--json")), &o); err != nil || o.Version != 1 || len(o.Servers) != 3 || !o.Safety.Safe {
		t.Errorf("query_servers --json: %+v, %v", o, err)
	}
	for _, m := range o.Servers {
		if m.Log.Live == 0 || m.Log.Disk < m.Log.Live || m.Memory.Budget < m.Memory.Items || m.Memory.Items == 0 {
			t.Errorf("query_servers --json: log and memory of a server are %+v", m)
		}
	}
	if !strings.Contains(d.Stdout.Text(), o.Servers[0].Address) {
		t.Errorf("up did not print the address %s", o.Servers[0].Address)
	}
	testPlan(t, s)
	testRebalance(t, s)
	s.Fails(4, "", "leave", "s99")
	s.Fails(4, "", "remove", "nobody:1")
}

func testOneServersOwn(t *testing.T, s *harness.Shell, d *harness.Daemon) {
	s.OK("print", "hello", "-there", "--server", "s1")
	d.Stderr.Wait(t, "hello -there", d.Done)
	s.OK("setr", "same", "replicated")
	s.OK("set", "same", "local", "--server", "s2")
	if got := s.OK("get", "same", "--server", "s2"); got != "local" {
		t.Errorf("get = %q", got)
	}
	if got := s.OK("getr", "same"); got != "replicated" {
		t.Errorf("getr = %q: a local name touched a replicated key", got)
	}
	s.Fails(1, "not found", "get", "same", "--server", "s1")
	keys := s.OK("query_all_keys", "--server", "s2")
	if !strings.Contains(keys, "local       same") || !strings.Contains(keys, "replicated  same") {
		t.Errorf("query_all_keys:\n%s", keys)
	}
	s.Fails(2, "did you mean setr?", "set", "same", "x")
	s.Fails(2, "did you mean getr?", "get", "same")
}

func testBulk(t *testing.T, s *harness.Shell) {
	dir := filepath.Join(s.Dir, "tree")
	for name, content := range map[string]string{"a": "", "sub/b": "b", "sub/deep/c d": strings.Repeat("c", 100_000)} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.OK("bulk", "load", dir)
	s.OK("bulk", "verify", dir)
	s.OK("setr", "sub/b", "changed")
	s.OK("delr", "a")
	r := s.Run("", "bulk", "verify", dir)
	if r.Code != 1 || !strings.Contains(r.Stderr, "sub/b: different") || !strings.Contains(r.Stderr, "a: missing") {
		t.Errorf("verify of changed keys: exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
	}
}

func testBench(t *testing.T, s *harness.Shell) {
	var o struct {
		Results []struct {
			Mode               string
			Operations, Errors int
		}
	}
	out := s.OK("bench", "--seconds", "0.3", "--keys", "100", "--connections", "8", "--json")
	if err := json.Unmarshal([]byte(out), &o); err != nil || len(o.Results) != 2 {
		t.Fatalf("bench: %s, %v", out, err)
	}
	for _, r := range o.Results {
		if r.Operations == 0 || r.Errors > 0 {
			t.Errorf("bench: %+v", r)
		}
	}
}

// redis-cli -c works against each server.
func testRedis(t *testing.T, s *harness.Shell) {
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Skip("no redis-cli here")
	}
	for i, addr := range serverAddrs(t, s) {
		_, port, _ := net.SplitHostPort(addr)
		redis := func(args ...string) string {
			return strings.TrimSpace(s.Finish(exec.Command(cli, append([]string{"-c", "-p", port}, args...)...), "").Stdout)
		}
		key := "redis" + port
		if got := redis("SET", key, "v"); got != "OK" {
			t.Errorf("s%d: SET = %q", i+1, got)
		}
		if got := redis("GET", key); got != "v" {
			t.Errorf("s%d: GET = %q", i+1, got)
		}
		if got := s.OK("getr", key); got != "v" {
			t.Errorf("s%d: getr = %q", i+1, got)
		}
		if got := redis("DEL", key); got != "1" {
			t.Errorf("s%d: DEL = %q", i+1, got)
		}
		if got := redis("GET", key); got != "" {
			t.Errorf("s%d: GET after DEL = %q", i+1, got)
		}
	}
}

func serverAddrs(t *testing.T, s *harness.Shell, flags ...string) []string {
	t.Helper()
	var o struct{ Servers []struct{ Address string } }
	if err := json.Unmarshal([]byte(s.OK(append([]string{"query_servers", "--json"}, flags...)...)), &o); err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for _, m := range o.Servers {
		addrs = append(addrs, m.Address)
	}
	return addrs
}

// Garbage on any port disturbs nobody.
func testGarbage(t *testing.T, s *harness.Shell) {
	noise := make([]byte, 10_000)
	_, _ = rand.Read(noise)
	for _, addr := range append(serverAddrs(t, s), s.Leader) {
		for _, garbage := range [][]byte{noise, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("*1000000000\r\n"), []byte("*1\r\n$99999999999\r\n"), bytes.Repeat([]byte("*"), 1000)} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = conn.Write(garbage) // it may hang up while we talk
			conn.Close()
		}
	}
	s.OK("setr", "after", "garbage")
	if got := s.OK("getr", "after"); got != "garbage" {
		t.Errorf("getr = %q", got)
	}
}

// Servers that must not join, each with a clear error, and nothing changed.
func testRefusedServers(t *testing.T, s *harness.Shell) {
	before := s.OK("query_servers", "--json")
	used := serverAddrs(t, s)[0]
	s.Fails(4, "in use", "server", "--listen", used, "--data", filepath.Join(s.Dir, "x"))
	s.Fails(4, "data folder", "server", "--data", "/proc/nonsense")
	running := filepath.Join(s.Dir, "cluster", "s1")
	s.Fails(4, "in use", "server", "--listen", ":0", "--data", running)
	s.Fails(4, "in use", "viewleader", "--listen", "127.0.0.1:0", "--data", filepath.Join(s.Dir, "cluster", "leader"))
	clone := filepath.Join(s.Dir, "clone")
	if err := os.CopyFS(clone, os.DirFS(running)); err != nil {
		t.Fatal(err)
	}
	s.Fails(4, "", "server", "--listen", ":0", "--data", clone)
	if !strings.Contains(before, `"s3"`) || strings.Contains(s.OK("query_servers", "--json"), `"s4"`) {
		t.Error("a refused server is in the view")
	}
}
