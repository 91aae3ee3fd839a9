package dav

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/net/webdav"

	"viewring/client/file"
	"viewring/internal/tree"
)

// fileSystem is the files as webdav.Handler sees them.
type fileSystem play

// errDone: what webdav.Handler was to do others have done.
var errDone = errors.New("done")

// take carries out what Guard was given, in the place of what webdav.Handler would do now: it has seen to the locks.
func (s *fileSystem) take() error {
	s.done = true
	s.err = s.do()
	return errDone
}

// told is an error as webdav.Handler knows it; one that it does not know is kept.
func (s *fileSystem) told(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return &os.PathError{Op: s.r.Method, Path: s.r.URL.Path, Err: fs.ErrNotExist}
	case errors.Is(err, fs.ErrExist):
		return &os.PathError{Op: s.r.Method, Path: s.r.URL.Path, Err: fs.ErrExist}
	}
	if s.err == nil {
		s.err = err
	}
	return err
}

// keeps reports whether nothing that is at the destination may be replaced. webdav.Handler looks; that it is so is seen to here.
func (s *fileSystem) keeps() bool { return s.r.Header.Get("Overwrite") == "F" }

// meanwhile is told of an error of what makes the destination, where that may be there by now and must not.
func (s *fileSystem) meanwhile(err error) error {
	if s.keeps() && errors.Is(err, fs.ErrExist) && s.err == nil {
		s.err = err
	}
	return s.told(err)
}

// rename gives one file another path.
func (s *fileSystem) rename(ctx context.Context, from, to string) error {
	if s.keeps() {
		return s.Files.RenameIfAbsent(ctx, from, to)
	}
	return s.Files.Rename(ctx, from, to)
}

// Mkdir is that of webdav.FileSystem.
func (s *fileSystem) Mkdir(ctx context.Context, name string, _ os.FileMode) error {
	err := s.Files.Mkdir(ctx, clean(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, file.ErrNotDirectory) {
		return s.told(ErrNoParent)
	}
	return s.meanwhile(err)
}

// Stat is that of webdav.FileSystem.
func (s *fileSystem) Stat(ctx context.Context, name string) (os.FileInfo, error) {
	if s.do != nil { // of DELETE
		return nil, s.take()
	}
	i, err := s.stat(ctx, clean(name))
	if err != nil {
		return nil, s.told(err)
	}
	return info{i, s.Share}, nil
}

func (s *fileSystem) stat(ctx context.Context, path string) (file.Info, error) {
	if i, ok := s.known[path]; ok {
		return i, nil
	}
	if Reserved(path) {
		return file.Info{}, fs.ErrNotExist
	}
	return s.Files.Stat(ctx, path)
}

// OpenFile is that of webdav.FileSystem.
func (s *fileSystem) OpenFile(ctx context.Context, name string, flag int, _ os.FileMode) (webdav.File, error) {
	if s.do != nil { // of PUT
		return nil, s.take()
	}
	path := clean(name)
	if flag&os.O_CREATE != 0 {
		t := &target{s: s, ctx: ctx, path: path, info: info{file.Info{Path: path}, s.Share}}
		if s.r.Method == "LOCK" { // webdav.Handler looks at no error of Close then
			return t, t.create()
		}
		return t, nil
	}
	i, err := s.stat(ctx, path)
	if err != nil {
		return nil, s.told(err)
	}
	return &source{s: s, ctx: ctx, info: info{i, s.Share}}, nil
}

// RemoveAll is that of webdav.FileSystem. Where a file is to come in the place of a file, that is not
// removed: it is replaced, at one instant. Where it comes in the place of a directory, it is copied beside that first.
func (s *fileSystem) RemoveAll(ctx context.Context, name string) error {
	path := clean(name)
	to, err := s.Files.Stat(ctx, path)
	if err != nil {
		return s.told(err)
	}
	from, err := s.Files.Stat(ctx, clean(s.r.URL.Path))
	if err != nil { // also where there is none: nothing is removed for it
		s.err = err
		return err
	}
	if !from.Dir && !to.Dir {
		return nil
	}
	if !from.Dir {
		if err := s.stage(ctx, from, path); err != nil {
			return s.told(err)
		}
	}
	err = s.Files.RemoveAll(ctx, path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		s.unstage(ctx)
	}
	return s.told(err)
}

// staged is a file that comes in the place of a directory: it lies beside that until the directory is gone. The source is removed last.
type staged struct {
	path string    // "": there is none
	from file.Info // what it is a copy of
}

// stage copies a file beside the directory whose place it is to take.
func (s *fileSystem) stage(ctx context.Context, from file.Info, to string) error {
	dir, _ := tree.Split(to)
	at := tree.Join(dir, stagedPrefix+rand.Text())
	if _, err := s.Files.Copy(ctx, from.Path, at, file.PutOptions{IfAbsent: true, Seal: s.unlocked(ctx, to)}); err != nil {
		return err
	}
	s.staged = staged{at, from}
	return nil
}

// stagedPrefix begins the names of staged files.
const stagedPrefix = ".viewring-staged-"

// unstage removes what was staged, where it can't take its place: the source is as it was.
func (s *fileSystem) unstage(ctx context.Context) {
	_ = s.Files.Remove(context.WithoutCancel(ctx), s.staged.path) // what can't be removed now is there to be seen
	s.staged = staged{}
}

// takePlace gives what was staged its place.
func (s *fileSystem) takePlace(ctx context.Context, to string, move bool) error {
	if err := s.rename(ctx, s.staged.path, to); err != nil {
		s.unstage(ctx)
		return err
	}
	from := s.staged.from
	s.staged = staged{}
	if !move {
		return nil
	}
	err := s.Files.RemoveIf(ctx, from.Path, from.Modified)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unlocked is a Seal that keeps the attributes, and fails where somebody else has locked the path meanwhile.
func (s *fileSystem) unlocked(ctx context.Context, path string) func(file.Info) (file.Attributes, error) {
	return func(i file.Info) (file.Attributes, error) {
		t, err := s.loadTable(ctx, time.Now())
		if err == nil {
			err = (*lockSystem)(s).free(t, path)
		}
		return i.Attributes, err
	}
}

// Rename is that of webdav.FileSystem. A directory is moved file by file: who dies in between leaves each file at one
// of both places, or, copied but not removed yet, at both.
func (s *fileSystem) Rename(ctx context.Context, from, to string) error {
	from, to = clean(from), clean(to)
	i, err := s.Files.Stat(ctx, from)
	if err == nil {
		if parent, _ := tree.Split(to); s.isNoDirectory(ctx, parent) {
			return s.told(ErrNoParent)
		}
		if i.Dir {
			err = s.move(ctx, from, to)
		} else if s.staged.path != "" {
			err = s.takePlace(ctx, to, true)
		} else {
			err = s.rename(ctx, from, to)
		}
	}
	if errors.Is(err, fs.ErrNotExist) && s.err == nil {
		s.err = err // the source is not there: webdav.Handler would forbid it
	}
	return s.meanwhile(err)
}

func (s *fileSystem) isNoDirectory(ctx context.Context, path string) bool {
	i, err := s.Files.Stat(ctx, path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !i.Dir
}

// move moves a directory.
func (s *fileSystem) move(ctx context.Context, from, to string) error {
	if err := s.Files.Mkdir(ctx, to); err != nil && !(s.keeps() || !errors.Is(err, fs.ErrExist)) {
		return err
	}
	for i, err := range s.Files.List(ctx, from) {
		if err != nil {
			return err
		}
		there := tree.Join(to, i.Name())
		if i.Dir {
			err = s.move(ctx, i.Path, there)
		} else {
			err = s.rename(ctx, i.Path, there)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // one that has gone meanwhile is gone
			return err
		}
	}
	return s.Files.Remove(ctx, from)
}

// info is what webdav.Handler tells of a file.
type info struct {
	file.Info
	share *Share
}

// ETag is that of webdav.ETager.
func (i info) ETag(context.Context) (string, error) { return i.share.ETag(i.Info), nil }

// ContentType is that of webdav.ContentTyper.
func (i info) ContentType(context.Context) (string, error) { return i.share.ContentType(i.Info), nil }

// unused are the methods of webdav.File that webdav.Handler does not call where no contents go through it.
type unused struct{}

var errUnused = errors.New("contents do not go this way")

func (unused) Read([]byte) (int, error)       { return 0, errUnused }
func (unused) Write([]byte) (int, error)      { return 0, errUnused }
func (unused) Seek(int64, int) (int64, error) { return 0, errUnused }

// source is a file or a directory that is looked at, or copied.
type source struct {
	unused
	info
	s   *fileSystem
	ctx context.Context
}

// Stat is that of webdav.File.
func (f *source) Stat() (os.FileInfo, error) { return f.info, nil }

// Close is that of webdav.File.
func (f *source) Close() error { return nil }

// Readdir is that of webdav.File: all of a directory. What it tells is known then.
func (f *source) Readdir(int) ([]fs.FileInfo, error) {
	var all []fs.FileInfo
	known := make(map[string]file.Info)
	for i, err := range f.s.Files.List(f.ctx, f.info.Path) {
		if err != nil {
			return nil, f.s.told(err)
		}
		if Reserved(i.Path) {
			continue
		}
		if len(all) == entriesMax {
			return nil, f.s.told(fmt.Errorf("%w: %s has more than %d entries", ErrTooMany, f.info.Path, entriesMax))
		}
		all = append(all, info{i, f.s.Share})
		known[i.Path] = i
	}
	if f.s.r.Method == "PROPFIND" {
		f.s.known = known
	}
	return all, nil
}

// target is a file that is to be created, or made a copy of another.
type target struct {
	unused
	info
	s    *fileSystem
	ctx  context.Context
	path string
	from string // "": nothing was copied
}

// ReadFrom is that of io.ReaderFrom: nothing is read, what is to be copied is kept in mind.
func (f *target) ReadFrom(r io.Reader) (int64, error) {
	from, ok := r.(*source)
	if !ok {
		return 0, errUnused
	}
	f.from = from.info.Path
	return from.info.Bytes, nil
}

// create makes an empty file.
func (f *target) create() error {
	_, err := f.s.Files.Put(f.ctx, f.path, bytes.NewReader(nil), file.PutOptions{IfAbsent: true})
	if errors.Is(err, fs.ErrExist) {
		err = nil // somebody else's: it is locked nevertheless
	}
	return f.made(err)
}

// made is told, where a missing directory is the only thing that can be missing.
func (f *target) made(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNoParent
	}
	return f.s.meanwhile(err)
}

// Close makes the copy.
func (f *target) Close() error {
	if f.from == "" {
		return nil
	}
	if f.s.staged.path != "" && f.s.staged.from.Path == f.from {
		return f.made(f.s.takePlace(f.ctx, f.path, false))
	}
	_, err := f.s.Files.Copy(f.ctx, f.from, f.path, file.PutOptions{IfAbsent: f.s.keeps(), Seal: f.s.unlocked(f.ctx, f.path)})
	return f.made(err)
}

// Stat is that of webdav.File.
func (f *target) Stat() (os.FileInfo, error) { return f.info, nil }

// Readdir is that of webdav.File.
func (f *target) Readdir(int) ([]fs.FileInfo, error) { return nil, file.ErrNotDirectory }
