package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"viewring/tests/harness"
)

// onScreen starts query_servers --watch at a terminal.
func onScreen(t *testing.T, s *harness.Shell, env ...string) *terminal {
	t.Helper()
	watch := exec.Command(harness.Program(), "query_servers", "--watch")
	s.Place(watch)
	watch.Env = append(append(watch.Env, "TERM=xterm-256color"), env...)
	file, err := pty.StartWithSize(watch, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	return newTerminal(t, watch, file, os.Kill)
}

// anew types keys, and Ctrl-L: all is drawn anew after them, and has want.
func (tty *terminal) anew(t *testing.T, keys, want string) {
	t.Helper()
	before := len(tty.Text())
	if _, err := io.WriteString(tty.file, keys+"\x0c"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, want+" after "+keys, func() bool { return strings.Contains(tty.Text()[before:], want) })
}

// modes are those of the terminal that a program may change.
func (tty *terminal) modes(t *testing.T) unix.Termios {
	t.Helper()
	modes, err := unix.IoctlGetTermios(int(tty.file.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *modes
}

// testScreen: at a terminal query_servers --watch is a screen that keys move, and which leaves the terminal as it was,
// whatever ends it; elsewhere it prints lines.
func testScreen(t *testing.T, s *harness.Shell) {
	t.Run("keys", func(t *testing.T) {
		t.Parallel()
		tty := onScreen(t, s)
		tty.Wait(t, "safe: all", tty.done)
		tty.anew(t, "", "› s1")
		tty.anew(t, "r", "ID▼")
		tty.anew(t, "s", "STATE▲")
		tty.anew(t, "1\x1b[B", "› s2")
		tty.anew(t, "\r", "Server s2")
		tty.anew(t, "", "waits")
		tty.anew(t, "\x7f", "› s2")
		tty.anew(t, "p", "PAUSED")
		tty.anew(t, "?", "Ctrl-C")
		if err := pty.Setsize(tty.file, &pty.Winsize{Rows: 10, Cols: 40}); err != nil {
			t.Fatal(err)
		}
		tty.anew(t, "?", "› s2")
		tty.ends(t, func() { tty.write(t, "q") })
	})
	for name, end := range map[string]func(t *testing.T, tty *terminal){
		"Ctrl-C":  func(t *testing.T, tty *terminal) { tty.write(t, "\x03") },
		"SIGTERM": func(_ *testing.T, tty *terminal) { _ = tty.shell.Signal(syscall.SIGTERM) },
		"SIGHUP":  func(_ *testing.T, tty *terminal) { _ = tty.shell.Signal(syscall.SIGHUP) },
		"SIGQUIT": func(_ *testing.T, tty *terminal) { _ = tty.shell.Signal(syscall.SIGQUIT) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tty := onScreen(t, s, "NO_COLOR=1")
			tty.Wait(t, "safe: all", tty.done)
			tty.anew(t, "", "› s1")
			tty.ends(t, func() { end(t, tty) })
			if strings.Contains(tty.Text(), "\x1b[1;32m") {
				t.Errorf("there are colors: %q", tty.Text())
			}
		})
	}
	t.Run("dumb", func(t *testing.T) {
		t.Parallel()
		tty := onScreen(t, s, "TERM=dumb")
		tty.Wait(t, "HEARTBEAT", tty.done)
		tty.enter(t, "\x03", "^C")
		<-tty.done
		if strings.Contains(tty.Text(), "\x1b") {
			t.Errorf("%q", tty.Text())
		}
	})
	t.Run("piped", func(t *testing.T) {
		t.Parallel()
		lines, objects := s.Start("query_servers", "--watch"), s.Start("query_servers", "--watch", "--json", "--interval", "100ms")
		lines.Stdout.Wait(t, "safe: all", lines.Done)
		n := 0
		harness.Eventually(t, "what changes is printed", func() bool {
			n++
			s.OK("setr", fmt.Sprint("screen:", n), "x")
			return strings.Count(lines.Stdout.Text(), "\n\ncluster ") > 0 && strings.Count(objects.Stdout.Text(), "\n{") > 1
		})
		if text := lines.Stdout.Text() + objects.Stdout.Text(); strings.Contains(text, "\x1b") || strings.Contains(text, "enter open") {
			t.Errorf("%q", text)
		}
	})
	s.Fails(2, "goes with --watch", "query_servers", "--interval", "2s")
	s.Fails(2, "goes with --watch", "query_servers", "--plain")
	s.Fails(2, "from 100ms", "query_servers", "--watch", "--interval", "1ms")
}

func (tty *terminal) write(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(tty.file, text); err != nil {
		t.Fatal(err)
	}
}

// ends ends a screen, and checks that the terminal is as it was.
func (tty *terminal) ends(t *testing.T, end func()) {
	t.Helper()
	if raw := tty.modes(t); raw.Lflag&unix.ICANON != 0 {
		t.Error("the terminal waits for whole lines")
	}
	before := len(tty.Text())
	end()
	harness.Eventually(t, "the screen ends", func() bool {
		select {
		case <-tty.done:
			return true
		default:
			return false
		}
	})
	if text := tty.Text()[before:]; !strings.Contains(text, "\x1b[?1049l") || !strings.Contains(text, "\x1b[?25h") {
		t.Errorf("the terminal's own screen does not come back: %q", text)
	}
	if now := tty.modes(t); now.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != unix.ICANON|unix.ECHO|unix.ISIG {
		t.Errorf("the terminal's modes are %x", now.Lflag)
	}
}
