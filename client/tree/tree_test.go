package tree_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"viewring/client"
	"viewring/client/tree"
)

// TestBadInput: what makes no sense is refused by name, and nothing is lost.
func TestBadInput(t *testing.T) {
	ctx, tr := connect()
	defer tr.Close()
	must(t, tr, "/bad", "/bad/full/child")
	long := strings.Repeat("n", 1025)
	for _, c := range []struct {
		what string
		do   func() error
		want error
	}{
		{"create without a parent", func() error { _, err := tr.Create(ctx, "/bad/no/child", nil); return err }, tree.ErrNoParent},
		{"create what exists", func() error { _, err := tr.Create(ctx, "/bad", nil); return err }, tree.ErrNodeExists},
		{"create the root", func() error { _, err := tr.Create(ctx, "/", nil); return err }, tree.ErrNodeExists},
		{"remove the root", func() error { return tr.Remove(ctx, "/", tree.Always()) }, tree.ErrBadPath},
		{"remove what is absent", func() error { return tr.Remove(ctx, "/bad/no", tree.Always()) }, tree.ErrNoNode},
		{"remove what has children", func() error { return tr.Remove(ctx, "/bad/full", tree.Always()) }, tree.ErrNotEmpty},
		{"remove at another version", func() error { return tr.Remove(ctx, "/bad/full/child", tree.IfVersion(7)) }, tree.ErrBadVersion},
		{"remove at another version, with children", func() error { return tr.Remove(ctx, "/bad/full", tree.IfVersion(7)) }, tree.ErrBadVersion},
		{"set at another version", func() error { _, err := tr.Set(ctx, "/bad", nil, tree.IfVersion(7)); return err }, tree.ErrBadVersion},
		{"set at another change", func() error {
			_, err := tr.Set(ctx, "/bad", nil, tree.IfModified(client.Version{Term: 1, Seq: 1 << 40}))
			return err
		}, tree.ErrBadVersion},
		{"set what is absent", func() error { _, err := tr.Set(ctx, "/bad/no", nil, tree.Always()); return err }, tree.ErrNoNode},
		{"get what is absent", func() error { _, err := tr.Get(ctx, "/bad/no"); return err }, tree.ErrNoNode},
		{"stat what is absent", func() error { _, err := tr.Stat(ctx, "/bad/no"); return err }, tree.ErrNoNode},
		{"list what is absent", func() error { _, err := names(tr, "/bad/no"); return err }, tree.ErrNoNode},
		{"a value too large", func() error { _, err := tr.Create(ctx, "/bad/x", make([]byte, 1<<20+1)); return err }, client.ErrTooLarge},
		{"values too large together", func() error {
			var all []tree.Change
			for i := range 5 {
				all = append(all, tree.CreateChild(fmt.Sprint(i), make([]byte, 1<<20)))
			}
			_, err := tr.Multi(ctx, "/bad", all...)
			return err
		}, client.ErrTooLarge},
		{"too many changes", func() error { _, err := tr.Multi(ctx, "/bad", make([]tree.Change, 101)...); return err }, client.ErrTooLarge},
		{"removal of what has children, among others", func() error {
			_, err := tr.Multi(ctx, "/bad", tree.CreateChild("y", nil), tree.RemoveChild("full", tree.Always()))
			return err
		}, tree.ErrHadChild},
	} {
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	for _, path := range []string{"", "a", "a/b", "/a/", "//", "/a//b", "/.", "/a/..", "/a/./b", "/a\x00b", "/a\nb", "/a\x7f", "/a\u0085", "/\ue000", "/\uffff", "/\ufff0",
		"/a\xff", "/" + long, strings.Repeat("/name", 820), strings.Repeat("/n", 129)} {
		if _, err := tr.Create(ctx, path, nil); !errors.Is(err, tree.ErrBadPath) {
			t.Errorf("create %.20q: %v", path, err)
		}
	}
	if got, err := names(tr, "/bad"); err != nil || fmt.Sprint(got) != "[full]" {
		t.Errorf("after all that: %v, %v", got, err)
	}
	for _, path := range []string{"/bad/" + long[1:], "/bad/ü 日本", "/bad/{tag}", "/bad/...", "/bad/zookeeper"} {
		if _, err := tr.Create(ctx, path, make([]byte, 1<<20)); err != nil {
			t.Errorf("create %.20q: %v", path, err)
		}
	}
}

// must creates nodes with their parents.
func must(t *testing.T, tr *tree.Tree, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := tr.Create(t.Context(), path, nil, tree.Parents); err != nil {
			t.Fatal(err)
		}
	}
}

// names lists the children of a node.
func names(tr *tree.Tree, path string) (names []string, err error) {
	for c, err := range tr.List(context.Background(), path) {
		if err != nil {
			return nil, err
		}
		names = append(names, c.Name)
	}
	return names, nil
}

// TestRoot: the root has a value and children, and they are counted.
func TestRoot(t *testing.T) {
	ctx, tr := connect()
	defer tr.Close()
	if n, err := tr.Get(ctx, "/"); err != nil || len(n.Value) != 0 || n.Stat.Version != 0 {
		t.Errorf("%+v, %v", n, err)
	}
	if v, err := tr.Set(ctx, "/", []byte("of the root"), tree.IfVersion(0)); err != nil || v != 1 {
		t.Errorf("%d, %v", v, err)
	}
	must(t, tr, "/below the root")
	if path, err := tr.Create(ctx, "/", nil, tree.Sequential); err != nil || len(path) != 11 {
		t.Errorf("%q, %v", path, err)
	}
	s, err := tr.Stat(ctx, "/")
	got, listErr := names(tr, "/")
	if err != nil || listErr != nil || s.Children != int64(len(got)) || s.Version != 1 || s.Bytes != 11 {
		t.Errorf("%+v, %v, %v, %v", s, got, err, listErr)
	}
}

// TestPages: a directory of more than a page is listed without a gap, and removed.
func TestPages(t *testing.T) {
	ctx, tr := connect()
	defer tr.Close()
	must(t, tr, "/pages", "/pages/sub/leaf")
	want := map[string]bool{"sub": true}
	for i := 0; i < 2500; i += 100 {
		var all []tree.Change
		for k := range 100 {
			name := fmt.Sprint("node", i+k)
			all = append(all, tree.CreateChild(name, nil))
			want[name] = true
		}
		if _, err := tr.Multi(ctx, "/pages", all...); err != nil {
			t.Fatal(err)
		}
	}
	got, err := names(tr, "/pages")
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d names, want %d: %v", len(got), len(want), err)
	}
	for range 2 { // read, and from memory
		var alone []string
		for name, err := range tr.Names(ctx, "/pages") {
			if err != nil {
				t.Fatal(err)
			}
			alone = append(alone, name)
		}
		if !slices.Equal(alone, got) {
			t.Errorf("%d names alone, %d with what is known of them, or in another order", len(alone), len(got))
		}
	}
	for _, name := range got {
		if !want[name] {
			t.Errorf("%s twice, or never created", name)
		}
		delete(want, name)
	}
	gone := 0
	if err := tr.RemoveAll(ctx, "/pages", func(n int) { gone = n }); err != nil || gone != 2503 {
		t.Errorf("%d removed, %v", gone, err)
	}
	if _, err := tr.Stat(ctx, "/pages"); !errors.Is(err, tree.ErrNoNode) {
		t.Errorf("%v", err)
	}
	must(t, tr, "/pages")
	if s, err := tr.Stat(ctx, "/pages"); err != nil || s.Children != 0 {
		t.Errorf("made again: %+v, %v", s, err)
	}
}

// TestSequentialAmongOthers: changes that are one may name what the sequential nodes among them
// are called, and the paths that are told are those that are there.
func TestSequentialAmongOthers(t *testing.T) {
	ctx, tr := connect()
	defer tr.Close()
	must(t, tr, "/sequential")
	for round, c := range []struct {
		changes []tree.Change
		want    string // the last path that was told, and what is there
	}{
		{[]tree.Change{tree.CreateSequential("a", nil), tree.CreateSequential("b", nil), tree.SetChild("a0000000000", []byte("v"), tree.IfVersion(0))},
			"/sequential/a0000000000 [a0000000000 b0000000001]"},
		{[]tree.Change{tree.RemoveChild("a0000000000", tree.Always()), tree.CreateChild("a0000000002", nil), tree.CreateSequential("a", nil), tree.CreateSequential("b", nil)},
			"/sequential/b0000000004 [a0000000002 a0000000003 b0000000001 b0000000004]"},
		{[]tree.Change{tree.CreateChild("b0000000005", nil), tree.CreateSequential("a", nil), tree.RemoveChild("a0000000005", tree.Always()), tree.CreateSequential("b", nil)},
			"/sequential/b0000000006 [a0000000002 a0000000003 b0000000001 b0000000004 b0000000005 b0000000006]"},
	} {
		paths, err := tr.Multi(ctx, "/sequential", c.changes...)
		if err != nil {
			t.Fatal(err)
		}
		there, err := names(tr, "/sequential")
		slices.Sort(there)
		if got := fmt.Sprint(paths[len(paths)-1], " ", there); got != c.want || err != nil {
			t.Errorf("round %d: %s, %v, want %s", round+1, got, err, c.want)
		}
	}
}
