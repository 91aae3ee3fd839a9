package process

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// up's children end with it, however it ends, and its folder can be resumed.
func TestUpEndsAndResumes(t *testing.T) {
	s, d := up(t, "--servers", "2")
	s.ok("setr", "kept", "value")
	addrs := append(serverAddrs(t, s), s.leader)
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.done
	for _, addr := range addrs {
		eventually(t, "nobody listens at "+addr, func() bool { return !listens(addr) })
	}
	again := s.start("up", "--data", filepath.Join(s.dir, "cluster"))
	again.stdout.wait(t, "is up again", again.done)
	if got := s.ok("getr", "kept"); got != "value" {
		t.Errorf("getr = %q after resuming", got)
	}
	if n := len(serverAddrs(t, s)); n != 2 {
		t.Errorf("%d servers after resuming, want 2", n)
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

// A run leaves nothing running, whether it is interrupted or killed, and even
// when one of its processes stands still.
func TestRunLeavesNothing(t *testing.T) {
	script := "cluster servers 2\nquery_servers\npause s1\nsetr never answered\n"
	for _, sig := range []os.Signal{os.Interrupt, os.Kill} {
		t.Run(sig.String(), func(t *testing.T) {
			s := newShell(t, "")
			path := filepath.Join(s.dir, "script.txt")
			if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
				t.Fatal(err)
			}
			d := s.start("run", path)
			d.stdout.wait(t, "> setr", d.done)
			addrs := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(d.stdout.text(), -1)
			if len(addrs) != 3 {
				t.Fatalf("addresses %q in\n%s", addrs, d.stdout.text())
			}
			if err := d.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			<-d.done
			for _, addr := range addrs {
				eventually(t, "nobody listens at "+addr, func() bool { return !listens(addr) })
			}
			if code := d.cmd.ProcessState.ExitCode(); sig == os.Interrupt && code != 3 {
				t.Errorf("exit %d after Ctrl-C, want 3", code)
			}
		})
	}
}

func TestUpRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newShell(t, l.Addr().String())
	s.fails(4, "port in use", "up", "--data", filepath.Join(s.dir, "c"))
	file := filepath.Join(s.dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails(4, "data folder", "up", "--data", file, "--private")
	r := s.run("", "up", "--data", "/proc/nonsense", "--private")
	if r.code != 4 || !strings.Contains(r.stderr, "data folder") {
		t.Errorf("exit %d, %s", r.code, r.stderr)
	}
}
