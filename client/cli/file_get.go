package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/file"
)

func (a *app) fileGetCmd() *cobra.Command {
	var recursive bool
	var flags sumFlags
	cmd := &cobra.Command{
		Use:   "get [-r] SRC [DEST]",
		Short: "fetch files",
		Long: `Fetch a file, or with -r a directory with all that is in it. If DEST is a folder, as
the current one is, which it is by default, it gets its name there. DEST - is
standard output. A file that is there is replaced once all of the new one is
fetched, and its checksum was compared; where that fails, nothing is. It gets the time
that its source had when it was put. Several files are not of one moment: each is of
one.

With --md5 or --sha256 the sums are printed, with the paths here, as md5sum -c and
sha256sum -c take them, and compared with those that are kept, if there are any.`,
		Example: "  viewring file get /docs/report.pdf\n  viewring file get -r /photos ./photos\n  viewring file get /backups/monday.tar - | tar t",
		Args:    upTo("DEST", "SRC"),
		RunE: a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
			g := &fileGet{a: a, f: f, job: &fileJob{verb: "get", done: "fetched", began: time.Now()}, md5: flags.md5, sha256: flags.sha256}
			dest := "."
			if len(args) > 1 {
				dest = args[1]
			}
			return g.run(ctx, args[0], dest, recursive)
		}),
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "a directory, with all that is in it")
	flags.add(cmd, "print the %s of each file, as %s takes it")
	return cmd
}

// fileGet is a run of file get.
type fileGet struct {
	a   *app
	f   *file.FS
	job *fileJob

	times       bool // also where the time of the source is not known
	md5, sha256 bool // to be printed

	from  []file.Info
	to    []string
	bytes int64
	sums  sumLines
}

func (g *fileGet) run(ctx context.Context, src, dest string, recursive bool) error {
	src = trimmed(src)
	if dest == stdinPath {
		if g.a.flags.json || recursive {
			return usagef("file get: standard output takes the bytes of one file, without --json and -r")
		}
		return g.a.cat(ctx, g.f, src, 0, -1)
	}
	info, err := g.f.Stat(ctx, src)
	switch {
	case err != nil:
		return err
	case info.Dir && !recursive:
		return fmt.Errorf("get %q: %w: -r fetches it with all that is in it", src, file.ErrIsDirectory)
	}
	if there, err := os.Stat(dest); err == nil && there.IsDir() && src != file.Root {
		dest = filepath.Join(dest, path.Base(src))
	}
	if err := g.plan(ctx, info, dest); err != nil {
		return err
	}
	g.fetch(ctx)
	if g.md5 || g.sha256 {
		return g.endSums(ctx, recursive)
	}
	return g.job.end(ctx, g.a, recursive)
}

// fetch fetches all that was noted.
func (g *fileGet) fetch(ctx context.Context) {
	progress := g.a.newTransfer(g.bytes)
	defer progress.end()
	g.job.each(ctx, len(g.from), func(i int) int64 { return g.from[i].Bytes }, func(i int) {
		info, err := g.one(ctx, g.from[i].Path, g.to[i], progress)
		g.job.note(g.from[i].Path, info.Bytes, err)
	})
}

// plan notes what is to be fetched, and makes the folders for it.
func (g *fileGet) plan(ctx context.Context, top file.Info, dest string) error {
	if !top.Dir {
		g.add(top, dest)
		return nil
	}
	dirs, err := g.find(ctx, top, dest)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o777); err != nil {
			return codeError{exitRefused, err}
		}
	}
	return nil
}

// find notes what is to be fetched of a directory, and returns the folders for it.
func (g *fileGet) find(ctx context.Context, top file.Info, dest string) (dirs []string, err error) {
	dest = filepath.Clean(dest)
	dirs = append(dirs, dest)
	for i, err := range g.f.Walk(ctx, top.Path) {
		if err != nil {
			return nil, err
		}
		rel := filepath.FromSlash(strings.TrimPrefix(strings.TrimPrefix(i.Path, top.Path), "/"))
		if !filepath.IsLocal(rel) { // a name that means something else on this system
			return nil, codeError{exitRefused, fmt.Errorf("%s can't be the name of a file here", quoted(rel))}
		}
		to := filepath.Join(dest, rel)
		if !i.Dir {
			g.add(i, to)
		} else {
			dirs = append(dirs, to)
		}
	}
	return dirs, nil
}

func (g *fileGet) add(i file.Info, to string) {
	g.from, g.to = append(g.from, i), append(g.to, to)
	g.bytes += i.Bytes
}

// one fetches a file: under another name, until it is whole.
func (g *fileGet) one(ctx context.Context, from, to string, progress *transfer) (info file.Info, err error) {
	there, err := os.Stat(to) // of what a link leads to: that is replaced
	switch {
	case err == nil && there.IsDir():
		return info, codeError{exitRefused, fmt.Errorf("%s: %w", to, file.ErrIsDirectory)}
	case err == nil && !there.Mode().IsRegular():
		return info, codeError{exitRefused, fmt.Errorf("%s is no regular file: - writes to standard output", to)}
	case err == nil:
		if to, err = filepath.EvalSymlinks(to); err != nil {
			return info, codeError{exitRefused, err}
		}
	}
	name := filepath.Join(filepath.Dir(to), fmt.Sprintf(".viewring-%016x.part", rand.Uint64()))
	part, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return info, codeError{exitRefused, err}
	}
	defer func() {
		if err != nil {
			_ = part.Close()
			_ = os.Remove(name) // it is of no use
		}
	}()
	k := newSums(g.md5, g.sha256)
	if info, err = g.f.Get(ctx, from, counting{io.MultiWriter(part, &k), progress}); err != nil {
		return info, err
	}
	if err = k.check(&info); err != nil {
		return info, err
	}
	if err = part.Close(); err == nil && (g.times || !info.Attributes.SourceTime.IsZero()) {
		err = os.Chtimes(name, time.Time{}, changedAt(&info))
	}
	if err == nil {
		err = os.Rename(name, to)
	}
	if err == nil {
		g.sums.add(&k, to)
	}
	if err != nil {
		err = codeError{exitRefused, err}
	}
	return info, err
}

func (a *app) fileCatCmd() *cobra.Command {
	var offset, length int64
	cmd := &cobra.Command{
		Use:   "cat PATH…",
		Short: "print files",
		Long: `Print the bytes of files, one behind the other, and nothing else. With --offset and
--length only a part of each; beyond the end there is nothing.`,
		Example: "  viewring file cat /docs/notes.txt\n  viewring file cat --offset 1048576 --length 512 /backups/monday.tar",
		Args:    wantsSome("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case a.flags.json:
				return usagef("file cat prints the bytes of files, without --json")
			case offset < 0 || length < 0:
				return usagef("--offset and --length are 0 or more")
			case !cmd.Flag("length").Changed:
				length = -1
			}
			return a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
				for _, path := range args {
					if err := a.cat(ctx, f, path, offset, length); err != nil {
						return err
					}
				}
				return nil
			})(cmd, args)
		},
	}
	cmd.Flags().Int64Var(&offset, "offset", 0, "begin at this byte")
	cmd.Flags().Int64Var(&length, "length", 0, "print that many `bytes` (default: to the end)")
	return cmd
}

// cat writes a file, or a part of it, to standard output.
func (a *app) cat(ctx context.Context, f *file.FS, path string, offset, length int64) error {
	p := a.newTransfer(-1)
	defer p.end()
	_, err := f.GetRange(ctx, path, counting{a.env.Stdout, p}, offset, length)
	var writing *fs.PathError
	if errors.As(err, &writing) {
		return codeError{exitRefused, fmt.Errorf("write %s: %w", path, err)}
	}
	return err
}
