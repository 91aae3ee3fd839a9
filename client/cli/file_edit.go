package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/file"
)

func (a *app) fileRemoveCmd() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "rm [-r] PATH…",
		Short: "remove files",
		Long: `Remove files, or directories that are empty. With -r what is in them goes first,
from the bottom up: if it is interrupted, some are gone, and the rest is whole. A
missing file is exit code 1.`,
		Example: "  viewring file rm /docs/report.pdf\n  viewring file rm -r /photos",
		Args:    wantsSome("PATH"),
		RunE: a.onFiles(allTrimmed(func(ctx context.Context, f *file.FS, args []string) error {
			removed := 0
			teller := a.newTeller("removed")
			for _, path := range args {
				var err error
				if before := removed; recursive {
					err = f.RemoveAll(ctx, path, func(n int) {
						removed = before + n
						teller.tell(removed)
					})
				} else if err = f.Remove(ctx, path); err == nil {
					removed++
				}
				if err != nil {
					return answeredError{err, map[string]any{"version": jsonVersion, "removed": removed}}
				}
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "removed": removed})
			}
			return nil
		})),
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "with all that is below")
	return cmd
}

func (a *app) fileMoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "mv FROM TO",
		Short: "give a file another path",
		Long: `Give a file another path, where it replaces one that may be there; if TO is a
directory, or ends with a slash, it keeps its name there. Within a directory this is
one step. To another one the file is copied, and then removed at the old path if
nobody has changed it meanwhile. Directories are not moved: cp -r and rm -r do that.`,
		Example: "  viewring file mv /docs/draft /docs/final",
		Args:    wants("FROM", "TO"),
		RunE: a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
			to, err := destination(ctx, f, args[0], args[1])
			if err == nil {
				err = f.Rename(ctx, args[0], to)
			}
			if err == nil && a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "path": to})
			}
			return err
		}),
	}
}

// destination is where a file goes: below its name, if that is a directory.
func destination(ctx context.Context, f *file.FS, from, to string) (string, error) {
	dest, into, err := intoDirectory(ctx, f, to)
	if into {
		dest = path.Join(dest, path.Base(from))
	}
	return dest, err
}

func (a *app) fileCopyCmd() *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "cp [-r] FROM TO",
		Short: "copy a file within the store",
		Long: `Copy a file, or with -r a directory with all that is in it. If TO is a directory, or
ends with a slash, the copy has its name there. Within a directory the copy has the
same chunks: it takes no room, and no time.`,
		Example: "  viewring file cp /docs/report /docs/report.old\n  viewring file cp -r /photos /photos2",
		Args:    wants("FROM", "TO"),
		RunE: a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
			from := trimmed(args[0])
			to, err := destination(ctx, f, from, args[1])
			if err != nil {
				return err
			}
			top, err := f.Stat(ctx, from)
			switch {
			case err != nil:
				return err
			case top.Dir && !recursive:
				return fmt.Errorf("copy %q: %w: -r copies it with all that is in it", from, file.ErrIsDirectory)
			case top.Dir && (to == from || strings.HasPrefix(to, strings.TrimRight(from, "/")+"/")):
				return codeError{exitRefused, fmt.Errorf("copy %q: %s is in it", from, to)}
			}
			job := &fileJob{verb: "copy", done: "copied", began: time.Now()}
			files, err := copyPlan(ctx, f, top, to)
			if err != nil {
				return err
			}
			job.each(ctx, len(files), func(i int) int64 { return files[i].Bytes }, func(i int) {
				path := files[i].Path
				info, err := f.Copy(ctx, path, to+strings.TrimPrefix(path, from), file.PutOptions{})
				job.note(path, info.Bytes, err)
			})
			return job.end(ctx, a, recursive)
		}),
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "a directory, with all that is in it")
	return cmd
}

// copyPlan returns the files to be copied; the directories for them are made.
func copyPlan(ctx context.Context, f *file.FS, top file.Info, to string) (files []file.Info, err error) {
	if !top.Dir {
		return []file.Info{top}, nil
	}
	mkdir := func(path string) error {
		err := f.Mkdir(ctx, path)
		if errors.Is(err, fs.ErrExist) {
			err = f.MkdirAll(ctx, path) // is it one
		}
		return err
	}
	if err := mkdir(to); err != nil {
		return nil, err
	}
	for i, err := range f.Walk(ctx, top.Path) {
		if err != nil {
			return nil, err
		}
		if !i.Dir {
			files = append(files, i)
		} else if err := mkdir(to + strings.TrimPrefix(i.Path, top.Path)); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (a *app) fileMkdirCmd() *cobra.Command {
	var parents bool
	cmd := &cobra.Command{
		Use:   "mkdir [-p] PATH…",
		Short: "create directories",
		Long: `Create directories. One that exists is exit code 4, a missing one above it exit code
1. With -p those above are created too, and one that exists is left as it is.`,
		Example: "  viewring file mkdir -p /docs/2026",
		Args:    wantsSome("PATH"),
		RunE: a.onFiles(allTrimmed(func(ctx context.Context, f *file.FS, args []string) error {
			for _, path := range args {
				mkdir := f.Mkdir
				if parents {
					mkdir = f.MkdirAll
				}
				if err := mkdir(ctx, path); err != nil {
					return err
				}
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "created": len(args)})
			}
			return nil
		})),
	}
	cmd.Flags().BoolVarP(&parents, "parents", "p", false, "create missing directories above too")
	return cmd
}

// changed tells of a file that was changed, with --json.
func (a *app) changed(i file.Info, err error) error {
	if err == nil && a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "path": i.Path, "bytes": i.Bytes, "modified": i.Modified.String()})
	}
	return err
}

// changeHelp is what all commands say that change a part of a file.
const changeHelp = `Its other chunks are not stored again. The file changes at one instant, once all is
stored; if somebody else changes it meanwhile, nothing is done, exit code 4.`

func (a *app) fileAppendCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "append PATH [SRC]",
		Short:   "put bytes behind the end of a file",
		Long:    "Put a file, or standard input, behind the end of a file. One that is missing is created.\n" + changeHelp,
		Example: "  date | viewring file append /log",
		Args:    upTo("SRC", "PATH"),
		RunE: a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
			r, closing, err := a.source(ctx, append(args, stdinPath)[1])
			if err != nil {
				return err
			}
			defer closing()
			return a.changed(f.Append(ctx, args[0], r))
		}),
	}
}

func (a *app) fileWriteCmd() *cobra.Command {
	var offset int64
	cmd := &cobra.Command{
		Use:   "write --offset N PATH [SRC]",
		Short: "write over a part of a file",
		Long: `Put a file, or standard input, over what is at an offset in a file, or beyond its
end: then zeros are in between, of which whole chunks take no room. A missing file
is exit code 1.
` + changeHelp,
		Example: "  printf 2026 | viewring file write --offset 100 /docs/report",
		Args:    upTo("SRC", "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flag("offset").Changed || offset < 0 {
				return usagef("file write: --offset N says where, 0 or more")
			}
			return a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
				r, closing, err := a.source(ctx, append(args, stdinPath)[1])
				if err != nil {
					return err
				}
				defer closing()
				return a.changed(f.Update(ctx, args[0], offset, r))
			})(cmd, args)
		},
	}
	cmd.Flags().Int64Var(&offset, "offset", 0, "begin at this byte")
	return cmd
}

func (a *app) fileTruncateCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "truncate PATH BYTES",
		Short: "make a file shorter, or longer by zeros",
		Long: `Make a file that long: shorter, or longer by zeros, of which whole chunks take no
room. A missing file is exit code 1.
` + changeHelp,
		Example: "  viewring file truncate /log 0",
		Args:    wants("PATH", "BYTES"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || n < 0 {
				return usagef("file truncate: BYTES is a number, 0 or more, not %q", args[1])
			}
			return a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
				return a.changed(f.Truncate(ctx, args[0], n))
			})(cmd, args)
		},
	}
}
