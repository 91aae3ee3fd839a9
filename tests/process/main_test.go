package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is viewring, built once for all tests.
var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "viewring-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "viewring")
	build := exec.Command("go", "build", "-o", binary, "viewring")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build viewring: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func slow(t *testing.T) {
	t.Helper()
	if os.Getenv("VIEWRING_SLOW") == "" {
		t.Skip("takes minutes: VIEWRING_SLOW=1 runs it")
	}
}

// shell is the world that commands run in.
type shell struct {
	t      *testing.T
	leader string
	env    []string
	dir    string
}

func newShell(t *testing.T, leader string) *shell {
	t.Helper()
	dir := t.TempDir()
	env := append(os.Environ(), "VIEWRING_VIEWLEADER="+leader, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"),
		"XDG_DATA_HOME="+filepath.Join(dir, "data"), "PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
	return &shell{t: t, leader: leader, env: env, dir: dir}
}

type result struct {
	code           int
	stdout, stderr string
}

// run runs viewring to its end.
func (s *shell) run(stdin string, args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	return s.finish(cmd, stdin)
}

func (s *shell) finish(cmd *exec.Cmd, stdin string) result {
	s.t.Helper()
	var out, errs bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.env, s.dir, strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// ok runs viewring and wants success; it returns the output.
func (s *shell) ok(args ...string) string {
	s.t.Helper()
	r := s.run("", args...)
	if r.code != 0 {
		s.t.Fatalf("viewring %q: exit %d: %s%s", args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// fails runs viewring and wants an exit code and a text on standard error.
func (s *shell) fails(code int, text string, args ...string) {
	s.t.Helper()
	r := s.run("", args...)
	if r.code != code || !strings.Contains(r.stderr, text) {
		s.t.Errorf("viewring %q: exit %d, %q; want exit %d and %q", args, r.code, r.stderr, code, text)
	}
}

// daemon is a viewring process that runs until it is ended.
type daemon struct {
	cmd    *exec.Cmd
	stdout *lines
	stderr *lines
	done   chan struct{}
}

// start starts viewring in the background; the test's end ends it.
func (s *shell) start(args ...string) *daemon {
	s.t.Helper()
	d := &daemon{cmd: exec.Command(binary, args...), stdout: newLines(), stderr: newLines(), done: make(chan struct{})}
	d.cmd.Env, d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = s.env, s.dir, d.stdout, d.stderr
	if err := d.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait() // the exit code is in ProcessState
		close(d.done)
	}()
	s.t.Cleanup(func() {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.done:
		case <-time.After(20 * time.Second):
			_ = d.cmd.Process.Kill()
			<-d.done
			s.t.Errorf("%v did not end in 20 s", d.cmd.Args)
		}
		if s.t.Failed() {
			s.t.Logf("%v said:\n%s%s", d.cmd.Args, d.stdout.text(), d.stderr.text())
		}
	})
	return d
}

// up starts a cluster of its own and returns a shell for it.
func up(t *testing.T, args ...string) (*shell, *daemon) {
	t.Helper()
	leader := freeAddr(t)
	s := newShell(t, leader)
	d := s.start(append([]string{"up", "--data", filepath.Join(s.dir, "cluster")}, args...)...)
	d.stdout.wait(t, "Ctrl-C ends it", d.done)
	return s, d
}

// freeAddr finds a free port below those of outgoing connections.
func freeAddr(t *testing.T) string {
	t.Helper()
	for port := 32000 + os.Getpid()%500; port < 32767; port++ {
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}
