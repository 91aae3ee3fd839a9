package file

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"viewring/internal/wire"
)

// TestSessionsFile: what goes with a session is edited, moved and removed, but no file is put in its place: that would go with the session.
func TestSessionsFile(t *testing.T) {
	ctx := t.Context()
	m := newMemory()
	f := small(m)
	own := func(path string) {
		t.Helper()
		if _, err := f.Put(ctx, path, strings.NewReader("of a session"), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		m.nodes[path].Owner = 7
	}
	if _, err := f.Put(ctx, "/other", bytes.NewReader(pattern(1, 40)), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	own("/e")
	i, err := f.Stat(ctx, "/e")
	if err != nil || i.Owner != 7 {
		t.Fatal(i, err)
	}
	for what, err := range map[string]error{
		"put":      errorOnly(f.Put(ctx, "/e", bytes.NewReader(pattern(2, 100)), PutOptions{})),
		"put if":   errorOnly(f.Put(ctx, "/e", bytes.NewReader(pattern(2, 1)), PutOptions{IfModified: i.Modified})),
		"copy":     errorOnly(f.Copy(ctx, "/other", "/e", PutOptions{})),
		"rename":   f.Rename(ctx, "/other", "/e"),
		"together": errorOnly(f.Concat(ctx, "/e", []string{"/other"}, PutOptions{})),
		"many":     f.PutMany(ctx, "/", []Small{{Name: "e", Bytes: []byte("x")}}, PutOptions{})[0].Err,
	} {
		if !errors.Is(err, ErrSession) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = f.op(ctx, "put", "/e").commit("/e", wire.TreeItem{Value: []byte("x")}, when{}, nil) // it was made after the look
	if !errors.Is(err, ErrSession) {
		t.Errorf("between the look and the change: %v", err)
	}
	wantFile(t, f, "/e", []byte("of a session"))
	if i, err := f.Append(ctx, "/e", strings.NewReader(", and more")); err != nil {
		t.Error(i, err)
	}
	wantFile(t, f, "/e", []byte("of a session, and more"))
	if i, err := f.Stat(ctx, "/e"); err != nil || i.Owner != 7 {
		t.Error(i, err)
	}
	if err := f.Remove(ctx, "/e"); err != nil {
		t.Error(err)
	}
	if i, err := f.Put(ctx, "/e", strings.NewReader("x"), PutOptions{}); err != nil {
		t.Error(i, err)
	}
	m.tidy(t)
}

// errorOnly drops an Info.
func errorOnly(_ Info, err error) error { return err }
