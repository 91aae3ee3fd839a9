package record

import (
	"context"
	"errors"
	"testing"
	"time"

	"viewring/client"
)

// TestContextOver: what is asked for with a context that is over says so as Go does, and has
// surely done nothing.
func TestContextOver(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/over")
	if _, err := f.Append(t.Context(), []byte("first")); err != nil {
		t.Fatal(err)
	}
	asks := map[string]func(ctx context.Context) error{
		"Create": func(ctx context.Context) error { return s.Create(ctx, "/over-new", CreateOptions{}) },
		"Open":   func(ctx context.Context) error { _, err := s.Open(ctx, "/over"); return err },
		"Append": func(ctx context.Context) error { _, err := f.Append(ctx, []byte("more")); return err },
		"Join":   func(ctx context.Context) error { _, err := f.Join(ctx, "producer"); return err },
		"Stat":   func(ctx context.Context) error { _, err := f.Stat(ctx); return err },
		"Verify": func(ctx context.Context) error { _, err := f.Verify(ctx, func(Verified) {}); return err },
		"Read": func(ctx context.Context) (err error) {
			for _, err = range f.Read(ctx, From{}, false) {
			}
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
	if st, err := f.Stat(t.Context()); err != nil || st.End != 1 {
		t.Errorf("stat: %+v, %v", st, err)
	}
}
