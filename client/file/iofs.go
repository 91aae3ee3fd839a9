package file

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
)

// FS is the files as package io/fs sees them: what is at /a/b has the name a/b, and the root
// the name ".". It is an fs.ReadDirFS, fs.StatFS and fs.ReadFileFS. The context is that of all that is done
// with it.
func (f *FS) FS(ctx context.Context) fs.FS { return &view{f, ctx} }

type view struct {
	f   *FS
	ctx context.Context
}

// do carries out what is done to the path of a name, and makes its error a *fs.PathError.
func (v *view) do(verb, name string, do func(path string) error) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: verb, Path: name, Err: fs.ErrInvalid}
	}
	path := Root
	if name != "." {
		path += name
	}
	err := do(path)
	if errors.Is(err, ErrBadPath) {
		err = fs.ErrNotExist // nothing has such a name
	}
	if err != nil {
		return &fs.PathError{Op: verb, Path: name, Err: err}
	}
	return nil
}

// Open is that of fs.FS.
func (v *view) Open(name string) (file fs.File, err error) {
	err = v.do("open", name, func(path string) error {
		i, err := v.f.Stat(v.ctx, path)
		switch {
		case err != nil:
			return err
		case i.Dir:
			file = &directory{v: v, Info: i, name: name}
			return nil
		}
		opened, err := v.f.OpenFile(v.ctx, path)
		if err == nil {
			file = opened
		}
		return err
	})
	return file, err
}

// Stat is that of fs.StatFS.
func (v *view) Stat(name string) (info fs.FileInfo, err error) {
	err = v.do("stat", name, func(path string) error {
		i, err := v.f.Stat(v.ctx, path)
		info = named(i, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

// named is an Info as io/fs sees it: the root is called by the name ".".
func named(i Info, name string) fs.FileInfo {
	if name == "." {
		return root{i}
	}
	return i
}

type root struct{ Info }

// Name is that of the root.
func (root) Name() string { return "." }

// ReadDir is that of fs.ReadDirFS.
func (v *view) ReadDir(name string) (entries []fs.DirEntry, err error) {
	err = v.do("readdir", name, func(path string) error {
		for i, err := range v.f.List(v.ctx, path) {
			if err != nil {
				return err
			}
			entries = append(entries, fs.FileInfoToDirEntry(i))
		}
		return nil
	})
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// ReadFile is that of fs.ReadFileFS.
func (v *view) ReadFile(name string) (b []byte, err error) {
	err = v.do("read", name, func(path string) error {
		var all collector
		_, err := v.f.Get(v.ctx, path, &all)
		b = all
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// collector is what was written to it; never nil.
type collector []byte

func (c *collector) Write(p []byte) (int, error) {
	*c = append(*c, p...)
	return len(p), nil
}

// directory is an open one: an fs.ReadDirFile.
type directory struct {
	Info
	v      *view
	name   string
	listed bool
	left   []fs.DirEntry
	closed bool
}

// Stat is that of fs.File.
func (d *directory) Stat() (fs.FileInfo, error) { return named(d.Info, d.name), nil }

// Read fails: a directory has no bytes.
func (d *directory) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: ErrIsDirectory}
}

// Close is that of fs.File.
func (d *directory) Close() error {
	if d.closed {
		return &fs.PathError{Op: "close", Path: d.name, Err: fs.ErrClosed}
	}
	d.closed = true
	return nil
}

// ReadDir is that of fs.ReadDirFile.
func (d *directory) ReadDir(n int) ([]fs.DirEntry, error) {
	if d.closed {
		return nil, &fs.PathError{Op: "readdir", Path: d.name, Err: fs.ErrClosed}
	}
	if !d.listed {
		all, err := d.v.ReadDir(d.name)
		if err != nil {
			return nil, err
		}
		d.listed, d.left = true, all
	}
	if n <= 0 {
		n = len(d.left)
	} else if len(d.left) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.left))
	out := d.left[:n:n]
	d.left = d.left[n:]
	return out, nil
}

var _ interface {
	fs.ReadDirFS
	fs.StatFS
	fs.ReadFileFS
} = (*view)(nil)

var _ fs.ReadDirFile = (*directory)(nil)

var _ interface {
	fs.File
	io.ReaderAt
	io.ReadSeekCloser
	io.WriterTo
} = (*File)(nil)
