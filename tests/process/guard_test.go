package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"viewring/tests/harness"
)

// brood is a command that starts others, in its own session and in another, and tells their ids.
// None of them heeds SIGTERM.
const brood = `trap "" TERM; sleep 1000 & a=$!; setsid sleep 1000 & b=$!; (setsid sh -c 'sleep 1000; true' &); echo "brood $$ $a $b."; sleep 1000; true`

// guarded is a command that runs under a lock, and the processes that belong to it.
type guarded struct {
	*harness.Daemon
	keeper int
	brood  []int
}

// startGuarded starts a brood under a lock, or with a node, as args say.
func startGuarded(t *testing.T, s *harness.Shell, args ...string) *guarded {
	t.Helper()
	g := &guarded{Daemon: s.Start(append(args, "--", "sh", "-c", brood)...)}
	g.Stdout.Wait(t, ".\n", g.Done)
	_, ids, _ := strings.Cut(g.Stdout.Text(), "brood ")
	for _, id := range strings.Fields(strings.TrimRight(ids, ".\n")) {
		pid, err := strconv.Atoi(id)
		if err != nil {
			t.Fatalf("%q: %v", ids, err)
		}
		g.brood = append(g.brood, pid)
	}
	g.keeper = keeperOf(t, g.Daemon)
	t.Cleanup(func() { g.signal(syscall.SIGCONT, g.keeper) })
	return g
}

// keeperOf is the one child of a guard.
func keeperOf(t *testing.T, d *harness.Daemon) int {
	t.Helper()
	var out []byte
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", d.Cmd.Process.Pid))
	for _, thread := range threads { // each has its own
		children, rerr := os.ReadFile(thread)
		out, err = append(out, children...), errors.Join(err, rerr)
	}
	if err != nil {
		t.Fatalf("find the keeper: %v", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatalf("the guard's children are %q", out)
	}
	return pid
}

// pause stops a guard's keeper until what follows is so, and waits for the guard's end.
func pause(t *testing.T, d *harness.Daemon, what string, ok func() bool) {
	t.Helper()
	_ = syscall.Kill(keeperOf(t, d), syscall.SIGSTOP)
	harness.Eventually(t, what, ok)
	<-d.Done
}

// TestSessionLost: a command whose session the view leader does not hear of is told, and may end
// by itself.
func TestSessionLost(t *testing.T) {
	t.Parallel()
	s := harness.NewShell(t, harness.FreeAddr(t))
	leader := s.Start("viewleader", "--listen", s.Leader, "--data", s.Dir+"/leader")
	lost := s.Start("lock_get", "l", "me", "--session-ttl", "1s", "--lock-delay", "1m", "--", "sh", "-c",
		`trap "echo ended; exit 0" TERM; echo began; sleep 1000 & wait`)
	lost.Stdout.Wait(t, "began", lost.Done)
	_ = leader.Cmd.Process.Signal(syscall.SIGSTOP)
	<-lost.Done
	_ = leader.Cmd.Process.Signal(syscall.SIGCONT)
	if code := lost.Cmd.ProcessState.ExitCode(); code != 4 || lost.Stdout.Text() != "began\nended\n" || !strings.Contains(lost.Stderr.Text(), "is lost") {
		t.Errorf("exit %d, %s%s", code, lost.Stdout.Text(), lost.Stderr.Text())
	}
}

func (g *guarded) signal(sig syscall.Signal, pids ...int) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig)
	}
}

// left lists those of the brood that run. What has ended has no environment, and a process that
// was given its number since has another.
func (g *guarded) left() (pids []int) {
	for _, pid := range g.brood {
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if err == nil && (strings.Contains(string(env), "VIEWRING_LOCK=") || strings.Contains(string(env), "VIEWRING_NODE=")) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// checkGone: nobody of the brood runs any more.
func (g *guarded) checkGone(t *testing.T) {
	t.Helper()
	if left := g.left(); len(left) > 0 {
		t.Errorf("another has the lock, and %v of %v run", left, g.brood)
	}
}

// testGuard: whatever happens to the guard of a lock, its keeper, or the command, another is
// granted the lock only once the command is gone with all that it started.
func testGuard(t *testing.T, s *harness.Shell) {
	take := func(t *testing.T, lock string) {
		t.Helper()
		s.OK("lock_get", lock, "other", "--timeout", "2m")
		s.OK("lock_release", lock, "other")
	}
	brief := []string{"--session-ttl", "1s", "--lock-delay", "5s"} // the session has to be over
	for _, tt := range []struct {
		name  string
		do    func(g *guarded)
		code  int // of the guard; -1: ended by a signal
		flags []string
	}{
		{"guard killed", func(g *guarded) { g.signal(syscall.SIGKILL, g.Cmd.Process.Pid) }, -1, nil},
		{"command killed", func(g *guarded) { g.signal(syscall.SIGKILL, g.brood[0]) }, 128 + 9, nil},
		{"guard stopped, command killed", func(g *guarded) {
			g.signal(syscall.SIGSTOP, g.Cmd.Process.Pid)
			g.signal(syscall.SIGKILL, g.brood[0])
		}, 128 + 9, nil},
		{"keeper killed", func(g *guarded) { g.signal(syscall.SIGKILL, g.keeper) }, 4, brief},
		{"keeper stopped", func(g *guarded) { g.signal(syscall.SIGSTOP, g.keeper) }, 4, brief},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.flags != nil {
				harness.Slow(t)
			}
			t.Parallel()
			lock := strings.ReplaceAll(tt.name, " ", "-")
			g := startGuarded(t, s, append([]string{"lock_get", lock, "me"}, tt.flags...)...)
			harness.Eventually(t, "others are refused", func() bool { return s.Run("", "lock_get", lock, "other", "--wait", "0").Code == 4 })
			tt.do(g)
			take(t, lock)
			g.checkGone(t)
			g.signal(syscall.SIGCONT, g.Cmd.Process.Pid)
			<-g.Done
			if code := g.Cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit %d, want %d: %s", code, tt.code, g.Stderr.Text())
			}
		})
	}
	t.Run("both stopped", func(t *testing.T) {
		harness.Slow(t)
		t.Parallel()
		g := startGuarded(t, s, append([]string{"lock_get", "both", "me"}, brief...)...)
		g.signal(syscall.SIGSTOP, g.Cmd.Process.Pid, g.keeper)
		take(t, "both")
		g.brood = g.brood[:1] // nobody is left who could end what it started
		g.checkGone(t)
		g.signal(syscall.SIGCONT, g.Cmd.Process.Pid)
		<-g.Done
	})
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		g := startGuarded(t, s, "meta", "create", "--ephemeral", "/guarded")
		g.signal(syscall.SIGKILL, g.Cmd.Process.Pid)
		harness.Eventually(t, "the node is gone", func() bool { return s.Run("", "meta", "get", "/guarded").Code == 1 })
		g.checkGone(t)
	})
	t.Run("ttl", func(t *testing.T) {
		t.Parallel()
		g := startGuarded(t, s, "lock_get", "ttl", "me", "--ttl", "3s", "--lock-delay", "1m")
		<-g.Done // long before half of the lock delay, for nobody keeps the lock from others
		take(t, "ttl")
		g.checkGone(t)
		if code := g.Cmd.ProcessState.ExitCode(); code != 4 {
			t.Errorf("exit %d, want 4: %s", code, g.Stderr.Text())
		}
	})
}

// testGuardLives: what stops a guard, or hangs up on it, does not cost the command its lock.
func testGuardLives(t *testing.T, s *harness.Shell) {
	t.Run("guard stopped", func(t *testing.T) {
		harness.Slow(t)
		t.Parallel()
		g := startGuarded(t, s, "lock_get", "stopped", "me", "--session-ttl", "5s")
		g.signal(syscall.SIGSTOP, g.Cmd.Process.Pid)
		s.Fails(4, "held by", "lock_get", "stopped", "other", "--wait", "9s") // past all that a session is kept for
		if left := g.left(); len(left) != len(g.brood) {
			t.Errorf("of %v only %v run", g.brood, left)
		}
		g.signal(syscall.SIGCONT, g.Cmd.Process.Pid)
		_ = g.Cmd.Process.Signal(syscall.SIGTERM)
		g.signal(syscall.SIGKILL, g.brood[0])
		<-g.Done
		g.checkGone(t)
	})
	t.Run("nohup", func(t *testing.T) {
		t.Parallel()
		cmd := exec.Command("nohup", harness.Program(), "lock_get", "hup", "me", "--", "sh", "-c",
			`kill -HUP $PPID $(cut -d' ' -f4 /proc/$PPID/stat) $$; viewring getr nobody; echo lives`)
		if r := s.Finish(cmd, ""); r.Code != 0 || !strings.Contains(r.Stdout, "lives") {
			t.Errorf("exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
		}
	})
	t.Run("left running", func(t *testing.T) {
		t.Parallel()
		r := s.Run("", "lock_get", "left", "me", "--", "sh", "-c", `sleep 1000 & echo $!; exit 3`)
		if r.Code != 3 || !strings.Contains(r.Stderr, "1 process that the command left running") {
			t.Errorf("exit %d, %s%s", r.Code, r.Stdout, r.Stderr)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(r.Stdout))
		g := guarded{brood: []int{pid}}
		if err != nil {
			t.Fatal(err)
		}
		g.checkGone(t)
	})
}

// terminal is a shell with job control at a terminal of its own.
type terminal struct {
	*harness.Lines
	file  *os.File
	shell *os.Process
	done  chan struct{}
}

// startTerminal starts one in the world of s.
func startTerminal(t *testing.T, s *harness.Shell) *terminal {
	t.Helper()
	shell := exec.Command("bash", "--norc", "--noprofile", "-i")
	s.Place(shell)
	shell.Env = append(shell.Env, "PS1=$ ", "TERM=dumb")
	file, err := pty.Start(shell)
	if err != nil {
		t.Fatal(err)
	}
	return newTerminal(t, shell, file, syscall.SIGHUP)
}

// newTerminal is that of a shell that was started at it, and which a signal ends with the test.
func newTerminal(t *testing.T, shell *exec.Cmd, file *os.File, end os.Signal) *terminal {
	t.Helper()
	tty := &terminal{Lines: harness.NewLines(), file: file, shell: shell.Process, done: make(chan struct{})}
	go func() {
		_, _ = io.Copy(tty.Lines, file) // ends with an error when the shell has ended
		_ = shell.Wait()
		close(tty.done)
	}()
	t.Cleanup(func() {
		_ = shell.Process.Signal(end)
		<-tty.done
		_ = file.Close()
	})
	return tty
}

// enter types a text, and waits for what it leads to. Each comes once in a test.
func (tty *terminal) enter(t *testing.T, text, want string) {
	t.Helper()
	if _, err := io.WriteString(tty.file, text); err != nil {
		t.Fatal(err)
	}
	tty.Wait(t, want, tty.done)
}

// testTerminal: at a terminal the guard and its command are one job, and a stop of it costs no lock.
func testTerminal(t *testing.T, s *harness.Shell) {
	wait := "0"
	if harness.IsSlow() {
		wait = "9s" // past all that a session is kept for
	}
	held := func(t *testing.T, lock string) {
		t.Helper()
		s.Fails(4, "held by", "lock_get", lock, "other", "--wait", wait)
	}
	free := func(t *testing.T, lock string) {
		t.Helper()
		s.OK("lock_get", lock, "other", "--timeout", "2m")
	}
	const reads = ` me --session-ttl 5s -- sh -c 'echo re""ady; read x; echo "go""t:$x"'` + "\n"
	t.Run("read", func(t *testing.T) {
		t.Parallel()
		tty := startTerminal(t, s)
		tty.enter(t, "viewring lock_get tty-read"+reads, "ready")
		tty.enter(t, "hello\n", "got:hello")
		free(t, "tty-read")
	})
	t.Run("stop", func(t *testing.T) {
		t.Parallel()
		tty := startTerminal(t, s)
		tty.enter(t, "viewring lock_get tty-stop"+reads, "ready")
		tty.enter(t, "\x1a", "Stopped")
		held(t, "tty-stop")
		tty.enter(t, "bg\n", "&")
		tty.enter(t, "echo be\"\"side\n", "beside") // reading in the background has stopped it again
		held(t, "tty-stop")
		tty.enter(t, "fg\necho\n", "lock_get tty-stop")
		tty.enter(t, "again\n", "got:")
		free(t, "tty-stop")
	})
	t.Run("interrupt", func(t *testing.T) {
		t.Parallel()
		tty := startTerminal(t, s)
		tty.enter(t, `viewring lock_get tty-int me -- sh -c 'trap "echo t""old" INT; echo re""ady; read x; read x; echo "go""t:$x"'`+"\n", "ready")
		tty.enter(t, "\x03", "told")
		tty.enter(t, "\n\n", "got:")
		free(t, "tty-int")
		if n := strings.Count(tty.Text(), "told"); n != 1 {
			t.Errorf("one Ctrl-C was told %d times:\n%s", n, tty.Text())
		}
	})
	t.Run("hang up", func(t *testing.T) {
		t.Parallel()
		tty := startTerminal(t, s)
		tty.enter(t, "viewring lock_get tty-hup"+reads, "ready")
		_ = tty.shell.Signal(syscall.SIGHUP) // as a terminal that goes away does
		free(t, "tty-hup")
	})
	t.Run("pipeline", func(t *testing.T) {
		t.Parallel()
		tty := startTerminal(t, s)
		tty.enter(t, `viewring lock_get tty-pipe me -- echo over | sh -c 'read x < /dev/tty; read y; echo "$y:$x"'`+"\n", "read x")
		tty.enter(t, "there\n", "over:there")
		free(t, "tty-pipe")
	})
}
