package tree_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/tree"
)

// sessions opens a client for sessions of a test.
func sessions(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.Open(t.Context(), options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// awaitGone waits until only so many nodes are left below a path, as a watcher is told.
func awaitGone(t *testing.T, tr *tree.Tree, path string, left int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := tr.Watch(ctx, path, tree.Children, "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for {
		got, err := names(tr, path)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) <= left {
			return
		}
		if _, err := w.Next(ctx); err != nil {
			t.Fatalf("left are %v: %v", got, err)
		}
	}
}

// TestEphemeral: nodes go with their session, whether it is closed or falls silent, and not with
// another's; they have no children and keep their owner.
func TestEphemeral(t *testing.T) {
	ctx, tr := connect()
	defer tr.Close()
	c := sessions(t)
	must(t, tr, "/ephemeral/a", "/ephemeral/b")
	open := func() *client.Session {
		t.Helper()
		s, err := c.OpenSession(ctx, client.SessionOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	closes, goesOn := open(), open()
	defer goesOn.Close(ctx)
	for i := range 250 { // more than one request removes, in two directories
		dir := []string{"/ephemeral/a", "/ephemeral/b"}[i%2]
		if _, err := tr.CreateEphemeral(ctx, closes, fmt.Sprintf("%s/%d", dir, i), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := tr.CreateEphemeral(ctx, goesOn, "/ephemeral/a/n-", nil, tree.Sequential)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := tr.Stat(ctx, kept); err != nil || s.Owner != goesOn.ID() {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := tr.Create(ctx, kept+"/child", nil, tree.Parents); !errors.Is(err, tree.ErrEphemeral) {
		t.Errorf("a child of it: %v", err)
	}
	if _, err := tr.CreateEphemeral(ctx, goesOn, "/ephemeral/a/0", nil, tree.Parents); !errors.Is(err, tree.ErrNodeExists) {
		t.Errorf("another session's node: %v", err)
	}
	if err := closes.Close(ctx); err != nil {
		t.Fatal(err)
	}
	awaitGone(t, tr, "/ephemeral/b", 0)
	awaitGone(t, tr, "/ephemeral/a", 1)
	if _, err := tr.Get(ctx, kept); err != nil {
		t.Errorf("that of a session that goes on: %v", err)
	}
	if _, err := tr.CreateEphemeral(ctx, closes, "/ephemeral/late", nil); !errors.Is(err, client.ErrClosed) {
		t.Errorf("in a session that is closed: %v", err)
	}
	if err := tr.Remove(ctx, kept, tree.Always()); err != nil {
		t.Error(err)
	}
	if path, err := tr.CreateEphemeral(ctx, goesOn, "/ephemeral/new/dir/n", nil, tree.Parents); err != nil || path != "/ephemeral/new/dir/n" {
		t.Errorf("%q, %v", path, err)
	}
	if s, err := tr.Stat(ctx, "/ephemeral/new/dir"); err != nil || s.Owner != 0 {
		t.Errorf("a parent goes with the session too: %+v, %v", s, err)
	}
}
