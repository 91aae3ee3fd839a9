package harness

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"viewring/internal/port"
)

// binary is viewring, built once for all tests of a package from source.
var (
	binary, source string
	sources        sync.Once
)

// Program returns the path of viewring, and lets the go command know that the test
// which runs it depends on all its source: after a change of a server it would take the
// last result of a test that imports none of it for this one.
func Program() string {
	sources.Do(func() {
		_ = filepath.WalkDir(source, func(path string, _ os.DirEntry, err error) error {
			if err == nil && (strings.HasSuffix(path, ".go") || filepath.Base(path) == "go.mod") {
				_, err = os.Stat(path)
			}
			return err
		})
	})
	return binary
}

// AtOnce lets n parallel tests of a package go at once, unless -parallel says otherwise. It is
// for tests that mostly wait; go test counts processors. TestMain calls it before Main.
func AtOnce(n int) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", strconv.Itoa(n)) // a number is never refused
	}
}

// Main builds viewring, runs a package's tests and returns their exit code. It
// is for TestMain.
func Main(m *testing.M) int {
	if signal.Ignored(syscall.SIGHUP) { // of nohup; processes of tests must not inherit that
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	dir, err := os.MkdirTemp("", "viewring-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "viewring")
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "viewring").Output() // tests may be of another module
	if err != nil {
		fmt.Fprintf(os.Stderr, "find viewring: %v\n", err)
		return 1
	}
	// Commands of tests have caches of their own, but for what the go command has built.
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "find the build cache: %v\n", err)
		return 1
	}
	_ = os.Setenv("GOCACHE", strings.TrimSpace(string(cache))) // fails for odd names alone
	build := exec.Command("go", "build", "-o", binary, ".")
	source = strings.TrimSpace(string(module))
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build viewring: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// IsSlow reports whether tests that take long are wanted.
func IsSlow() bool { return os.Getenv("VIEWRING_SLOW") != "" }

// Partitions is how many the clusters of tests have. Each costs a little at every start and change, so they
// are fewer than those of users (UserPartitions), which some tests ask for.
func Partitions() int {
	if IsSlow() {
		return 256
	}
	return 128
}

// UserPartitions is the flag of view leaders for as many partitions as users have by default.
const UserPartitions = "--partitions=1024"

func partitionsFlag() string { return fmt.Sprintf("--partitions=%d", Partitions()) }

// Slow skips a test that takes long, unless such tests are wanted.
func Slow(t *testing.T) {
	t.Helper()
	if !IsSlow() {
		t.Skip("takes minutes: VIEWRING_SLOW=1 runs it")
	}
}

// Shell is the world that commands run in.
type Shell struct {
	Leader string // the view leader's address
	Dir    string // the test's own
	t      *testing.T
	env    []string
}

// NewShell returns a shell whose commands talk to the view leader at an address.
func NewShell(t *testing.T, leader string) *Shell {
	t.Helper()
	dir := t.TempDir()
	env := append(os.Environ(), "VIEWRING_VIEWLEADER="+leader, "XDG_CACHE_HOME="+filepath.Join(dir, "cache"),
		"XDG_DATA_HOME="+filepath.Join(dir, "data"), "PATH="+filepath.Dir(Program())+string(os.PathListSeparator)+os.Getenv("PATH"))
	return &Shell{t: t, Leader: leader, env: env, Dir: dir}
}

// With is a shell with further variables, NAME=VALUE.
func (s *Shell) With(env ...string) *Shell {
	more := *s
	more.env = append(append([]string(nil), s.env...), env...)
	return &more
}

// Result is how a command ended.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs viewring to its end.
func (s *Shell) Run(stdin string, args ...string) Result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	return s.Finish(exec.CommandContext(ctx, Program(), args...), stdin)
}

// Place lets any command run in this world.
func (s *Shell) Place(cmd *exec.Cmd) { cmd.Env, cmd.Dir = append([]string(nil), s.env...), s.Dir }

// Finish runs any command to its end.
func (s *Shell) Finish(cmd *exec.Cmd, stdin string) Result {
	s.t.Helper()
	var out, errs bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.env, s.Dir, strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("%v: %v", cmd.Args, err)
	}
	return Result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// OK runs viewring and wants success; it returns the output.
func (s *Shell) OK(args ...string) string {
	s.t.Helper()
	r := s.Run("", args...)
	if r.Code != 0 {
		s.t.Fatalf("viewring %q: exit %d: %s%s", args, r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// Fails runs viewring and wants an exit code and a text on standard error.
func (s *Shell) Fails(code int, text string, args ...string) {
	s.t.Helper()
	r := s.Run("", args...)
	if r.Code != code || !strings.Contains(r.Stderr, text) {
		s.t.Errorf("viewring %q: exit %d, %q; want exit %d and %q", args, r.Code, r.Stderr, code, text)
	}
}

// Daemon is a viewring process that runs until it is ended.
type Daemon struct {
	Cmd    *exec.Cmd
	Stdout *Lines
	Stderr *Lines
	Done   chan struct{} // closed when it has ended
}

// Start starts viewring in the background; the test's end ends it.
func (s *Shell) Start(args ...string) *Daemon {
	s.t.Helper()
	return s.start(exec.Command(Program(), args...))
}

// StartWithin is Start with at most so many file descriptors.
func (s *Shell) StartWithin(descriptors int, args ...string) *Daemon {
	s.t.Helper()
	return s.start(exec.Command("sh", append([]string{"-c", `ulimit -n "$0" && exec "$@"`, strconv.Itoa(descriptors), Program()}, args...)...))
}

func (s *Shell) start(cmd *exec.Cmd) *Daemon {
	s.t.Helper()
	d := &Daemon{Cmd: cmd, Stdout: NewLines(), Stderr: NewLines(), Done: make(chan struct{})}
	d.Cmd.Env, d.Cmd.Dir, d.Cmd.Stdout, d.Cmd.Stderr = s.env, s.Dir, d.Stdout, d.Stderr
	if err := d.Cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		_ = d.Cmd.Wait() // the exit code is in ProcessState
		close(d.Done)
	}()
	s.t.Cleanup(func() {
		_ = d.Cmd.Process.Signal(syscall.SIGTERM)
		_ = d.Cmd.Process.Signal(syscall.SIGCONT) // a test may have failed while it stood still
		select {
		case <-d.Done:
		case <-time.After(20 * time.Second):
			_ = d.Cmd.Process.Kill()
			<-d.Done
			s.t.Errorf("%v did not end in 20 s", d.Cmd.Args)
		}
		if s.t.Failed() {
			s.t.Logf("%v said:\n%s%s", d.Cmd.Args, d.Stdout.Text(), d.Stderr.Text())
		}
	})
	return d
}

// Up starts a cluster by "viewring up" and returns a shell for it. Its servers have the ports
// of everyday use, or the next that are free: two that look for them at once may find the same,
// so no test that calls Up is parallel.
func Up(t *testing.T, args ...string) (*Shell, *Daemon) {
	t.Helper()
	s := NewShell(t, FreeAddr(t))
	up := []string{"up", "--data", filepath.Join(s.Dir, "cluster"), "--viewleader-flag", partitionsFlag()}
	d := s.Start(append(up, args...)...)
	d.Stdout.Wait(t, "Ctrl-C ends it", d.Done)
	return s, d
}

// FreeAddr finds a port that nobody has, and nobody else will be given.
func FreeAddr(t *testing.T) string {
	t.Helper()
	addr, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// FreeAddrs finds several.
func FreeAddrs(t *testing.T, n int) []string {
	t.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = FreeAddr(t)
	}
	return addrs
}
