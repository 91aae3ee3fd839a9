package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/backup"
)

func (a *app) exportCmd() *cobra.Command {
	var o backup.ExportOptions
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "write the keys as lines of JSON",
		Long: `Write the keys, in no order, to FILE or standard output: on each line an
object with key, value, and expires if the key expires. What is not UTF-8 is
base64, in key_base64 and value_base64.

Each key is as it was at some moment of the export, and different keys may be
of different moments: 'viewring backup' copies all of a partition at one
instant. FILE is there only when all is in it. Paths, files and records are no
keys: 'viewring backup' copies them too.`,
		Example: "  viewring export keys.jsonl\n  viewring export --prefix user: | jq -r .key",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkRate(o.Rate); err != nil {
				return err
			}
			ctx, cancel := a.longDeadline(cmd.Context())
			defer cancel()
			c, err := a.openBackup(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			o.Told = a.partProgress("exporting")
			var done backup.Progress
			err = a.writeWhole(args, func(w io.Writer) (err error) {
				done, err = backup.Export(ctx, c, w, o)
				return err
			})
			a.clearProgress()
			if err != nil {
				return a.interrupted(ctx, err)
			}
			if len(args) == 1 && args[0] != stdinPath {
				a.say(map[string]any{"keys": done.Records, "bytes": done.Bytes, "seconds": done.Took.Seconds()},
					"exported %s, %s, in %s", count(int(done.Records), "key"), size(uint64(done.Bytes)), span(done.Took))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Prefix, "prefix", "", "only keys that begin with this `text`")
	rateFlag(cmd, &o.Rate)
	return cmd
}

// writeWhole writes a file that is there as a whole or not at all, or standard output.
func (a *app) writeWhole(args []string, write func(io.Writer) error) error {
	if len(args) == 0 || args[0] == stdinPath {
		return write(a.env.Stdout)
	}
	unfinished := args[0] + ".viewring-part"
	f, err := os.Create(unfinished)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(unfinished, args[0])
	}
	if err != nil {
		return errors.Join(err, os.Remove(unfinished))
	}
	return nil
}

func (a *app) importCmd() *cobra.Command {
	var o backup.ImportOptions
	var existing string
	cmd := &cobra.Command{
		Use:   "import [FILE]",
		Short: "write keys from lines of JSON",
		Long: `Write the keys in FILE or standard input, as 'viewring export' writes them.
Keys that are there as they are in the file are passed over, so what was
interrupted goes on when it is begun again. --existing is as of restore. A
line that makes no sense ends it: all before it is written.`,
		Example: "  viewring import keys.jsonl\n  echo '{\"key\":\"greeting\",\"value\":\"hello\"}' | viewring import",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err = checkRate(o.Rate); err != nil {
				return err
			}
			if o.Existing, err = parseExisting(existing); err != nil {
				return err
			}
			ctx, cancel := a.longDeadline(cmd.Context())
			defer cancel()
			return a.importFrom(ctx, args, o)
		},
	}
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "write nothing, and tell what would be")
	existingFlag(cmd, &existing)
	rateFlag(cmd, &o.Rate)
	return cmd
}

func (a *app) importFrom(ctx context.Context, args []string, o backup.ImportOptions) error {
	in := a.env.Stdin
	if len(args) == 1 && args[0] != stdinPath {
		f, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer f.Close() // read only
		in = f
	}
	c, err := a.openBackup(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	start := time.Now()
	if show := a.byteProgress("importing"); show != nil {
		o.Told = func(done backup.Counts) { show(done.Bytes) }
	}
	counts, err := backup.Import(ctx, c, in, o)
	a.clearProgress()
	a.counted("imported", "import", counts, "", o.DryRun, time.Since(start), map[string]any{}, err)
	if err != nil {
		return a.interrupted(ctx, err)
	}
	return nil
}
