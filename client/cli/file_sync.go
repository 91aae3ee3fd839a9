package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/file"
)

// storePrefix marks the side of a sync that is a directory of the store.
const storePrefix = "store:"

// syncFlags are those of file sync.
type syncFlags struct{ remove, dryRun, checksum bool }

func (a *app) fileSyncCmd() *cobra.Command {
	var flags syncFlags
	cmd := &cobra.Command{
		Use:   "sync SRC DEST",
		Short: "make a directory what a folder is, or a folder what a directory is",
		Long: `Make DEST what SRC is, and send only what differs. One of them is a folder of this
machine, the other one a directory of the store, with store: in front. Both are
themselves meant, with or without a slash at the end. DEST is made if it is missing.

Files differ in length, or in the time of their last change, which is kept with what
is stored; with --checksum in their bytes. With --delete what is not in SRC is removed
from DEST: first, and not if SRC could not be read as a whole. --dry-run does nothing,
and tells what would be done.

What fails is told in the end, and does not keep the rest.`,
		Example: "  viewring file sync ./photos store:/photos\n  viewring file sync --delete --dry-run store:/photos ./photos",
		Args:    wants("SRC", "DEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, fromStore := strings.CutPrefix(args[0], storePrefix)
			dest, toStore := strings.CutPrefix(args[1], storePrefix)
			if fromStore == toStore {
				return usagef("file sync: one of SRC and DEST is in the store, as in %s/photos", storePrefix)
			}
			return a.onFiles(func(ctx context.Context, f *file.FS, _ []string) error {
				job := &fileJob{verb: "sync", done: "synced", began: time.Now(), dryRun: flags.dryRun}
				if toStore {
					return a.syncUp(ctx, f, job, src, trimmed(dest), &flags)
				}
				return a.syncDown(ctx, f, job, trimmed(src), dest, &flags)
			})(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&flags.remove, "delete", false, "remove from DEST what is not in SRC")
	cmd.Flags().BoolVarP(&flags.dryRun, "dry-run", "n", false, "only tell what would be done")
	cmd.Flags().BoolVarP(&flags.checksum, "checksum", "c", false, "compare bytes, not times")
	return cmd
}

// syncUp makes a directory of the store what a folder is.
func (a *app) syncUp(ctx context.Context, f *file.FS, job *fileJob, src, dest string, flags *syncFlags) error {
	info, err := os.Stat(src)
	switch {
	case err != nil:
		return codeError{exitNotFound, err}
	case !info.IsDir():
		return usagef("file sync: %s is no folder: file put stores a file", src)
	}
	if src, err = filepath.EvalSymlinks(src); err != nil {
		return codeError{exitNotFound, err}
	}
	s := &sender{a: a, f: f, job: job, parents: true, dryRun: flags.dryRun}
	if flags.checksum {
		s.compare = byContent
	}
	top := s.walk(ctx, src, dest, 0)
	if !flags.dryRun {
		if err := s.mkdir(ctx, top); err != nil {
			return err
		}
	}
	if flags.remove && !top.fresh {
		if err := s.removeOthers(ctx, dest); err != nil {
			return err
		}
	}
	s.run(ctx)
	return job.end(ctx, a, true)
}

// removeOthers removes from a directory of the store what is not to be stored there.
func (s *sender) removeOthers(ctx context.Context, dest string) error {
	if len(s.job.problems) > 0 {
		s.a.tell("file sync: not all of SRC could be read: nothing is deleted\n")
		return nil
	}
	isDir := map[string]bool{}
	for _, d := range s.folders {
		isDir[d.to] = true
		for _, l := range d.files {
			isDir[l.to] = false
		}
	}
	var others []file.Info
	for i, err := range s.f.Walk(ctx, dest) {
		if errors.Is(err, fs.ErrNotExist) && s.dryRun {
			return nil
		}
		if err != nil {
			return err
		}
		if dir, wanted := isDir[i.Path]; !wanted || dir != i.Dir {
			others = append(others, i)
		}
	}
	for _, i := range topmost(others, func(i file.Info) string { return i.Path }) {
		s.job.remove(i.Path, func() error { return s.f.RemoveAll(ctx, i.Path, nil) })
	}
	return nil
}

// topmost leaves out what is below others.
func topmost[T any](all []T, pathOf func(T) string) (left []T) {
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(pathOf(a), pathOf(b)) })
	gone := map[string]bool{}
	for _, one := range all {
		p := pathOf(one)
		below := false
		for up := path.Dir(p); len(up) > 1 && !below; up = path.Dir(up) {
			below = gone[up]
		}
		if gone[p] = true; !below {
			left = append(left, one)
		}
	}
	return left
}

// remove removes something of the destination, or in a dry run notes it.
func (j *fileJob) remove(path string, do func() error) {
	if j.dryRun {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.would = append(j.would, "delete "+quoted(path))
		j.deleted++
		return
	}
	if err := do(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		j.note(path, 0, fmt.Errorf("not deleted: %w", err))
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.deleted++
}

// syncDown makes a folder what a directory of the store is.
func (a *app) syncDown(ctx context.Context, f *file.FS, job *fileJob, src, dest string, flags *syncFlags) error {
	top, err := f.Stat(ctx, src)
	switch {
	case err != nil:
		return err
	case !top.Dir:
		return usagef("file sync: %s is no directory: file get fetches a file", src)
	}
	g := &fileGet{a: a, f: f, job: job, times: true}
	dirs, err := g.find(ctx, top, dest)
	if err != nil {
		return err
	}
	if flags.remove {
		if err := g.removeOthers(dest, dirs); err != nil {
			return err
		}
	}
	for _, d := range dirs {
		if !flags.dryRun {
			if err := os.MkdirAll(d, 0o777); err != nil {
				job.note(d, 0, codeError{exitRefused, err})
			}
		}
	}
	g.leaveOut(ctx, flags.checksum)
	if flags.dryRun {
		for i := range g.from {
			job.wouldDo("get", g.to[i], g.from[i].Bytes)
		}
		return job.end(ctx, a, true)
	}
	g.fetch(ctx)
	return job.end(ctx, a, true)
}

// removeOthers removes from a folder what is not to be fetched there.
func (g *fileGet) removeOthers(dest string, dirs []string) error {
	isDir := map[string]bool{}
	for _, d := range dirs {
		isDir[d] = true
	}
	for _, to := range g.to {
		isDir[to] = false
	}
	return filepath.WalkDir(dest, func(name string, d fs.DirEntry, err error) error {
		switch {
		case name == dest && errors.Is(err, fs.ErrNotExist):
			return nil // nothing is there
		case err != nil:
			g.job.note(name, 0, codeError{exitRefused, err})
			return nil
		}
		dir, wanted := isDir[name]
		if wanted && dir == d.IsDir() || name == dest {
			return nil
		}
		g.job.remove(name, func() error { return os.RemoveAll(name) })
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// leaveOut takes away the files that are there already.
func (g *fileGet) leaveOut(ctx context.Context, checksum bool) {
	same := make([]bool, len(g.from))
	g.job.each(ctx, len(g.from), func(i int) int64 { return g.from[i].Bytes }, func(i int) {
		from := &g.from[i]
		there, err := os.Lstat(g.to[i])
		if err != nil || !there.Mode().IsRegular() || there.Size() != from.Bytes {
			return
		}
		if !checksum {
			same[i] = there.ModTime().Equal(changedAt(from))
			return
		}
		if r, err := os.Open(g.to[i]); err == nil {
			defer r.Close()
			ok, err := g.f.Same(ctx, from.Path, r)
			same[i] = ok && err == nil
		}
	})
	from, to := g.from, g.to
	g.from, g.to, g.bytes = nil, nil, 0
	for i := range from {
		if same[i] {
			g.job.skip()
		} else {
			g.add(from[i], to[i])
		}
	}
}

// changedAt is when a file was changed: at its source, where that is known.
func changedAt(i *file.Info) time.Time {
	if !i.Attributes.SourceTime.IsZero() {
		return i.Attributes.SourceTime
	}
	return i.ModifiedAt
}
