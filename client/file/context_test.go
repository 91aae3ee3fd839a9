package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"viewring/client"
)

// TestContextOver: what is asked for with a context that is over says so as Go does, and has
// surely done nothing.
func TestContextOver(t *testing.T) {
	f := connect(t)
	if _, err := f.Put(t.Context(), "/over/file", bytes.NewReader(pattern(1, 5000)), PutOptions{Parents: true}); err != nil {
		t.Fatal(err)
	}
	some := func() io.Reader { return bytes.NewReader(pattern(2, 5000)) }
	asks := map[string]func(ctx context.Context) error{
		"Put":      func(ctx context.Context) error { _, err := f.Put(ctx, "/over/new", some(), PutOptions{}); return err },
		"Get":      func(ctx context.Context) error { _, err := f.Get(ctx, "/over/file", io.Discard); return err },
		"OpenFile": func(ctx context.Context) error { _, err := f.OpenFile(ctx, "/over/file"); return err },
		"Stat":     func(ctx context.Context) error { _, err := f.Stat(ctx, "/over/file"); return err },
		"Describe": func(ctx context.Context) error { _, err := f.Describe(ctx, "/over/file"); return err },
		"Append":   func(ctx context.Context) error { _, err := f.Append(ctx, "/over/file", some()); return err },
		"Update":   func(ctx context.Context) error { _, err := f.Update(ctx, "/over/file", 3, some()); return err },
		"Truncate": func(ctx context.Context) error { _, err := f.Truncate(ctx, "/over/file", 3); return err },
		"Copy": func(ctx context.Context) error {
			_, err := f.Copy(ctx, "/over/file", "/over/copy", PutOptions{})
			return err
		},
		"Rename":    func(ctx context.Context) error { return f.Rename(ctx, "/over/file", "/over/renamed") },
		"Mkdir":     func(ctx context.Context) error { return f.Mkdir(ctx, "/over/dir") },
		"MkdirAll":  func(ctx context.Context) error { return f.MkdirAll(ctx, "/over/a/b") },
		"Remove":    func(ctx context.Context) error { return f.Remove(ctx, "/over/file") },
		"RemoveAll": func(ctx context.Context) error { return f.RemoveAll(ctx, "/over", nil) },
		"List": func(ctx context.Context) (err error) {
			for _, err = range f.List(ctx, "/over") {
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
	wantFile(t, f, "/over/file", pattern(1, 5000))
}
