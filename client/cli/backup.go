package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/backup"
)

// rateFlag adds --rate.
func rateFlag(cmd *cobra.Command, rate *int64) {
	cmd.Flags().Int64Var(rate, "rate", 0, "at most so many `bytes` a second; 0: no limit")
}

func checkRate(rate int64) error {
	if rate < 0 {
		return usagef("--rate must be bytes a second, 0 for no limit, not %d", rate)
	}
	return nil
}

func (a *app) backupCmd() *cobra.Command {
	o := backup.Options{Version: a.env.Version}
	cmd := &cobra.Command{
		Use:   "backup DEST",
		Short: "copy all of the running cluster to a folder or a stream",
		Long: `Copy all keys, paths, files and records to the folder DEST, or with - to
standard output. Done again into the same folder it copies only what changed
since.

All keys of a partition are of one instant, and so are all nodes of a
directory; those of different partitions are not. A file's bytes are those
that its entry names. Locks, sessions and what goes with them are not in it.

What is interrupted leaves no backup that looks whole: begin again. Exit code
5: keys or files were damaged on all servers; they are named, and all others
are copied.`,
		Example: "  viewring backup /mnt/backup\n  viewring backup --rate 10485760 /mnt/backup\n" +
			"  viewring backup - | ssh host 'cat > keys.backup'\n  viewring backup list /mnt/backup\n  viewring backup verify /mnt/backup",
		Args: wants("DEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkRate(o.Rate); err != nil {
				return err
			}
			if args[0] == stdinPath {
				return a.backupToStream(cmd.Context(), o)
			}
			return a.backupToFolder(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().BoolVar(&o.Whole, "full", false, "copy all, whatever the folder has")
	rateFlag(cmd, &o.Rate)
	cmd.AddCommand(a.backupVerifyCmd(), a.backupListCmd())
	return cmd
}

// openBackup connects to the cluster, for backups.
func (a *app) openBackup(ctx context.Context) (*backup.Cluster, error) {
	return opened(ctx, a.clientOptions(slog.LevelWarn), backup.Open)
}

func (a *app) backupToFolder(ctx context.Context, dir string, o backup.Options) error {
	var run *backup.Run
	took, err := a.copied(ctx, &o, func(ctx context.Context, c *backup.Cluster) (err error) {
		run, err = backup.ToFolder(ctx, c, dir, o)
		return err
	})
	if err != nil {
		return err
	}
	what := "whole"
	if run.Manifest.Base != (backup.RunID{}) {
		what = "since run " + decimal(run.Number-1)
	}
	return a.backedUp(run.Manifest, fmt.Sprintf("run %d, %s", run.Number, what), took, false)
}

func (a *app) backupToStream(ctx context.Context, o backup.Options) error {
	switch {
	case a.env.StdoutTerminal:
		return usagef("backup: standard output is a terminal: redirect it, or name a folder")
	case a.flags.json:
		return usagef("backup: with - standard output has the backup itself, and no JSON")
	}
	var m *backup.Manifest
	took, err := a.copied(ctx, &o, func(ctx context.Context, c *backup.Cluster) (err error) {
		m, err = backup.ToStream(ctx, c, a.env.Stdout, o)
		return err
	})
	if err != nil {
		return err
	}
	return a.backedUp(m, "whole", took, true)
}

// copied connects, copies the cluster with progress, and returns how long that took.
func (a *app) copied(ctx context.Context, o *backup.Options, run func(context.Context, *backup.Cluster) error) (took time.Duration, err error) {
	ctx, cancel := a.longDeadline(ctx)
	defer cancel()
	c, err := a.openBackup(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	o.Say, o.Told = a.note, a.partProgress("backing up")
	start := time.Now()
	err = run(ctx, c)
	a.clearProgress()
	if err != nil {
		return 0, a.interrupted(ctx, err)
	}
	return time.Since(start), nil
}

// backedUp tells what a run has.
func (a *app) backedUp(m *backup.Manifest, what string, took time.Duration, quiet bool) error {
	t := &m.Tree
	text := "backed up " + count(int(m.Records()), "key") + some(t.Nodes, "path") + some(t.Files, "file")
	if t.Streams > 0 {
		text += fmt.Sprintf(", %s of %s", count(int(t.Records), "record"), count(int(t.Streams), "record file"))
	}
	text += fmt.Sprintf(", %s, in %s (%s)", size(uint64(m.Bytes())), span(took), what)
	switch {
	case a.flags.json && !quiet:
		a.printJSON(map[string]any{"version": jsonVersion, "run": m.Number, "whole_partitions": m.WholePartitions(), "partitions": len(m.Partitions),
			"records": m.Records(), "tree": treeObject(t), "bytes": m.Bytes(), "missing": m.MissingKeys(), "seconds": took.Seconds()})
	case quiet:
		a.note(text)
	default:
		a.printf("%s\n", text)
	}
	if t.Ephemeral > 0 {
		a.note(count(int(t.Ephemeral), "node") + " of sessions left out: they go with those")
	}
	if t.Lost > 0 {
		a.note(count(int(t.Lost), "record") + " are lost, of record files, and not in it")
	}
	if m.MissingKeys() == 0 {
		return nil
	}
	for i, k := range m.Missing {
		if i == problemsShown {
			break
		}
		what := ""
		if k.Path {
			what = "path "
		}
		a.note("not copied: " + what + quoted(k.Name))
	}
	return codeError{exitUnavailable, fmt.Errorf("backup: %s damaged on all servers, and not in the backup; 'viewring scrub' looks for other copies",
		keysAndPaths(m))}
}

// keysAndPaths counts what is missing.
func keysAndPaths(m *backup.Manifest) string {
	paths := 0
	for _, k := range m.Missing {
		if k.Path {
			paths++
		}
	}
	keys := int(m.MissingKeys()) - paths
	switch {
	case paths == 0:
		return count(keys, "key")
	case keys == 0:
		return count(paths, "path")
	}
	return count(keys, "key") + " and " + count(paths, "path")
}

// some counts what there is some of, behind something else.
func some(n uint64, what string) string {
	if n == 0 {
		return ""
	}
	return ", " + count(int(n), what)
}

// treeObject is what a run has of paths, as JSON tells it.
func treeObject(t *backup.Tree) map[string]any {
	return map[string]any{"nodes": t.Nodes, "files": t.Files, "file_bytes": t.FileBytes, "record_files": t.Streams, "records": t.Records, "lost": t.Lost, "ephemeral": t.Ephemeral}
}

// note tells people something beside the answer.
func (a *app) note(text string) { fmt.Fprintf(a.env.Stderr, "%s\n", text) }

// interrupted says so of what Ctrl-C or --timeout ended.
func (a *app) interrupted(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil:
		return a.backupError(err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return codeError{exitUnknown, fmt.Errorf("%s: not done within %v", a.command.Name(), a.flags.timeout)}
	}
	return codeError{exitUnknown, fmt.Errorf("%s: interrupted", a.command.Name())}
}

// backupError gives an error of package backup its exit code.
func (a *app) backupError(err error) error {
	switch {
	case errors.Is(err, backup.ErrDamaged), errors.Is(err, backup.ErrFormat):
		return codeError{exitUnavailable, err}
	case errors.Is(err, backup.ErrNoRun):
		return codeError{exitNotFound, err}
	case errors.Is(err, backup.ErrExist):
		return codeError{exitRefused, fmt.Errorf("%w ('--existing keep' is content with that, '--existing replace' writes them)", err)}
	case errors.Is(err, backup.ErrOtherCluster), errors.Is(err, backup.ErrForeign), errors.Is(err, backup.ErrLine):
		return codeError{exitRefused, err}
	}
	return err
}

// partProgress shows on a terminal how far a run over the partitions is.
func (a *app) partProgress(doing string) func(backup.Progress) {
	if !a.colored(a.env.Stderr) {
		return nil
	}
	return func(p backup.Progress) {
		rate := ""
		if p.Took > time.Second {
			rate = fmt.Sprintf(", %s/s", size(uint64(float64(p.Bytes)/p.Took.Seconds())))
		}
		fmt.Fprintf(a.env.Stderr, "\r\x1b[K%s: %d of %d partitions, %s%s", doing, p.Partitions, p.Of, size(uint64(p.Bytes)), rate)
	}
}

func (a *app) clearProgress() {
	if a.colored(a.env.Stderr) {
		fmt.Fprint(a.env.Stderr, "\r\x1b[K")
	}
}

func (a *app) backupVerifyCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "verify SRC",
		Short: "read all of a backup, and compare its checksums",
		Long: `Read each byte of each run in the folder SRC, and compare all checksums and
counts. No cluster is needed. Exit code 5: files are damaged or missing; they
are named.`,
		Example: "  viewring backup verify /mnt/backup",
		Args:    wants("SRC"),
		RunE: func(_ *cobra.Command, args []string) error {
			start := time.Now()
			f, err := backup.OpenFolder(args[0])
			if err != nil {
				return err
			}
			v, err := f.Verify(a.byteProgress("verifying"))
			a.clearProgress()
			if err != nil {
				return a.backupError(err)
			}
			for _, fault := range v.Faults {
				a.note(fault.Err.Error())
			}
			a.say(map[string]any{"runs": v.Runs, "files": v.Files, "bytes": v.Bytes, "records": v.Records, "damaged": len(v.Faults), "seconds": time.Since(start).Seconds()},
				"verified %s, %s, %s, in %s", count(v.Runs, "run"), count(v.Files, "file"), size(uint64(v.Bytes)), span(time.Since(start)))
			if n := len(v.Faults); n > 0 {
				return codeError{exitUnavailable, fmt.Errorf("backup verify: %s", count(n, "fault"))}
			}
			return nil
		},
	}
}

// byteProgress shows on a terminal how many bytes were read.
func (a *app) byteProgress(doing string) func(bytes int64) {
	if !a.colored(a.env.Stderr) {
		return nil
	}
	var told time.Time
	return func(bytes int64) {
		if time.Since(told) > 200*time.Millisecond {
			told = time.Now()
			fmt.Fprintf(a.env.Stderr, "\r\x1b[K%s: %s", doing, size(uint64(bytes)))
		}
	}
}

func (a *app) backupListCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "list SRC",
		Short:   "list the runs of a backup",
		Example: "  viewring backup list /mnt/backup",
		Args:    wants("SRC"),
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := backup.OpenFolder(args[0])
			if err != nil {
				return err
			}
			return a.listRuns(f)
		},
	}
}

func (a *app) listRuns(f *backup.Folder) error {
	objects, bad := []map[string]any{}, 0
	var rows [][]string
	for _, r := range f.Runs {
		object := map[string]any{"run": r.Number}
		objects = append(objects, object)
		if r.Err != nil {
			object["error"] = r.Err.Error()
			rows = append(rows, []string{decimal(r.Number), r.Err.Error()})
			bad++
			continue
		}
		m, upon := r.Manifest, "-"
		if m.Base != (backup.RunID{}) {
			upon = decimal(r.Number - 1)
			object["upon"] = r.Number - 1
		}
		made := time.UnixMilli(m.Ended)
		object["made"], object["cluster"] = made.UTC().Format(time.RFC3339Nano), fmt.Sprintf("%x", m.Cluster)
		object["tree"] = treeObject(&m.Tree)
		object["records"], object["bytes"], object["missing"], object["whole_partitions"], object["partitions"] = m.Records(), m.Bytes(), m.MissingKeys(), m.WholePartitions(), len(m.Partitions)
		rows = append(rows, []string{decimal(r.Number), made.Format(time.DateTime), upon, decimal(m.Records()), decimal(m.Tree.Nodes), decimal(m.Tree.Files), decimal(m.Tree.Records), size(uint64(m.Bytes())), decimal(m.MissingKeys())})
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "runs": objects, "unfinished": len(f.Left)})
	} else {
		for i := range rows {
			for len(rows[i]) < 9 {
				rows[i] = append(rows[i], "")
			}
		}
		a.table([]string{">RUN", "MADE", ">UPON", ">KEYS", ">PATHS", ">FILES", ">RECORDS", ">BYTES", ">MISSING"}, rows)
		if len(f.Left) > 0 {
			a.note("not finished: " + strings.Join(f.Left, ", "))
		}
	}
	switch {
	case bad > 0:
		return codeError{exitUnavailable, fmt.Errorf("backup list: %s can't be read", count(bad, "run"))}
	case len(f.Runs) == 0:
		return a.backupError(fmt.Errorf("%s: %w: there is no backup", f.Dir, backup.ErrNoRun))
	}
	return nil
}

// existingFlag adds --existing.
func existingFlag(cmd *cobra.Command, text *string) {
	cmd.Flags().StringVar(text, "existing", "fail", "fail, keep or replace `keys` that differ")
}

func parseExisting(text string) (backup.Existing, error) {
	switch text {
	case "fail":
		return backup.Fail, nil
	case "keep":
		return backup.Keep, nil
	case "replace":
		return backup.Replace, nil
	}
	return 0, usagef("--existing must be fail, keep or replace, not %q", text)
}

func (a *app) restoreCmd() *cobra.Command {
	var o backup.RestoreOptions
	var existing, run string
	cmd := &cobra.Command{
		Use:   "restore SRC",
		Short: "write a backup to the cluster",
		Long: `Write the keys, paths, files and records in the folder SRC, or with - of a
stream on standard input, to the cluster, whichever that is, empty or not. Each
gets a new version; keys keep their expiries, records their places. What is
there as it is in the backup is passed over, so what was interrupted goes on
when it is begun again. What is not in the backup stays.

--existing says what becomes of keys and files that are there with other
values: with fail they stay, and the exit code is 4 when all others are
written; with keep they stay; with replace they are written. Record files with
other records stay in any case.

All is verified before anything is written. Partitions with damage are left
out and named, exit code 5; all others are restored.`,
		Example: "  viewring restore /mnt/backup\n  viewring restore --run 3 --prefix user: --existing replace /mnt/backup\n" +
			"  viewring restore --dry-run /mnt/backup\n  ssh host 'cat keys.backup' | viewring restore -",
		Args: wants("SRC"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err = checkRate(o.Rate); err != nil {
				return err
			}
			if o.Existing, err = parseExisting(existing); err != nil {
				return err
			}
			if run != "last" {
				if o.Run, err = strconv.ParseUint(run, 10, 64); err != nil || o.Run == 0 {
					return usagef("--run must be the number of a run, or last, not %q", run)
				}
			}
			return a.restore(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&run, "run", "last", "restore this `run` of the folder")
	f.StringVar(&o.Prefix, "prefix", "", "restore only keys and paths that begin with this `text`")
	f.BoolVar(&o.DryRun, "dry-run", false, "write nothing, and tell what would be")
	existingFlag(cmd, &existing)
	rateFlag(cmd, &o.Rate)
	return cmd
}

func (a *app) restore(ctx context.Context, src string, o backup.RestoreOptions) error {
	ctx, cancel := a.longDeadline(ctx)
	defer cancel()
	f, cleanup, err := a.backupFolder(ctx, src)
	defer cleanup()
	if err != nil {
		return a.interrupted(ctx, err)
	}
	if _, err := f.Run(o.Run); err != nil {
		return a.backupError(err)
	}
	c, err := a.openBackup(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	o.Told = a.partProgress("restoring")
	start := time.Now()
	done, err := f.Restore(ctx, c, o)
	a.clearProgress()
	if done == nil {
		return a.interrupted(ctx, err)
	}
	for _, fault := range done.Faults {
		a.note(fault.Err.Error())
	}
	for _, note := range done.Notes {
		a.note(note)
	}
	a.restored(done, o.DryRun, time.Since(start), err)
	switch {
	case err != nil:
		return a.interrupted(ctx, err)
	case len(done.LeftOut) > 0:
		return codeError{exitUnavailable, fmt.Errorf("restore: %s of %d left out, because of damage", count(len(done.LeftOut), "partition"), len(done.Run.Partitions))}
	case done.Run.MissingKeys() > 0:
		a.note(keysAndPaths(done.Run) + " could not be read when the backup was made, and are not in it")
	}
	return nil
}

// backupFolder opens a folder, or makes one of standard input that is removed by cleanup.
func (a *app) backupFolder(ctx context.Context, src string) (f *backup.Folder, cleanup func(), err error) {
	if src != stdinPath {
		f, err = backup.OpenFolder(src)
		return f, func() {}, err
	}
	dir, err := os.MkdirTemp("", "viewring-restore-")
	if err != nil {
		return nil, func() {}, err
	}
	f, err = backup.Spool(ctx, a.env.Stdin, dir)
	return f, func() { _ = os.RemoveAll(dir) }, err
}

// restored tells what a restore did, as counted does.
func (a *app) restored(done *backup.Restored, dry bool, took time.Duration, failed error) {
	sum, object := done.Counts, map[string]any{"run": done.Run.Number, "left_out": len(done.LeftOut), "missing": done.Run.MissingKeys(), "records": done.Records}
	for name, t := range map[string]backup.Tally{"paths": done.Paths, "files": done.Files, "record_files": done.Streams} {
		object[name] = map[string]any{"written": t.Written, "same": t.Same, "kept": t.Kept}
		if !a.flags.json {
			sum.Same, sum.Kept = sum.Same+t.Same, sum.Kept+t.Kept
		}
	}
	did, would := "restored", "restore"
	more := some(done.Paths.Written, "path") + some(done.Files.Written, "file")
	if done.Streams.Written > 0 {
		more += fmt.Sprintf(", %s of %s", count(int(done.Records), "record"), count(int(done.Streams.Written), "record file"))
	}
	a.counted(did, would, sum, more, dry, took, object, failed)
}

// counted tells what became of keys, and more. With --json nothing is told of what failed: the error is the object then.
func (a *app) counted(did, would string, n backup.Counts, more string, dry bool, took time.Duration, object map[string]any, failed error) {
	if a.flags.json {
		if failed == nil {
			object["written"], object["same"], object["kept"], object["bytes"], object["dry_run"], object["seconds"] = n.Written, n.Same, n.Kept, n.Bytes, dry, took.Seconds()
			a.say(object, "")
		}
		return
	}
	text := did
	if dry {
		text = "would " + would
	}
	text += fmt.Sprintf(" %s%s in %s", count(int(n.Written), "key"), more, span(took))
	if n.Same > 0 {
		text += fmt.Sprintf("; %d were there already", n.Same)
	}
	if n.Kept > 0 {
		text += fmt.Sprintf("; %d had other values, and were left", n.Kept)
	}
	a.printf("%s\n", text)
}
