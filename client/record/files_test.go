package record

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"viewring/client/file"
)

// TestAsFile: what package file does to a record file: it lists and removes it, and refuses the rest.
func TestAsFile(t *testing.T) {
	s := connect(t)
	f := create(t, s, "/as-file")
	if _, err := f.Append(t.Context(), []byte("a")); err != nil {
		t.Fatal(err)
	}
	files, err := file.Open(t.Context(), cluster().Options())
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	ctx := t.Context()
	if _, err := files.Put(ctx, "/plain", strings.NewReader(strings.Repeat("plain", 10_000)), file.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	put := func(path string) error {
		_, err := files.Put(ctx, path, strings.NewReader("other"), file.PutOptions{})
		return err
	}
	appends := func(path string) error {
		_, err := files.Append(ctx, path, strings.NewReader("other"))
		return err
	}
	copies := func(from, to string) error {
		_, err := files.Copy(ctx, from, to, file.PutOptions{})
		return err
	}
	_, truncated := files.Truncate(ctx, "/as-file", 0)
	_, read := files.FS(ctx).Open("as-file")
	for what, err := range map[string]error{"put": put("/as-file"), "append": appends("/as-file"), "copy": copies("/as-file", "/copy"), "copy over": copies("/plain", "/as-file"),
		"move": files.Rename(ctx, "/as-file", "/moved"), "move over": files.Rename(ctx, "/plain", "/as-file"), "truncate": truncated, "read": read} {
		if !errors.Is(err, file.ErrIsRecords) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Open(ctx, "/plain"); !errors.Is(err, ErrNotRecords) {
		t.Error(err)
	}
	i, err := files.Stat(ctx, "/as-file")
	if err != nil || !i.Records || i.Dir {
		t.Errorf("%+v, %v", i, err)
	}
	if i, err := files.Stat(ctx, "/plain"); err != nil || i.Records {
		t.Errorf("%+v, %v", i, err)
	}
	listed := 0
	for i, err := range files.List(ctx, "/") {
		if err != nil {
			t.Fatal(err)
		}
		if i.Records != (i.Path != "/plain") && !i.Dir {
			t.Errorf("%+v", i)
		}
		if i.Records {
			listed++
		}
	}
	if listed == 0 {
		t.Error("it is not listed")
	}
	if got := all(t, f, Start); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if err := files.Remove(ctx, "/as-file"); err != nil {
		t.Fatal(err)
	}
	f.looked.Store(0) // as some seconds later
	if _, err := f.Append(ctx, []byte("b")); !errors.Is(err, ErrRemoved) {
		t.Errorf("%v", err)
	}
	for _, err := range f.Read(ctx, Start, true) {
		if !errors.Is(err, ErrRemoved) {
			t.Errorf("%v", err)
		}
	}
	if _, err := s.Open(ctx, "/as-file"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := s.Create(ctx, "/as-file", CreateOptions{}); err != nil {
		t.Error(err)
	}
	f2, err := s.Open(ctx, "/as-file")
	if err != nil {
		t.Fatal(err)
	}
	if got := all(t, f2, Start); len(got) != 0 {
		t.Errorf("a new file has %d records", len(got))
	}
}
