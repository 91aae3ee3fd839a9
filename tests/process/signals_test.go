package process

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"viewring/tests/harness"
)

// TestTermTwice: timeout(1) sends SIGTERM to a process and then to its group. A server takes both
// for one, and drains.
func TestTermTwice(t *testing.T) {
	s, _ := harness.Up(t)
	for range 10 {
		d := s.Start("server", "--listen", harness.FreeAddr(t), "--data", s.Dir+"/twice", "--gateway", harness.FreeAddr(t))
		d.Stderr.Wait(t, "gateway is up", d.Done) // from then on, or a moment later, it drains
		began := time.Now()
		_ = d.Cmd.Process.Signal(syscall.SIGTERM)
		for ended := false; !ended && !strings.Contains(d.Stderr.Text(), "draining before the end"); { // at once: a drain is short
			select {
			case <-d.Done:
				ended = true
			default:
				runtime.Gosched()
			}
		}
		_ = d.Cmd.Process.Signal(syscall.SIGTERM)
		took := time.Since(began)
		<-d.Done
		if took < time.Second/2 && strings.Contains(d.Stderr.Text(), "draining before the end") { // else the second may have counted
			if code := d.Cmd.ProcessState.ExitCode(); code != 0 || !strings.Contains(d.Stderr.Text(), "drained: ") {
				t.Errorf("exit %d: %s", code, d.Stderr.Text())
			}
			return
		}
	}
	t.Skip("no two signals came within half a second")
}
