package process

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"viewring/tests/harness"
)

// testShell: files of commands, and a person at a terminal.
func testShell(t *testing.T, s *harness.Shell) {
	play := func(text string) string {
		path := filepath.Join(t.TempDir(), "play.txt")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := play("# a file\n\nsetr shell:a 'one two'\nviewring getr shell:a\n  setr shell:b \"x\ny\" # goes on\nsetr shell:c \\\n  '{tag}'\nkeys shell:\n")
	if got := s.OK("shell", good); got != "one twoshell:a\nshell:b\nshell:c\n" {
		t.Errorf("played: %q", got)
	}
	if got := s.OK("getr", "shell:b") + s.OK("getr", "shell:c"); got != "x\ny{tag}" {
		t.Errorf("played: %q", got)
	}
	bad := play("setr shell:a 1\n\ngetr shell:nobody\nsetr shell:a 2\n")
	s.Fails(1, bad+":3: getr shell:nobody: exit code 1", "shell", bad)
	if got := s.OK("getr", "shell:a"); got != "1" {
		t.Errorf("went on after a failure: %q", got)
	}
	wrong := play("setr shell:a 'one\n")
	s.Fails(2, wrong+":1: setr shell:a 'one: a quote is not closed", "shell", wrong)
	s.Fails(2, ":1: setr x $(date)", "shell", play("setr x $(date)\n"))
	s.Fails(2, ":2: sert x y: exit code 2", "shell", play("\nsert x y\n"))
	s.Fails(1, "no such file", "shell", "nowhere.txt")
	s.Fails(7, "", "shell", play("exit 7\nsetr shell:a 3\n"))
	if r := s.Run("setr shell:d piped\ngetr shell:d\nsetr shell:e -\n", "shell", "-"); r.Code != 0 || r.Stdout != "piped" || s.OK("getr", "shell:e") != "" {
		t.Errorf("from a pipe: %+v", r)
	}
	if r := s.Run("getr shell:nobody\n", "shell"); r.Code != 1 || !strings.Contains(r.Stderr, "standard input:1: getr shell:nobody: exit code 1") {
		t.Errorf("from a pipe, no file named: %+v", r)
	}
	if r := s.Run("getr shell:a\n", "shell", "--json"); r.Code != 0 || !strings.Contains(r.Stdout, `"value":"MQ=="`) {
		t.Errorf("flags of the shell: %+v", r)
	}
	s.Fails(1, "is a directory", "shell", t.TempDir())
	testShellSignals(t, s)
	testShellTerminal(t, s)
}

// testShellSignals: a shell that plays is ended by a signal, while it waits for a line and while a command runs.
func testShellSignals(t *testing.T, s *harness.Shell) {
	shell := exec.Command(harness.Program(), "shell", "-")
	s.Place(shell)
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	lines := harness.NewLines()
	shell.Stdout, shell.Stderr = lines, lines
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = shell.Wait() // its exit code is looked at
		close(done)
	}()
	if _, err := io.WriteString(in, "incr shell:sum\n"); err != nil {
		t.Fatal(err)
	}
	lines.Wait(t, "1\n", done)
	_ = shell.Process.Signal(syscall.SIGINT)
	<-done
	if code := shell.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit %d, %s", code, lines.Text())
	}
	path := filepath.Join(t.TempDir(), "long.txt")
	if err := os.WriteFile(path, []byte("watch --prefix shell:long\nsetr shell:after x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := s.Start("shell", path)
	harness.Eventually(t, "the watch tells", func() bool {
		s.OK("setr", "shell:long", "x")
		return strings.Contains(d.Stdout.Text(), "shell:long")
	})
	_ = d.Cmd.Process.Signal(syscall.SIGTERM)
	<-d.Done
	if code := d.Cmd.ProcessState.ExitCode(); code != 143 || s.Run("", "getr", "shell:after").Code != 1 {
		t.Errorf("exit %d, %s", code, d.Stderr.Text())
	}
}

// talker starts a shell at a terminal.
func talker(t *testing.T, s *harness.Shell) *terminal {
	t.Helper()
	shell := exec.Command(harness.Program(), "shell")
	s.Place(shell)
	shell.Env = append(shell.Env, "TERM=xterm", "NO_COLOR=1", "XDG_STATE_HOME="+s.Dir+"/state")
	file, err := pty.StartWithSize(shell, &pty.Winsize{Rows: 40, Cols: 200})
	if err != nil {
		t.Fatal(err)
	}
	return newTerminal(t, shell, file, os.Kill)
}

// step types a line, and waits for the prompt after it.
func (tty *terminal) step(t *testing.T, text string) {
	t.Helper()
	const prompt = "\nviewring> "
	before := strings.Count(tty.Text(), prompt)
	if _, err := io.WriteString(tty.file, text); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "a prompt after "+text, func() bool { return strings.Count(tty.Text(), prompt) > before })
}

// testShellTerminal: lines are completed and found again, Ctrl-C ends a command and not the shell, and Ctrl-D leaves.
func testShellTerminal(t *testing.T, s *harness.Shell) {
	tty := talker(t, s)
	tty.Wait(t, "viewring> ", tty.done)
	tty.step(t, "setr shell:typed 'the value'; nothing\r")
	tty.Wait(t, "not a valid word", tty.done)
	tty.step(t, "setr shell:typed 'the value'\r")
	tty.enter(t, "getr shell:ty\t", "getr shell:typed ")
	tty.step(t, "\r")
	tty.Wait(t, "\nthe value\r\n", tty.done)
	tty.step(t, "getr shell:nobody\r")
	tty.enter(t, "keys shell:zzz --cou\t", "--count ")
	tty.step(t, "\r")
	tty.Wait(t, "\n0\r\n", tty.done)
	tty.enter(t, "watch --prefix shell:w\r", "watch --prefix shell:w\r\n")
	harness.Eventually(t, "the watch tells", func() bool {
		s.OK("setr", "shell:w", "x")
		return strings.Contains(tty.Text(), "set     shell:w")
	})
	tty.enter(t, "\x03", "^Cviewring> ") // the terminal drops what is typed with it
	tty.step(t, "half a line\x03")
	tty.step(t, "setr shell:after 'the watch'\r")
	if got := s.OK("getr", "shell:after"); got != "the watch" {
		t.Errorf("after Ctrl-C: %q", got)
	}
	tty.enter(t, "\x1b[A", "setr shell:after 'the watch'")
	tty.step(t, "\r")
	tty.step(t, " setr shell:secret hidden\r")
	tty.enter(t, "setr shell:many 'line one\r", "        > ")
	tty.step(t, "line two'\r")
	if _, err := io.WriteString(tty.file, "\x04"); err != nil {
		t.Fatal(err)
	}
	<-tty.done
	if got := s.OK("getr", "shell:many"); got != "line one\nline two" {
		t.Errorf("of two lines: %q", got)
	}
	path := filepath.Join(s.Dir, "state/viewring/shell_history")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	kept, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(kept), "setr shell:after 'the watch'\n") || strings.Contains(string(kept), "secret") || strings.Contains(string(kept), "line one") {
		t.Errorf("kept: %s, %v", kept, err)
	}
	again := talker(t, s)
	again.Wait(t, "viewring> ", again.done)
	lines := strings.Split(strings.TrimSpace(string(kept)), "\n")
	again.enter(t, "\x1b[A", lines[len(lines)-1])
	again.enter(t, "\x03exit 9\r", "exit 9")
	<-again.done
}
