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
}

func (a *app) filePutCmd() *cobra.Command {
	var flags filePutFlags
	cmd := &cobra.Command{
		Use:   "put [-r] SRC… DEST",
		Short: "store files",
		Long: `Store files, and with -r folders with all that is in them. SRC - is standard input.
If DEST is a directory, or ends with a slash, they are stored in it by their names;
several SRC need that. Else DEST is the path of the file, or of what becomes of the
folder. A file that exists is replaced; with --if-absent it is exit code 4, and left
as it is.

In folders, what is neither a file nor a folder is left out, and told.`,
		Example: "  viewring file put report.pdf /docs/\n  viewring file put -r ./photos /photos\n  tar c . | viewring file put -p - /backups/monday.tar",
		Args:    wantsSome("SRC", "DEST"),
		RunE: a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
			last := len(args) - 1
			p := &filePut{a: a, f: f, flags: flags, job: fileJob{verb: "put", done: "stored", began: time.Now()}}
			return p.run(ctx, args[:last], args[last])
		}),
	}
	cmd.Flags().BoolVarP(&flags.recursive, "recursive", "r", false, "folders, with all that is in them")
	cmd.Flags().BoolVarP(&flags.parents, "parents", "p", false, "create missing directories above DEST")
	cmd.Flags().BoolVar(&flags.absent, "if-absent", false, "replace nothing")
	return cmd
}

// filePut is a run of file put.
type filePut struct {
	a     *app
	f     *file.FS
	flags filePutFlags
	job   fileJob
	bytes int64 // of all files

	from, to []string // files, and where they go
	sizes    []int64  // theirs
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

func (p *filePut) run(ctx context.Context, sources []string, dest string) error {
	to, into, err := intoDirectory(ctx, p.f, dest)
	if err != nil {
		return err
	}
	if len(sources) > 1 && !into {
		return usagef("file put: several files need a directory to go to: %s is none, and does not end with a slash", dest)
	}
	if into && p.flags.parents {
		if err := p.f.MkdirAll(ctx, to); err != nil {
			return err
		}
	}
	for _, src := range sources {
		if err := p.plan(ctx, src, to, into); err != nil {
			return err
		}
	}
	progress := p.a.newTransfer(p.bytes)
	defer progress.end()
	p.job.each(ctx, len(p.from), func(i int) int64 { return p.sizes[i] }, func(i int) {
		info, err := p.one(ctx, p.from[i], p.to[i], progress)
		p.job.note(p.from[i], info.Bytes, err)
	})
	progress.end()
	return p.job.end(ctx, p.a, p.flags.recursive || len(p.from) > 1)
}

// plan notes what is to be stored of a source, and makes the directories for it.
func (p *filePut) plan(ctx context.Context, src, to string, into bool) error {
	if src == stdinPath {
		if into {
			return usagef("file put: standard input has no name: %s must be the path of a file", to)
		}
		p.from, p.to, p.sizes, p.bytes = append(p.from, src), append(p.to, to), append(p.sizes, math.MaxInt64), -1
		return nil
	}
	info, err := os.Stat(src)
	switch {
	case err != nil:
		return codeError{exitNotFound, err}
	case info.IsDir() && !p.flags.recursive:
		return usagef("file put: %s is a folder: -r stores it with all that is in it", src)
	}
	if into {
		abs, err := filepath.Abs(src) // "." has a name too
		if err != nil {
			return codeError{exitNotFound, err}
		}
		to = path.Join(to, filepath.Base(abs))
	}
	if !info.IsDir() {
		p.add(src, to, info.Size())
		return nil
	}
	if src, err = filepath.EvalSymlinks(src); err != nil { // a link that is named is followed, those below are not
		return codeError{exitNotFound, err}
	}
	return filepath.WalkDir(src, func(name string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(src, name)
		if err = errors.Join(err, relErr, ctx.Err()); err != nil {
			return codeError{exitNotFound, err}
		}
		dest := path.Join(to, filepath.ToSlash(rel))
		switch {
		case d.IsDir():
			if name == src && p.flags.parents {
				return p.f.MkdirAll(ctx, dest)
			}
			err := p.f.Mkdir(ctx, dest)
			if errors.Is(err, fs.ErrExist) {
				err = p.f.MkdirAll(ctx, dest) // is it one
			}
			return err
		case !d.Type().IsRegular():
			fmt.Fprintf(p.a.env.Stderr, "file put: %s is neither a file nor a folder: left out\n", quoted(name))
			return nil
		}
		i, err := d.Info()
		if err != nil {
			return codeError{exitNotFound, err}
		}
		p.add(name, dest, i.Size())
		return nil
	})
}

func (p *filePut) add(from, to string, n int64) {
	p.from, p.to, p.sizes = append(p.from, from), append(p.to, to), append(p.sizes, n)
	if p.bytes >= 0 {
		p.bytes += n
	}
}

// one stores a file.
func (p *filePut) one(ctx context.Context, from, to string, progress *transfer) (file.Info, error) {
	r, closing, err := p.a.source(ctx, from)
	if err != nil {
		return file.Info{}, err
	}
	defer closing()
	return p.f.Put(ctx, to, r, file.PutOptions{Parents: p.flags.parents, IfAbsent: p.flags.absent, Written: progress.told()})
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
