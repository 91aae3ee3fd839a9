package admin

import (
	"context"
	"errors"
	"testing"
	"time"

	"viewring/client"
	"viewring/ring"
	"viewring/tests/fake"
)

// TestContextOver: what ends because its context does says how that ended, be it over
// before or while nobody answers, at the view leader or at a server.
func TestContextOver(t *testing.T) {
	f := fake.Start(t)
	f.View = fake.View(1, f.Addr)
	c, err := Open(t.Context(), client.Options{Servers: []string{f.Addr}, ViewCache: client.NoViewCache})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := DialServer(t.Context(), f.Addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first := func(copies func(func(Copy, error) bool)) (err error) {
		copies(func(_ Copy, e error) bool { err = e; return false })
		return err
	}
	asks := map[string]func(ctx context.Context) error{
		"Status":     func(ctx context.Context) error { _, err := c.Status(ctx); return err },
		"Drain":      func(ctx context.Context) error { _, err := c.Drain(ctx, "s1"); return err },
		"AcceptLoss": func(ctx context.Context) error { _, err := c.AcceptLoss(ctx, []ring.PartitionID{0}); return err },
		"Events":     func(ctx context.Context) error { _, err := c.Events(ctx, 0, 0); return err },
		"Locks":      func(ctx context.Context) error { _, err := c.Locks(ctx); return err },
		"Audit":      func(ctx context.Context) error { _, err := c.Audit(ctx); return err },
		"WaitView": func(ctx context.Context) error {
			_, err := c.WaitView(ctx, func(*ring.View) bool { return false })
			return err
		},
		"DialServer": func(ctx context.Context) error { _, err := DialServer(ctx, f.Addr, nil); return err },
		"Ping":       s.Ping,
		"Scrub":      func(ctx context.Context) error { _, err := s.Scrub(ctx, nil); return err },
		"Copies":     func(ctx context.Context) error { return first(s.Copies(ctx, 0)) },
		"ViewLeaders": func(ctx context.Context) error {
			_, err := ViewLeaders(ctx, client.Options{Leaders: []string{f.Addr}})
			return err
		},
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for name, ask := range asks {
		for want, ctx := range map[error]context.Context{context.Canceled: cancelled, context.DeadlineExceeded: late} {
			if err := ask(ctx); !errors.Is(err, want) || errors.Is(err, client.ErrUnknownOutcome) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
		}
	}
	f.Lock()
	f.Mute = true
	f.Unlock()
	for _, name := range []string{"Ping", "Scrub", "Copies", "Audit", "ViewLeaders"} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := asks[name](ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s while nobody answers: %v", name, err)
		}
		cancel()
	}
}
