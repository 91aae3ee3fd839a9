package process

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"viewring/tests/harness"
)

// manager is what a service manager hears of its units.
type manager struct {
	socket string
	heard  *harness.Lines
}

// newManager listens as systemd does.
func newManager(t *testing.T, s *harness.Shell, name string) manager {
	t.Helper()
	m := manager{filepath.Join(s.Dir, name), harness.NewLines()}
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	beside := harness.Beside(t)
	beside.Go(func() {
		b := make([]byte, 64<<10)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			_, _ = m.heard.Write([]byte(strings.ReplaceAll(string(b[:n]), "\n", " ") + "\n")) // never fails
		}
	})
	t.Cleanup(func() { l.Close() })
	return m
}

func (m manager) start(s *harness.Shell, args ...string) *harness.Daemon {
	return s.With("NOTIFY_SOCKET=" + m.socket).Start(args...)
}

// told are the messages that a manager has heard, one a line.
func (m manager) told() []string {
	return strings.Split(strings.TrimSuffix(m.heard.Text(), "\n"), "\n")
}

// TestUnit: a service manager hears that processes start, wait, serve, read their files again, drain
// and end: ready only once they serve, and with all the time that a drain may take.
func TestUnit(t *testing.T) {
	t.Parallel()
	leader := harness.FreeAddr(t)
	s := harness.NewShell(t, leader)
	managers := map[string]manager{}
	processes := map[string]*harness.Daemon{}
	start := func(name string, args ...string) {
		managers[name] = newManager(t, s, name+".sock")
		processes[name] = managers[name].start(s, args...)
	}
	start("s1", "server", "--listen", harness.FreeAddr(t), "--data", "s1", "--gateway", harness.FreeAddr(t), "--drain-timeout", "60s")
	managers["s1"].heard.Wait(t, "STATUS=server: not up yet; gateway: not up yet", processes["s1"].Done) // without a view leader
	if text := managers["s1"].heard.Text(); strings.Contains(text, "READY=1") {
		t.Errorf("ready before it serves: %s", text)
	}
	start("leader", "viewleader", "--listen", leader, "--data", "leader")
	start("s2", "server", "--listen", harness.FreeAddr(t), "--data", "s2")
	start("s3", "server", "--listen", harness.FreeAddr(t), "--data", "s3")
	start("zk", "zk", "--listen", harness.FreeAddr(t))
	for name, m := range managers {
		m.heard.Wait(t, "READY=1 STATUS=serving", processes[name].Done)
		if first := m.told()[0]; first != "STATUS=starting" {
			t.Errorf("%s began with %s", name, first)
		}
	}
	s.OK("setr", "greeting", "hello") // ready processes serve
	for name, m := range managers {
		before := len(m.told())
		if err := processes[name].Cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, name+" has reloaded", func() bool {
			text := strings.Join(m.told()[before:], "\n")
			_, after, found := strings.Cut(text, "RELOADING=1 MONOTONIC_USEC=")
			return found && strings.Contains(after, "READY=1")
		})
	}
	harness.Eventually(t, "s1 can be drained", func() bool { return strings.Contains(s.Run("", "query_servers").Stdout, "rebalanced") })
	for _, name := range []string{"s1", "zk", "s2", "s3", "leader"} {
		d, m := processes[name], managers[name]
		if err := d.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-d.Done
		harness.Eventually(t, name+" said at last that it ends", func() bool {
			all := m.told()
			return all[len(all)-1] == "STOPPING=1 STATUS=ending"
		})
		if !strings.Contains(m.heard.Text(), "EXTEND_TIMEOUT_USEC=15000000") {
			t.Errorf("%s asked for no more time: %s", name, m.heard.Text())
		}
	}
}
