package process

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"viewring/tests/harness"
)

// up's children end with it, however it ends, and its folder can be resumed.
func TestUpEndsAndResumes(t *testing.T) {
	t.Parallel()
	s, d := harness.Up(t, "--servers", "2")
	s.OK("setr", "kept", "value")
	before, children := serverAddrs(t, s), childrenOf(t, d.Cmd.Process.Pid)
	if err := d.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.Done
	waitEnded(t, children, []string{s.Leader}) // other clusters look for servers' ports in the same place
	again := s.Start("up", "--data", filepath.Join(s.Dir, "cluster"))
	again.Stdout.Wait(t, "is up again", again.Done)
	if got := s.OK("getr", "kept"); got != "value" {
		t.Errorf("getr = %q after resuming", got)
	}
	if after := serverAddrs(t, s); len(after) != len(before) {
		t.Errorf("servers %q after resuming, %q before", after, before)
	}
}

// SIGHUP without a terminal ends nobody, and is passed on to all that up runs.
func TestUpHangUp(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	d := s.Start("up", "--private", "--servers", "1", "--data", "cluster")
	d.Stdout.Wait(t, "Ctrl-C ends it", d.Done)
	if err := d.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the view leader and the server have read again", func() bool { return strings.Count(d.Stderr.Text(), "nothing to read again") == 2 })
	select {
	case <-d.Done:
		t.Errorf("it has ended: %v", d.Cmd.ProcessState)
	default:
	}
}

func listens(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// childrenOf returns the processes that one started, three or more; nil where there is no
// /proc to tell.
func childrenOf(t *testing.T, parent int) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return nil
	}
	for _, name := range stats {
		b, _ := os.ReadFile(name) // it may have ended
		_, rest, _ := strings.Cut(string(b), ") ")
		var state string
		var pid, ppid int
		if _, err := fmt.Sscan(rest, &state, &ppid); err != nil || ppid != parent {
			continue
		}
		if _, err := fmt.Sscan(string(b), &pid); err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) < 3 {
		t.Fatalf("only %v were started by %d", pids, parent)
	}
	return pids
}

// waitEnded waits for processes to end; where none could be found, for nobody to listen any
// more: a port may soon be another test's.
func waitEnded(t *testing.T, pids []int, addrs []string) {
	t.Helper()
	for _, pid := range pids {
		harness.Eventually(t, fmt.Sprintf("process %d has ended", pid), func() bool { return !runs(pid) })
	}
	for _, addr := range addrs {
		if pids == nil {
			harness.Eventually(t, "nobody listens at "+addr, func() bool { return !listens(addr) })
		}
	}
}

// runs reports whether a process has not ended; one that nobody has waited for has.
func runs(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && len(b) > 0
}

// A run leaves nothing running, whether it is interrupted or killed, and even
// when one of its processes stands still.
func TestRunLeavesNothing(t *testing.T) {
	t.Parallel()
	script := "cluster servers 2\nquery_servers\npause s1\nsetr never answered\n"
	for _, sig := range []os.Signal{os.Interrupt, os.Kill} {
		t.Run(sig.String(), func(t *testing.T) {
			s := harness.NewShell(t, "")
			path := filepath.Join(s.Dir, "script.txt")
			if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			d := s.Start("run", path)
			d.Stdout.Wait(t, "> setr", d.Done)
			addrs := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(d.Stdout.Text(), -1)
			if len(addrs) != 3 {
				t.Fatalf("addresses %q in\n%s", addrs, d.Stdout.Text())
			}
			children := childrenOf(t, d.Cmd.Process.Pid)
			if err := d.Cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			<-d.Done
			waitEnded(t, children, addrs)
			if code := d.Cmd.ProcessState.ExitCode(); sig == os.Interrupt && code != 3 {
				t.Errorf("exit %d after Ctrl-C, want 3", code)
			}
		})
	}
}

// Clusters that start at once look for their servers' ports in the same place: who comes
// second takes another one.
func TestUpTogether(t *testing.T) {
	t.Parallel()
	var ups []*harness.Daemon
	var shells []*harness.Shell
	for i := range 4 {
		s := harness.NewShell(t, harness.FreeAddr(t))
		shells = append(shells, s)
		ups = append(ups, s.Start("up", "--servers", "2", "--data", filepath.Join(s.Dir, strconv.Itoa(i))))
	}
	for i, d := range ups {
		d.Stdout.Wait(t, "Ctrl-C ends it", d.Done)
		shells[i].OK("setr", "k", "v")
		if said := d.Stderr.Text(); strings.Contains(said, "s1 has ended") {
			t.Errorf("tells of a start that was repeated:\n%s", said)
		}
	}
}

func TestUpRefuses(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := harness.NewShell(t, l.Addr().String())
	s.Fails(4, "listens there; is another cluster up?", "up", "--data", filepath.Join(s.Dir, "c"))
	file := filepath.Join(s.Dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Fails(4, "data folder", "up", "--data", file, "--private")
	r := s.Run("", "up", "--data", "/proc/nonsense", "--private")
	if r.Code != 4 || !strings.Contains(r.Stderr, "data folder") {
		t.Errorf("exit %d, %s", r.Code, r.Stderr)
	}
}

// checkWelcome types what up says to type, in a shell that knows nothing else.
func checkWelcome(t *testing.T, d *harness.Daemon) {
	t.Helper()
	_, text, _ := strings.Cut(d.Stdout.Text(), "from another shell:\n")
	lines, _, _ := strings.Cut(text, "\n\n")
	if _, err := exec.LookPath("redis-cli"); err != nil {
		lines = regexp.MustCompile(`(?m)^.*redis-cli.*$`).ReplaceAllString(lines, "echo hello")
	}
	folder := t.TempDir()
	lines = strings.ReplaceAll(lines, "load DIR", "load "+folder)
	if err := os.WriteFile(filepath.Join(folder, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-e", "-c", lines)
	cmd.Env, cmd.Dir = []string{"PATH=" + os.Getenv("PATH")}, "/"
	if out, err := cmd.Output(); err != nil || !strings.HasPrefix(string(out), "hello") || !strings.HasSuffix(string(out), "hello\n") {
		t.Errorf("%s\nsaid %s, %v", lines, out, err)
	}
}

// get is what is at a URL.
func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(text)
}

// up serves the metrics of each process where it says, whether the ports that it looks at first are
// free or not.
func TestUpMetrics(t *testing.T) {
	taken := harness.FreeAddr(t)
	host, text, err := net.SplitHostPort(taken)
	if err != nil {
		t.Fatal(err)
	}
	first, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", taken) // where s1's would be
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, args := range [][]string{{"--metrics"}, {fmt.Sprintf("--metrics=%s", net.JoinHostPort(host, strconv.Itoa(first-1)))}, {"--metrics", "--private"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			_, d := harness.Up(t, args...)
			checkWelcome(t, d)
			urls := regexp.MustCompile(`http://\S+/metrics`).FindAllString(d.Stdout.Text(), -1)
			if len(urls) != 4 {
				t.Fatalf("metrics of %q", urls)
			}
			for i, url := range urls {
				service := map[bool]string{true: "viewring_viewleader_", false: "viewring_server_"}[i == 0]
				if text := get(t, url); !strings.Contains(text, service) {
					t.Errorf("%s has nothing of %s: %.300s", url, service, text)
				}
			}
		})
	}
}
