package tree_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"viewring/client"
	"viewring/client/tree"
)

// TestWatchScopes: each scope is told of its nodes, and of no others whose paths look alike.
func TestWatchScopes(t *testing.T) {
	ctx, tr := connect()
	defer tr.Close()
	base := "/scopes"
	if _, err := tr.Create(ctx, base, nil); err != nil {
		t.Fatal(err)
	}
	all := []string{base + "/a", base + "/a/b", base + "/a/b/c", base + "/ab", base + "/ab/c"}
	scopes := map[string]struct {
		path  string
		scope tree.Scope
		want  []string
	}{
		"a node":        {base + "/a", tree.ThisNode, all[:1]},
		"children":      {base + "/a", tree.Children, all[1:2]},
		"all below":     {base + "/a", tree.AllBelow, all[1:3]},
		"more below":    {base, tree.AllBelow, all},
		"of no node":    {base + "/a/b/c", tree.Children, nil},
		"a longer name": {base + "/ab", tree.AllBelow, all[4:]},
	}
	watches := make(map[string]*tree.Watch)
	for what, s := range scopes {
		w, err := tr.Watch(ctx, s.path, s.scope, "")
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		watches[what] = w
	}
	root, err := tr.Watch(ctx, tree.Root, tree.AllBelow, "")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, path := range all {
		if _, err := tr.Create(ctx, path, []byte(path)); err != nil {
			t.Fatal(err)
		}
	}
	for what, s := range scopes {
		isTold(t, what, watches[what], tree.Created, s.want)
	}
	isTold(t, "the root", root, tree.Created, all)
	if token := watches["children"].Token(); !strings.Contains(string(token), ".") {
		t.Errorf("a watch of one directory asks more than its partition: its token is %s", token)
	}
	place := watches["more below"].Token()
	for _, path := range slices.Backward(all) {
		if err := tr.Remove(ctx, path, tree.Always()); err != nil {
			t.Fatal(err)
		}
	}
	for what, s := range scopes {
		isTold(t, what, watches[what], tree.Removed, s.want)
	}
	again, err := tr.Watch(ctx, base, tree.AllBelow, place)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	isTold(t, "from a token", again, tree.Removed, all)
	if _, err := tr.Watch(ctx, "nonsense", tree.ThisNode, ""); !errors.Is(err, tree.ErrBadPath) {
		t.Errorf("a bad path: %v", err)
	}
	if _, err := tr.Watch(ctx, base, tree.AllBelow, "1.2"); !errors.Is(err, client.ErrRefused) {
		t.Errorf("a token of another watch: %v", err)
	}
}

// isTold takes as many events as there are paths: those, each once, and of each directory in
// whatever order its nodes were changed.
func isTold(t *testing.T, what string, w *tree.Watch, kind tree.EventKind, paths []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var got []string
	for range paths {
		e, err := w.Next(ctx)
		if err != nil {
			t.Fatalf("%s: after %q: %v", what, got, err)
		}
		got = append(got, e.Path)
		if e.Kind != kind || kind == tree.Created && (e.Node == nil || string(e.Node.Value) != e.Path) {
			t.Errorf("%s: %+v", what, e)
		}
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(paths))) {
		t.Errorf("%s: %s are %q, not %q", what, fmt.Sprint(kind), got, paths)
	}
}
