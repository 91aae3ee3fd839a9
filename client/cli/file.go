package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"viewring/client/bulk"
	"viewring/client/file"
)

func (a *app) fileCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "file",
		Short: "keep files of any length in a tree of paths",
		Long: `Keep files of any length in a tree of paths, such as /backups/monday.tar. Long files
are kept in chunks, which are spread over all servers. A file is replaced at one
instant, once all of the new one is stored; who reads it meanwhile reads the old one
to its end. What is interrupted leaves the old file, and nothing else that stays.

Paths of the store begin with a slash. They are those of the command meta.`,
		Example: "  viewring file put -r ./photos /photos\n  viewring file get /photos/cat.jpg",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("file: unknown command %q; see viewring file --help", args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			return usagef("file: a command is missing; see viewring file --help")
		},
	}
	cmd.AddCommand(a.filePutCmd(), a.fileGetCmd(), a.fileCatCmd(), a.fileListCmd(), a.fileStatCmd(), a.fileRemoveCmd(), a.fileMoveCmd(), a.fileCopyCmd(),
		a.fileMkdirCmd(), a.fileAppendCmd(), a.fileWriteCmd(), a.fileTruncateCmd(), a.fileVerifyCmd(), a.fileSyncCmd(), a.fileSumsCmd(), a.fileDfCmd())
	return cmd
}

// onFiles makes a command's run of what it does with files. It takes as long as it takes, unless
// --timeout is given.
func (a *app) onFiles(do func(ctx context.Context, f *file.FS, args []string) error) func(*cobra.Command, []string) error {
	open := func(ctx context.Context) (*file.FS, error) {
		return opened(ctx, a.clientOptions(slog.LevelWarn), file.Open)
	}
	return within(a.longDeadline, open, do)
}

// trimmed is a path without the slashes that people put behind directories.
func trimmed(path string) string {
	if short := strings.TrimRight(path, "/"); short != "" {
		return short
	}
	return path
}

// allTrimmed is trimmed of all arguments.
func allTrimmed(do func(ctx context.Context, f *file.FS, args []string) error) func(ctx context.Context, f *file.FS, args []string) error {
	return func(ctx context.Context, f *file.FS, args []string) error {
		paths := make([]string, len(args))
		for i, arg := range args {
			paths[i] = trimmed(arg)
		}
		return do(ctx, f, paths)
	}
}

// wantsSome checks that there are as many arguments as names or more.
func wantsSome(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		return wants(names...)(cmd, args[:min(len(args), len(names))])
	}
}

// transfer shows on a terminal how far a command is that takes over a second. Any number of
// goroutines may use it.
type transfer struct {
	a     *app
	total int64 // -1: not known
	began time.Time

	mu   sync.Mutex
	done int64
	bar  *progressbar.ProgressBar // nil until it is shown
}

func (a *app) newTransfer(total int64) *transfer {
	return &transfer{a: a, total: total, began: time.Now()}
}

func (p *transfer) add(n int64) {
	if !p.a.env.StderrTerminal || p.a.flags.json {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	switch {
	case p.bar != nil:
		_ = p.bar.Add64(n) // a bar that can't be drawn harms nobody
	case time.Since(p.began) > progressEvery:
		p.bar = progressbar.NewOptions64(p.total, progressbar.OptionSetWriter(p.a.env.Stderr), progressbar.OptionShowBytes(true),
			progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
		_ = p.bar.Add64(p.done)
	}
}

// end takes the bar away.
func (p *transfer) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}

// told is what a call is told so far as shares of a transfer.
func (p *transfer) told() func(int64) {
	last := int64(0)
	return func(n int64) {
		p.add(n - last)
		last = n
	}
}

// counting is a writer that adds to a transfer.
type counting struct {
	io.Writer
	p *transfer
}

func (c counting) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	c.p.add(int64(n))
	return n, err
}

// interruptible reads until its context ends, also where a read waits for people or a pipe. A
// read that waits still is left behind: the process is about to end.
type interruptible struct {
	ctx     context.Context
	r       io.Reader
	left    []byte
	waiting chan readOutcome
}

type readOutcome struct {
	b   []byte
	err error
}

func (i *interruptible) Read(p []byte) (int, error) {
	if len(i.left) == 0 {
		if i.waiting == nil {
			i.waiting = make(chan readOutcome, 1)
			go func() {
				b := make([]byte, 64<<10)
				n, err := i.r.Read(b)
				i.waiting <- readOutcome{b[:n], err}
			}()
		}
		select {
		case <-i.ctx.Done():
			return 0, i.ctx.Err()
		case got := <-i.waiting:
			i.waiting = nil
			if i.left = got.b; got.err != nil && len(got.b) == 0 {
				return 0, got.err
			}
		}
	}
	n := copy(p, i.left)
	i.left = i.left[n:]
	return n, nil
}

// fileJob is what becomes of many files.
type fileJob struct {
	verb, done string // verify, verified
	dryRun     bool
	quiet      bool           // says nothing of what went well
	extra      map[string]any // in the answer
	more       string         // behind what is told
	began      time.Time

	mu       sync.Mutex
	files    int
	bytes    int64
	skipped  int // were there already
	deleted  int
	would    []string // be done, if it were no dry run
	problems []bulk.Problem
}

// skip counts a file that is there already.
func (j *fileJob) skip() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.skipped++
}

// wouldDo notes what a dry run leaves undone.
func (j *fileJob) wouldDo(what, path string, n int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.files++
	j.bytes += n
	j.would = append(j.would, what+" "+quoted(path))
}

// note counts a file, or what is wrong with it.
func (j *fileJob) note(name string, n int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.problems = append(j.problems, bulk.Problem{Name: name, What: "not " + j.done, Err: err})
		return
	}
	j.files++
	j.bytes += n
}

// end tells what became of them: of one file only what is wrong.
func (j *fileJob) end(ctx context.Context, a *app, many bool) error {
	if ctx.Err() != nil { // what was under way is not a problem of its own
		j.problems = slices.DeleteFunc(j.problems, func(p bulk.Problem) bool { return errors.Is(p.Err, ctx.Err()) })
	}
	answer := map[string]any{"version": jsonVersion, "files": j.files, "bytes": j.bytes, "skipped": j.skipped, "failed": len(j.problems), "seconds": time.Since(j.began).Seconds()}
	maps.Copy(answer, j.extra)
	if j.verb == "sync" {
		answer["deleted"] = j.deleted
	}
	if j.dryRun {
		slices.Sort(j.would)
		answer["would"] = append([]string{}, j.would...)
		for _, line := range j.would {
			if !a.flags.json {
				a.printf("%s\n", line)
			}
		}
	}
	switch {
	case !many && len(j.problems) == 1:
		return answeredError{j.problems[0].Err, answer}
	case a.flags.json && len(j.problems) == 0 && ctx.Err() == nil:
		a.printJSON(answer)
	case many && !a.flags.json && !j.quiet:
		done, deleted := j.done, "deleted"
		if j.dryRun {
			done, deleted = "would "+j.verb, "would be deleted"
		}
		a.printf("%s %s, %s, in %s", done, count(j.files, "file"), size(uint64(j.bytes)), span(time.Since(j.began)))
		if j.skipped > 0 {
			a.printf("; %s were there already", count(j.skipped, "file"))
		}
		if j.deleted > 0 {
			a.printf("; %d %s", j.deleted, deleted)
		}
		a.printf("%s\n", j.more)
	}
	a.showProblems("file "+j.verb, j.problems)
	switch {
	case ctx.Err() != nil:
		return answeredError{codeError{exitUnknown, fmt.Errorf("file %s: interrupted", j.verb)}, answer}
	case len(j.problems) > 0:
		return answeredError{a.problemsError("file "+j.verb+": not "+j.done, j.problems), answer}
	}
	return nil
}

// How many files are under way at a time: of those that are one chunk or less, and of
// larger ones, each of which has several chunks under way.
const (
	parallelFiles = 48
	parallelLarge = 4
	largeBytes    = 1 << 20
)

// each does something with many files, several at a time, until the context ends. bytes tells how
// long a file is.
func (j *fileJob) each(ctx context.Context, n int, bytes func(i int) int64, do func(i int)) {
	var next atomic.Int64
	var working sync.WaitGroup
	large := make(chan struct{}, parallelLarge)
	for range parallelFiles {
		working.Go(func() {
			for i := int(next.Add(1) - 1); i < n && ctx.Err() == nil; i = int(next.Add(1) - 1) {
				if bytes(i) <= largeBytes {
					do(i)
					continue
				}
				large <- struct{}{}
				do(i)
				<-large
			}
		})
	}
	working.Wait()
}
