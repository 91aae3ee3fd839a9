package tree_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/tree"
)

// TestContextOver: what is asked for with a context that is over says so as Go does, and has
// surely done nothing.
func TestContextOver(t *testing.T) {
	_, tr := connect()
	defer tr.Close()
	must(t, tr, "/over", "/over/child")
	asks := map[string]func(ctx context.Context) error{
		"Create":        func(ctx context.Context) error { _, err := tr.Create(ctx, "/over/new", nil); return err },
		"CreateParents": func(ctx context.Context) error { _, err := tr.Create(ctx, "/over/a/b", nil, tree.Parents); return err },
		"Set":           func(ctx context.Context) error { _, err := tr.Set(ctx, "/over", nil, tree.Always()); return err },
		"Get":           func(ctx context.Context) error { _, err := tr.Get(ctx, "/over"); return err },
		"Stat":          func(ctx context.Context) error { _, err := tr.Stat(ctx, "/over"); return err },
		"Remove":        func(ctx context.Context) error { return tr.Remove(ctx, "/over/child", tree.Always()) },
		"Multi": func(ctx context.Context) error {
			_, err := tr.Multi(ctx, "/over", tree.CreateChild("new", nil))
			return err
		},
		"List": func(ctx context.Context) (err error) {
			for _, err = range tr.List(ctx, "/over") {
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
}
