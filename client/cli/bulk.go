package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/bulk"
)

func (a *app) bulkCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bulk",
		Short:   "load whole folders, and verify them",
		Example: "  viewring bulk load ./photos\n  viewring bulk verify ./photos",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("bulk: unknown command %q; there are bulk load and bulk verify", args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error { return usagef("bulk: load or verify is missing") },
	}
	cmd.AddCommand(a.bulkLoadCmd(), a.bulkVerifyCmd())
	return cmd
}

// workersFlag adds --parallel.
func workersFlag(cmd *cobra.Command, workers *int) {
	cmd.Flags().IntVar(workers, "parallel", 32, "files under way at a time")
}

func (a *app) bulkLoadCmd() *cobra.Command {
	var workers int
	cmd := &cobra.Command{
		Use:   "load DIR",
		Short: "set a key for every regular file below a folder",
		Long: `Set a key for every regular file below DIR: its path below DIR is the name, its
content the value, of up to 16 MiB. --timeout bounds one file. This is for trying out
the store of keys; file put -r keeps folders as files of any length.`,
		Example: "  viewring bulk load ./photos",
		Args:    wants("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withFiles(cmd.Context(), args[0], workers, func(ctx context.Context, c *client.Client, files []bulk.File, o bulk.Options) error {
				start := time.Now()
				problems := bulk.Load(ctx, c, files, o)
				return a.loaded(ctx, files, problems, time.Since(start))
			})
		},
	}
	workersFlag(cmd, &workers)
	return cmd
}

func (a *app) loaded(ctx context.Context, files []bulk.File, problems []bulk.Problem, took time.Duration) error {
	a.showProblems("load", problems)
	stored := len(files) - len(problems)
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "files": len(files), "bytes": bulk.Bytes(files), "failed": len(problems), "seconds": took.Seconds()})
	} else {
		a.printf("loaded %d of %s, %s, in %s\n", stored, count(len(files), "file"), size(uint64(bulk.Bytes(files))), span(took))
	}
	switch {
	case ctx.Err() != nil:
		return codeError{exitUnknown, fmt.Errorf("bulk load: interrupted")}
	case len(problems) > 0:
		return a.problemsError("bulk load: not stored, or not for certain", problems)
	}
	return nil
}

// problemsError is an error with the exit code of the first problem that has one, or
// that of an unknown outcome where there is any.
func (a *app) problemsError(what string, problems []bulk.Problem) error {
	code := exitNotFound
	for i := len(problems) - 1; i >= 0 && code != exitUnknown; i-- {
		if err := problems[i].Err; err != nil {
			code = a.exitCode(context.Background(), err)
		}
	}
	return codeError{code, fmt.Errorf("%s: %s", what, count(len(problems), "file"))}
}

func (a *app) bulkVerifyCmd() *cobra.Command {
	var workers int
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "check that every file below a folder is stored as it is",
		Long: `Read back the key of every regular file below DIR and compare it byte for byte.
Then ask every server's store which copies it has, with checksums computed from
the stored bytes, and report files that are missing, different, or not on
exactly the servers that they belong to. Anything wrong is exit code 1.`,
		Example: "  viewring bulk verify ./photos",
		Args:    wants("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withFiles(cmd.Context(), args[0], workers, func(ctx context.Context, c *client.Client, files []bulk.File, o bulk.Options) error {
				cluster, err := a.openCluster(ctx)
				if err != nil {
					return err
				}
				defer cluster.Close()
				start := time.Now()
				v, err := bulk.Verify(ctx, c, cluster, files, o)
				if err != nil {
					return err
				}
				return a.verified(files, v, time.Since(start))
			})
		},
	}
	workersFlag(cmd, &workers)
	return cmd
}

func (a *app) verified(files []bulk.File, v *bulk.Verified, took time.Duration) error {
	a.showProblems("read", v.Read)
	a.showProblems("copies", v.Stored)
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "files": len(files), "bytes": bulk.Bytes(files), "epoch": v.Audit.Epoch,
			"wrong": len(v.Read), "misplaced": len(v.Stored), "keys_found": v.Audit.Keys, "copies_found": v.Audit.Copies, "seconds": took.Seconds()})
	} else {
		a.printf("verified %s, %s, in %s: %d read back wrong, %d with wrong copies; %d keys with %d copies in all stores\n",
			count(len(files), "file"), size(uint64(bulk.Bytes(files))), span(took), len(v.Read), len(v.Stored), v.Audit.Keys, v.Audit.Copies)
		for _, id := range v.Audit.Down {
			a.printf("%v is down: its copies could not be checked\n", id)
		}
	}
	if len(v.Read)+len(v.Stored) > 0 {
		return a.problemsError("bulk verify: not as they should be", distinct(slices.Concat(v.Read, v.Stored)))
	}
	return nil
}

// distinct keeps the first problem of each file.
func distinct(problems []bulk.Problem) []bulk.Problem {
	seen := make(map[string]bool)
	return slices.DeleteFunc(problems, func(p bulk.Problem) bool {
		again := seen[p.Name]
		seen[p.Name] = true
		return again
	})
}

// problemsShown bounds how many problems are listed.
const problemsShown = 20

func (a *app) showProblems(what string, problems []bulk.Problem) {
	for i, p := range problems {
		if i == problemsShown {
			a.tell("%s: and %d more\n", what, len(problems)-problemsShown)
			return
		}
		text := p.What
		if p.Err != nil {
			text += ": " + p.Err.Error()
		}
		a.tell("%s: %s: %s\n", what, quoted(p.Name), text)
	}
}

// withFiles lists a folder, connects, and runs do with a progress bar.
func (a *app) withFiles(ctx context.Context, dir string, workers int,
	do func(context.Context, *client.Client, []bulk.File, bulk.Options) error) error {
	if workers < 1 {
		return usagef("--parallel must be at least 1")
	}
	if info, err := os.Stat(dir); err != nil {
		return usagef("%v", err)
	} else if !info.IsDir() {
		return usagef("%s is not a folder", dir)
	}
	files, err := bulk.List(dir)
	if err != nil {
		return codeError{exitNotFound, err}
	}
	if len(files) == 0 {
		return codeError{exitNotFound, fmt.Errorf("%s has no regular file: there is nothing to do", dir)}
	}
	c, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	o := bulk.Options{Workers: workers, Timeout: a.flags.timeout}
	if a.env.StderrTerminal && !a.flags.json {
		bar := progressbar.NewOptions64(bulk.Bytes(files), progressbar.OptionSetWriter(a.env.Stderr),
			progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
		o.Done = func(f bulk.File, _ error) { _ = bar.Add64(f.Size) } // a bar that can't be drawn harms nobody
		defer func() { _ = bar.Finish() }()
	}
	return do(ctx, c, files, o)
}
