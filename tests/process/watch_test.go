package process

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"viewring/tests/harness"
)

// testWatch is watching by the command line: what it prints, exit codes, and the place that it
// keeps.
func testWatch(t *testing.T, s *harness.Shell) {
	place := filepath.Join(s.Dir, "place")
	d := s.Start("watch", "--prefix", "w:", "--resume", place, "--values", "--json")
	harness.Eventually(t, "the place is kept", func() bool { _, err := os.Stat(place); return err == nil })
	s.OK("setr", "w:1", "one")
	d.Stdout.Wait(t, `"event":"set","name":"dzox"`, d.Done)
	if err := d.Cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-d.Done
	if code := d.Cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("Ctrl-C: exit %d, %s", code, d.Stderr.Text())
	}
	s.OK("delr", "w:1")
	if got := s.OK("watch", "--prefix", "w:", "--resume", place, "--count", "1"); !like(got, "… deleted w:1") {
		t.Errorf("from the place: %q", got)
	}
	s.Fails(4, "another watch", "watch", "w:1", "--resume", place)
	if err := os.WriteFile(place, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Fails(4, "no place", "watch", "--prefix", "w:", "--resume", place)
	s.OK("meta", "create", "/watched")
	node := s.Start("meta", "watch", "-r", "/watched", "--values", "--count", "3", "--resume", place+"2")
	harness.Eventually(t, "the place is kept", func() bool { _, err := os.Stat(place + "2"); return err == nil })
	s.OK("meta", "create", "/watched/a", "x")
	s.OK("meta", "set", "/watched/a", "y")
	s.OK("meta", "remove", "/watched/a")
	<-node.Done
	if got := node.Stdout.Text(); !like(got, "… created /watched/a x … set /watched/a y … removed /watched/a") {
		t.Errorf("nodes: %q", got)
	}
	s.Fails(2, "missing", "watch")
	s.Fails(2, "unexpected", "watch", "a", "b")
	s.Fails(2, "unexpected", "watch", "a", "--prefix", "b")
	s.Fails(2, "TERM.SEQ", "watch", "a", "--from", "now")
	s.Fails(2, "together", "watch", "a", "--from", "1.2", "--resume", "x")
	s.Fails(2, "one key", "watch", "--prefix", "a", "--from", "1.2")
	s.Fails(2, "0 or more", "watch", "a", "--count", "-1")
	s.Fails(2, "together", "meta", "watch", "-r", "--children", "/")
	s.Fails(4, "slash", "meta", "watch", "a")
	s.Fails(4, "read the place", "watch", "a", "--resume", s.Dir)
}
