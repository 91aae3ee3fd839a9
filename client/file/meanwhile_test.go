package file

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"viewring/internal/wire"
)

// meddling is a store where something happens before the first change of an entry.
type meddling struct {
	store
	first func()
}

func (m *meddling) Tree(ctx context.Context, name string, q *wire.TreeRequest) (wire.TreeReply, error) {
	if do := m.first; q.Op == wire.TreeChange && do != nil {
		m.first = nil
		do()
	}
	return m.store.Tree(ctx, name, q)
}

// TestMeanwhile: what others do between the steps of an operation is not lost.
func TestMeanwhile(t *testing.T) {
	long, other, third := pattern(1, 100), pattern(2, 90), pattern(3, 80)
	ctx := context.Background()
	put := func(f *FS, path string, b []byte) error {
		_, err := f.Put(ctx, path, bytes.NewReader(b), PutOptions{})
		return err
	}
	info := func(_ Info, err error) error { return err }
	for what, c := range map[string]struct {
		others func(f *FS) error // before the first change
		do     func(f *FS) error
		want   error
		after  map[string][]byte // nil: nothing is there
	}{
		"put, replaced":        {func(f *FS) error { return put(f, "/f", other) }, func(f *FS) error { return put(f, "/f", third) }, nil, map[string][]byte{"/f": third}},
		"put, removed":         {func(f *FS) error { return f.Remove(ctx, "/f") }, func(f *FS) error { return put(f, "/f", third) }, nil, map[string][]byte{"/f": third}},
		"put, created":         {func(f *FS) error { return put(f, "/new", other) }, func(f *FS) error { return put(f, "/new", third) }, nil, map[string][]byte{"/new": third}},
		"put, now a directory": {func(f *FS) error { return errors.Join(f.Remove(ctx, "/f"), f.Mkdir(ctx, "/f")) }, func(f *FS) error { return put(f, "/f", third) }, ErrIsDirectory, nil},
		"put if absent": {func(f *FS) error { return put(f, "/new", other) }, func(f *FS) error {
			return info(f.Put(ctx, "/new", bytes.NewReader(third), PutOptions{IfAbsent: true}))
		}, fs.ErrExist, map[string][]byte{"/new": other}},
		"put if modified": {func(f *FS) error { return put(f, "/f", other) }, func(f *FS) error {
			i, err := f.Stat(ctx, "/f")
			return errors.Join(err, info(f.Put(ctx, "/f", bytes.NewReader(third), PutOptions{IfModified: i.Modified})))
		}, ErrChanged, map[string][]byte{"/f": other}},
		"append":                 {func(f *FS) error { return put(f, "/f", other) }, func(f *FS) error { return info(f.Append(ctx, "/f", bytes.NewReader(third))) }, ErrChanged, map[string][]byte{"/f": other}},
		"append, removed":        {func(f *FS) error { return f.Remove(t.Context(), "/f") }, func(f *FS) error { return info(f.Append(ctx, "/f", bytes.NewReader(third))) }, ErrChanged, map[string][]byte{"/f": nil}},
		"append, renamed":        {func(f *FS) error { return f.Rename(t.Context(), "/s", "/s2") }, func(f *FS) error { return info(f.Append(ctx, "/s", strings.NewReader("2"))) }, ErrChanged, map[string][]byte{"/s": nil, "/s2": []byte("1")}},
		"append, new":            {func(f *FS) error { return put(f, "/new", other) }, func(f *FS) error { return info(f.Append(ctx, "/new", bytes.NewReader(third))) }, fs.ErrExist, map[string][]byte{"/new": other}},
		"append, little":         {func(f *FS) error { return put(f, "/s", []byte("0")) }, func(f *FS) error { return info(f.Append(ctx, "/s", strings.NewReader("2"))) }, ErrChanged, map[string][]byte{"/s": []byte("0")}},
		"truncate":               {func(f *FS) error { return put(f, "/f", other) }, func(f *FS) error { return info(f.Truncate(ctx, "/f", 50)) }, ErrChanged, map[string][]byte{"/f": other}},
		"truncate to little":     {func(f *FS) error { return put(f, "/f", other) }, func(f *FS) error { return info(f.Truncate(ctx, "/f", 5)) }, ErrChanged, map[string][]byte{"/f": other}},
		"rename, replaced":       {func(f *FS) error { return put(f, "/f", other) }, func(f *FS) error { return f.Rename(ctx, "/f", "/g") }, nil, map[string][]byte{"/g": other, "/f": nil}},
		"rename over what comes": {func(f *FS) error { return put(f, "/g", other) }, func(f *FS) error { return f.Rename(ctx, "/f", "/g") }, nil, map[string][]byte{"/g": long, "/f": nil}},
		"rename, far":            {func(f *FS) error { return put(f, "/f", other) }, func(f *FS) error { return f.Rename(ctx, "/f", "/d/g") }, ErrChanged, map[string][]byte{"/d/g": long, "/f": other}},
		"rename, removed":        {func(f *FS) error { return f.Remove(ctx, "/f") }, func(f *FS) error { return f.Rename(ctx, "/f", "/g") }, fs.ErrNotExist, map[string][]byte{"/g": nil, "/f": nil}},
	} {
		m := newMemory()
		f := small(m)
		err := errors.Join(f.Mkdir(ctx, "/d"), put(f, "/f", long), put(f, "/s", []byte("1")))
		if err != nil {
			t.Fatal(err)
		}
		err = c.do(small(&meddling{store: m, first: func() {
			if err := c.others(f); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}}))
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		m.tidy(t)
		for path, want := range c.after {
			if got, err := read(f, path); !bytes.Equal(got, want) || (want == nil) != errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s has %d bytes, %v, want %d", what, path, len(got), err, len(want))
			}
		}
	}
}
