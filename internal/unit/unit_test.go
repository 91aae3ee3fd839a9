package unit

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// hear listens as systemd does; next is the next message.
func hear(t *testing.T) (next func() string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	return func() string {
		b := make([]byte, 4096)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(b[:n]), "\n", " ")
	}
}

// TestStates: each change is told once; what the process waits for, also after it was ready; and
// nothing but its end once that has begun.
func TestStates(t *testing.T) {
	next := hear(t)
	u := New(slog.Default(), "server", "gateway")
	want := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			if got := next(); got != text {
				t.Errorf("told %q, want %q", got, text)
			}
		}
	}
	want("STATUS=starting")
	if u.look() {
		t.Error("ready without services")
	}
	want("STATUS=server: not up yet; gateway: not up yet")
	u.Reloading()() // not before it is ready
	var wrong error
	u.Add("server", func() error { return wrong })
	u.look()
	want("STATUS=gateway: not up yet")
	u.Add("gateway", func() error { return nil })
	u.look()
	want("READY=1 STATUS=serving")
	wrong = errors.New("no view leader\nanswers")
	if !u.look() {
		t.Error("a process that was ready is so for the manager")
	}
	want("STATUS=server: no view leader answers")
	u.look()
	wrong = nil
	u.look()
	want("STATUS=serving")
	done := u.Reloading()
	if got := next(); !strings.HasPrefix(got, "RELOADING=1 ") || !strings.HasSuffix(got, "STATUS=reading certificates and password again") {
		t.Errorf("reloading: %q", got)
	}
	done()
	want("READY=1 STATUS=serving")
	over := u.Draining("draining")
	want("STOPPING=1 STATUS=draining EXTEND_TIMEOUT_USEC=15000000")
	u.look()
	u.Reloading()()
	over()
	want("STOPPING=1 STATUS=ending")
	u.Ending()
	u.tell("X") // nothing came between
	want("X")
}

// TestNobody: without a manager nothing is told, and one that has gone harms nobody.
func TestNobody(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	u := New(slog.Default(), "server")
	u.Add("server", func() error { return nil })
	u.Run(t.Context())
	u.Reloading()()
	u.Draining("x")()
	u.Ending()
	if u != nil {
		t.Error("there is a unit")
	}
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	u = New(slog.New(slog.DiscardHandler), "server")
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { u.Run(ctx) })
	u.Add("server", func() error { return nil })
	u.Draining("x")()
	cancel()
	running.Wait()
	if !u.failed {
		t.Error("nobody has noticed")
	}
}
