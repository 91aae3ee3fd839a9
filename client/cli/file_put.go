package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/file"
)

// filePutFlags are those of file put.
type filePutFlags struct {
	recursive, parents, absent bool
	md5, sha256                bool
	checksum, ignoreTimes      bool
}

func (a *app) filePutCmd() *cobra.Command {
	var flags filePutFlags
	cmd := &cobra.Command{
		Use:   "put [-r] SRC… DEST",
		Short: "store files",
		Long: `Store files, and with -r folders with all that is in them. SRC - is standard input.
Files are stored in DEST by their names if it is a directory or ends with a slash, and
folders if it ends with a slash; several SRC need one or the other. Else DEST is the
path of the file, or of what the folder becomes, beside what may be there already.
A file that exists is replaced; with --if-absent it is exit code 4, and left as it is.

A file that is there with the same length, from a source that was changed at the same
time, is not stored again, as with rsync and rclone: so the same command goes on after
Ctrl-C, file by file. What was broken off in the middle of a file begins anew with that
file. --checksum compares the bytes instead, --ignore-times nothing.

What can't be read is left out, and told in the end: exit code 1. In folders, what is
neither a file nor a folder is left out, and told.`,
		Example: "  viewring file put report.pdf /docs/\n  viewring file put -r ./photos /photos\n  tar c . | viewring file put -p - /backups/monday.tar",
		Args:    wantsSome("SRC", "DEST"),
		RunE: a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
			if flags.checksum && flags.ignoreTimes {
				return usagef("file put: --checksum and --ignore-times exclude each other")
			}
			last := len(args) - 1
			job := &fileJob{verb: "put", done: "stored", began: time.Now()}
			s := &sender{a: a, f: f, job: job, parents: flags.parents, absent: flags.absent, md5: flags.md5, sha256: flags.sha256}
			switch {
			case flags.checksum:
				s.compare = byContent
			case flags.ignoreTimes:
				s.compare = never
			}
			return s.put(ctx, args[:last], args[last], flags.recursive)
		}),
	}
	cmd.Flags().BoolVarP(&flags.recursive, "recursive", "r", false, "folders, with all that is in them")
	cmd.Flags().BoolVarP(&flags.parents, "parents", "p", false, "create missing directories above DEST")
	cmd.Flags().BoolVar(&flags.absent, "if-absent", false, "replace nothing")
	cmd.Flags().BoolVarP(&flags.checksum, "checksum", "c", false, "compare bytes with what is there, not times")
	cmd.Flags().BoolVarP(&flags.ignoreTimes, "ignore-times", "I", false, "store also what is there")
	cmd.Flags().BoolVar(&flags.md5, "md5", false, "keep the MD5 of each file")
	cmd.Flags().BoolVar(&flags.sha256, "sha256", false, "keep the SHA-256 of each file")
	return cmd
}

// intoDirectory says whether a destination is a directory, and returns it without a slash at its end.
func intoDirectory(ctx context.Context, f *file.FS, dest string) (string, bool, error) {
	trimmed := strings.TrimRight(dest, "/")
	if trimmed == "" && dest != "" {
		return file.Root, true, nil
	}
	info, err := f.Stat(ctx, trimmed)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return trimmed, trimmed != dest, nil
	case err == nil && !info.Dir && trimmed != dest:
		return trimmed, false, fmt.Errorf("%s %w", trimmed, file.ErrNotDirectory)
	}
	return trimmed, err == nil && info.Dir, err
}

// put is file put.
func (s *sender) put(ctx context.Context, sources []string, dest string, recursive bool) error {
	to, into, err := intoDirectory(ctx, s.f, dest)
	if err != nil {
		return err
	}
	foldersInto := len(sources) > 1 || strings.HasSuffix(dest, "/")
	if len(sources) > 1 && !into {
		return usagef("file put: several files need a directory to go to: %s is none, and does not end with a slash", dest)
	}
	if into && s.parents {
		if err := s.f.MkdirAll(ctx, to); err != nil {
			return err
		}
	}
	for _, src := range sources {
		if err := s.plan(ctx, src, to, into, foldersInto, recursive); err != nil {
			return err
		}
	}
	s.run(ctx)
	return s.job.end(ctx, s.a, recursive || len(sources) > 1)
}

// plan notes what is to be stored of a source.
func (s *sender) plan(ctx context.Context, src, to string, into, foldersInto, recursive bool) error {
	if src == stdinPath {
		if into {
			return usagef("file put: standard input has no name: %s must be the path of a file", to)
		}
		s.files, s.bytes = append(s.files, sendFile{from: src, to: to, bytes: math.MaxInt64}), -1
		return nil
	}
	info, err := os.Stat(src)
	switch {
	case err != nil:
		return codeError{exitNotFound, err}
	case info.IsDir() && !recursive:
		return usagef("file put: %s is a folder: -r stores it with all that is in it", src)
	}
	if into && (foldersInto || !info.IsDir()) {
		abs, err := filepath.Abs(src) // "." has a name too
		if err != nil {
			return codeError{exitNotFound, err}
		}
		to = path.Join(to, filepath.Base(abs))
	}
	if !info.IsDir() {
		l := sendFile{from: src, to: to, bytes: info.Size()}
		if info.Mode().IsRegular() {
			l.changed = info.ModTime()
		}
		s.files = append(s.files, l)
		return nil
	}
	if src, err = filepath.EvalSymlinks(src); err != nil { // a link that is named is followed, those below are not
		return codeError{exitNotFound, err}
	}
	top := s.walk(ctx, src, to, 0)
	return s.mkdir(ctx, top)
}

// source opens a file, or for "-" standard input.
func (a *app) source(ctx context.Context, name string) (r io.Reader, closing func(), err error) {
	if name == stdinPath {
		return &interruptible{ctx: ctx, r: a.env.Stdin}, func() {}, nil
	}
	opened, err := os.Open(name)
	if err != nil {
		return nil, nil, codeError{exitNotFound, err}
	}
	closing = func() { _ = opened.Close() } // it was only read
	if info, err := opened.Stat(); err != nil || !info.Mode().IsRegular() {
		return &interruptible{ctx: ctx, r: opened}, closing, nil // a pipe, as it may be
	}
	return opened, closing, nil
}
