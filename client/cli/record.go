package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/file"
	"viewring/client/record"
)

func (a *app) recordCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "record",
		Short: "append records to files that many write at a time",
		Long: `Append records to record files, and read them. Many producers append to one file
without locks: each record lands once, whole, in one order that all readers see, and
has a place, its number in the file. 'viewring file' lists record files, too.`,
		Example: "  viewring record create /events\n  date | viewring record append /events\n  viewring record tail -f /events",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("record: unknown command %q; see viewring record --help", args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			return usagef("record: a command is missing; see viewring record --help")
		},
	}
	cmd.AddCommand(a.recordCreateCmd(), a.recordAppendCmd(), a.recordTailCmd(), a.recordVerifyCmd(), a.recordStatCmd(), a.recordRemoveCmd())
	return cmd
}

// onRecords makes a command's run of what it does with record files. It takes as long as it takes, unless
// --timeout is given.
func (a *app) onRecords(do func(ctx context.Context, s *record.Store, args []string) error) func(*cobra.Command, []string) error {
	open := func(ctx context.Context) (*record.Store, error) {
		return opened(ctx, a.clientOptions(slog.LevelWarn), record.Open)
	}
	return within(a.longDeadline, open, do)
}

func (a *app) recordCreateCmd() *cobra.Command {
	var o record.CreateOptions
	cmd := &cobra.Command{
		Use:   "create PATH",
		Short: "make a record file",
		Long: `Make a record file. What exists at the path already is exit code 4, a missing
directory exit code 1. Records are kept together in chunks; one record, and one batch
of records, has at most a quarter of a chunk.

All records are kept, unless --retain-bytes or --retain-age is given: then chunks go
of which all records are older, or lie further back. The last two are always kept.`,
		Example: "  viewring record create /events\n  viewring record create /log --retain-age 168h --retain-bytes 10000000000",
		Args:    wants("PATH"),
		RunE: a.onRecords(func(ctx context.Context, s *record.Store, args []string) error {
			err := s.Create(ctx, args[0], o)
			if err == nil && a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "path": args[0]})
			}
			return err
		}),
	}
	cmd.Flags().Int64Var(&o.RetainBytes, "retain-bytes", 0, "keep the newest records, these `bytes` of them at least (0: all)")
	cmd.Flags().DurationVar(&o.RetainAge, "retain-age", 0, "keep records for this `time` at least, such as 168h (0: for ever)")
	cmd.Flags().Int64Var(&o.ChunkBytes, "chunk", record.ChunkBytesDefault, fmt.Sprintf("`bytes` of a chunk, %d to %d", record.ChunkBytesMin, record.ChunkBytesMax))
	return cmd
}

// recordFields are a record file's figures in JSON.
func recordFields(st *record.Stat) map[string]any {
	fields := map[string]any{"version": jsonVersion, "path": st.Path, "first": st.First, "end": st.End, "bytes": st.Bytes, "chunks": st.Chunks, "chunk_bytes": st.ChunkBytes}
	if st.RetainBytes > 0 || st.RetainAge > 0 {
		fields["retain_bytes"], fields["retain_seconds"] = st.RetainBytes, st.RetainAge.Seconds()
	}
	if !st.LastTime.IsZero() {
		fields["last_append"] = st.LastTime.UTC().Format(time.RFC3339Nano)
	}
	return fields
}

func (a *app) recordStatCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "stat PATH",
		Short:   "tell of a record file",
		Long:    `Tell how many records a record file has, and how they are stored.`,
		Example: "  viewring record stat /events",
		Args:    wants("PATH"),
		RunE: a.onRecords(func(ctx context.Context, s *record.Store, args []string) error {
			f, err := s.Open(ctx, args[0])
			if err != nil {
				return err
			}
			st, err := f.Stat(ctx)
			if err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(recordFields(&st))
				return nil
			}
			a.printf("path      %s\n", st.Path)
			if st.First < st.End {
				a.printf("places    %d to %d\n", st.First, st.End-1)
			} else {
				a.printf("places    none; the next is %d\n", st.End)
			}
			a.printf("stored    %s, on each copy\n", size(uint64(st.Bytes)))
			a.printf("chunks    %d of %s\n", st.Chunks, size(uint64(st.ChunkBytes)))
			if st.RetainBytes > 0 {
				a.printf("retained  the newest %s\n", size(uint64(st.RetainBytes)))
			}
			if st.RetainAge > 0 {
				a.printf("retained  for %v\n", st.RetainAge)
			}
			if !st.LastTime.IsZero() {
				a.printf("appended  %s\n", st.LastTime.Local().Format(time.DateTime))
			}
			return nil
		}),
	}
}

func (a *app) recordVerifyCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "verify PATH",
		Short: "read all records, and check them",
		Long: `Read all records, and check each against the checksum that it came with. What is
damaged on one disk is repaired from another copy. What can't be read is told, exit
code 5.`,
		Example: "  viewring record verify /events",
		Args:    wants("PATH"),
		RunE: a.onRecords(func(ctx context.Context, s *record.Store, args []string) error {
			f, err := s.Open(ctx, args[0])
			if err != nil {
				return err
			}
			teller := a.newTellerOf("records", "read")
			v, err := f.Verify(ctx, func(v record.Verified) { teller.tell(int(v.Records)) })
			if err != nil {
				return err
			}
			answer := map[string]any{"version": jsonVersion, "path": args[0], "records": v.Records, "bytes": v.Bytes, "lost": v.Lost}
			if v.Lost > 0 {
				for _, e := range v.Losses {
					a.warnf("%v", e)
				}
				return answeredError{codeError{exitUnavailable, fmt.Errorf("verify %q: %d records are sound, %d places have none", args[0], v.Records, v.Lost)}, answer}
			}
			if a.flags.json {
				a.printJSON(answer)
				return nil
			}
			a.printf("%d records are sound, %s\n", v.Records, size(uint64(v.Bytes)))
			return nil
		}),
	}
}

// warnf tells something on standard error.
func (a *app) warnf(format string, args ...any) {
	a.tell("viewring: %s\n", fmt.Sprintf(format, args...))
}

func (a *app) recordRemoveCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "rm PATH",
		Short: "remove a record file",
		Long: `Remove a record file. Whoever reads it or appends to it is told so within seconds.
A missing file is exit code 1.`,
		Example: "  viewring record rm /events",
		Args:    wants("PATH"),
		RunE: a.onFiles(func(ctx context.Context, f *file.FS, args []string) error {
			info, err := f.Stat(ctx, args[0])
			if err == nil && !info.Records {
				err = fmt.Errorf("remove %q: %w", args[0], record.ErrNotRecords)
			}
			if err == nil {
				err = f.RemoveIf(ctx, args[0], info.Modified)
			}
			if err == nil && a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "removed": 1})
			}
			return err
		}),
	}
}

// parseFrom reads where a reader begins.
func parseFrom(s string, now time.Time) (record.From, error) {
	switch s {
	case "start":
		return record.Start, nil
	case "end":
		return record.End, nil
	}
	var place int64
	if _, err := fmt.Sscanf(s+"\n", "%d\n", &place); err == nil && place >= 0 {
		return record.AtPlace(place), nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return record.AtTime(now.Add(-ago)), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return record.AtTime(t), nil
	}
	return record.Start, errors.New("start, end, a place such as 42, a time such as 2026-01-31T12:00:00Z, or how long ago it was, such as 10m")
}
