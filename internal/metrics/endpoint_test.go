package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"viewring/internal/tally"
)

func open(t *testing.T, services ...string) *Endpoint {
	t.Helper()
	e, err := Open(t.Context(), Options{Addr: "127.0.0.1:0", Version: "v1", head: 500 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}, services...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func get(t *testing.T, e *Endpoint, path string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestHealth: a process is ready once its services have come and are, and what only a restart
// cures is told by both paths.
func TestHealth(t *testing.T) {
	e := open(t, "server", "gateway")
	var broken atomic.Bool
	want := func(path string, status int, text string) {
		t.Helper()
		if got, body := get(t, e, path); got != status || body != text {
			t.Errorf("%s: %d, %q, want %d, %q", path, got, body, status, text)
		}
	}
	want("/healthz", 200, "ok\n")
	want("/readyz", 503, "server: it starts, and waits for its cluster\ngateway: it starts, and waits for its cluster\n")
	e.Add(Service{Name: "server", Collect: func(context.Context, *Sink) {}, Ready: func() error { return nil }, Healthy: func() error {
		if broken.Load() {
			return errors.New("the disk is gone")
		}
		return nil
	}})
	want("/readyz", 503, "gateway: it starts, and waits for its cluster\n")
	e.Add(Service{Name: "gateway", Collect: func(context.Context, *Sink) {}, Ready: func() error { return nil }})
	want("/readyz", 200, "ok\n")
	broken.Store(true)
	want("/readyz", 503, "server: the disk is gone\n")
	want("/healthz", 503, "server: the disk is gone\n")
	if status, _ := get(t, e, "/debug/pprof/"); status != 404 {
		t.Errorf("profiles that nobody asked for: %d", status)
	}
}

// TestFigures: counters, gauges and histograms are told as they were counted.
func TestFigures(t *testing.T) {
	e := open(t)
	count, level := Counter("test_things_total", "Things.", "kind"), Gauge("test_level", "A level.")
	times, sizes := Histogram("test_duration_seconds", "Times."), Histogram("test_operations", "Sizes.")
	var h, n tally.Histogram
	h.NoteTime(20 * time.Microsecond)
	h.NoteTime(3 * time.Second)
	h.NoteTime(time.Hour)
	n.Note(3)
	e.Add(Service{Name: "test", Ready: func() error { return nil }, Collect: func(_ context.Context, s *Sink) {
		s.Put(count, 3, "a")
		s.PutBool(level, true)
		told, sized := h.Counts(), n.Counts()
		s.PutTimes(times, &told)
		s.PutSizes(sizes, &sized)
	}})
	_, text := get(t, e, "/metrics")
	for _, line := range []string{
		`viewring_test_things_total{kind="a"} 3`, `viewring_test_level 1`, `viewring_test_duration_seconds_bucket{le="1.6e-05"} 0`,
		`viewring_test_duration_seconds_bucket{le="3.2e-05"} 1`, `viewring_test_duration_seconds_bucket{le="2.097152"} 1`, `viewring_test_duration_seconds_bucket{le="4.194304"} 2`,
		`viewring_test_duration_seconds_bucket{le="16.777216"} 2`, `viewring_test_duration_seconds_bucket{le="+Inf"} 3`, `viewring_test_duration_seconds_count 3`,
		`viewring_test_duration_seconds_sum 3603.00002`, `viewring_test_operations_bucket{le="2"} 0`, `viewring_test_operations_bucket{le="4"} 1`, `viewring_test_operations_sum 3`,
		`viewring_ready{service="test"} 1`, `viewring_build_info{goversion="`,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// TestBoundedConnections: who opens connections and says nothing keeps nobody out for longer than
// the time for a head.
func TestBoundedConnections(t *testing.T) {
	e := open(t)
	for range connectionsMax + 8 {
		nc, err := net.Dial("tcp", e.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	if status, body := get(t, e, "/healthz"); status != 200 {
		t.Errorf("%d, %q", status, body)
	}
}

// TestNone: a process without the port need not care.
func TestNone(t *testing.T) {
	var e *Endpoint
	e.Add(Service{})
	e.Close()
}
