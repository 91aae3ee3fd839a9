package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/record"
)

// byName is what reads under a name.
type byName interface {
	Read(ctx context.Context, follow bool) iter.Seq2[record.Entry, error]
	Commit(ctx context.Context, last record.Entry) error
	Close(ctx context.Context) error
}

const (
	commitEvery = time.Second
	commitMax   = 5 * time.Second // for the last one, after Ctrl-C too
)

// named prints what a name has not read.
func (p *recordPrinter) named(ctx context.Context, f *record.File, at record.From, o *tailFlags) error {
	opts := record.ReadOptions{Reset: o.reset}
	if o.fromGiven || o.reset {
		opts.From = &at
	}
	var reads byName
	var err error
	if p.name = o.as; o.as != "" {
		reads, err = f.ReadAs(ctx, o.as, opts)
	} else {
		p.name = o.group
		reads, err = f.JoinGroup(ctx, o.group, record.GroupOptions{ReadOptions: opts})
	}
	if err != nil {
		if errors.Is(err, record.ErrKnownReader) {
			err = fmt.Errorf("%w (--from is for a new name; --reset has it begin anew)", err)
		}
		return err
	}
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	k := &placing{reads: reads, failed: cancel}
	p.flushed = k.flushed
	var running sync.WaitGroup
	running.Go(func() { k.run(within) })
	err = p.print(reads.Read(within, p.follow))
	if why := context.Cause(within); why != nil && ctx.Err() == nil {
		err = why
	}
	cancel(nil)
	running.Wait()
	last, done := context.WithTimeout(context.WithoutCancel(ctx), commitMax)
	defer done()
	if !k.broken {
		err = errors.Join(err, k.commit(last))
	}
	return errors.Join(err, reads.Close(last))
}

// placing keeps the place of a name.
type placing struct {
	reads  byName
	failed func(error)
	broken bool // a commit has failed; run's

	mu   sync.Mutex
	last *record.Entry // that was written, and is not kept yet
}

func (k *placing) flushed(last *record.Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := *last
	e.Data = nil
	k.last = &e
}

func (k *placing) commit(ctx context.Context) error {
	k.mu.Lock()
	last := k.last
	k.last = nil
	k.mu.Unlock()
	if last == nil {
		return nil
	}
	return k.reads.Commit(ctx, *last)
}

// run keeps the place now and then, until ctx ends.
func (k *placing) run(ctx context.Context) {
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitMax)
		err := k.commit(last)
		cancel()
		if err != nil {
			k.broken = true
			k.failed(err)
			return
		}
	}
}

func (a *app) recordReadersCmd() *cobra.Command {
	var remove string
	cmd := &cobra.Command{
		Use:   "readers PATH",
		Short: "list who reads a record file by name",
		Long: `List the names that read a record file (viewring record tail --as, --group), with the
place of the record that each reads next, how many it is behind the end, and when it
last kept its place. Old records are removed as the file was created to, whoever has
not read them: REMOVED counts those that a name will never read.

--remove NAME forgets a name. Who reads under it ends, exit code 4.`,
		Example: "  viewring record readers /events\n  viewring record readers /events --remove billing",
		Args:    wants("PATH"),
		RunE: a.onRecords(func(ctx context.Context, s *record.Store, args []string) error {
			f, err := s.Open(ctx, args[0])
			if err != nil {
				return err
			}
			if a.command.Flag("remove").Changed {
				return a.removeReader(ctx, f, remove)
			}
			all, err := f.Readers(ctx)
			if err != nil {
				return err
			}
			a.printReaders(f.Path(), all)
			return nil
		}),
	}
	cmd.Flags().StringVar(&remove, "remove", "", "forget a `NAME` and its place")
	return cmd
}

func (a *app) removeReader(ctx context.Context, f *record.File, name string) error {
	err := f.RemoveReader(ctx, name)
	if errors.Is(err, record.ErrNoReader) {
		return codeError{exitNotFound, err}
	}
	if err == nil && a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "removed": name})
	}
	return err
}

func (a *app) printReaders(path string, all []record.ReaderInfo) {
	rows, list := [][]string{}, []map[string]any{}
	for _, r := range all {
		kind, members := "reader", ""
		if r.Group {
			kind, members = "group", strings.Join(r.Members, ", ")
		}
		rows = append(rows, []string{quoted(r.Name), kind, strconv.FormatInt(r.Next, 10), strconv.FormatInt(r.Lag, 10), strconv.FormatInt(r.Removed, 10), r.Committed.Local().Format(time.DateTime), members})
		fields := map[string]any{"name": r.Name, "kind": kind, "next": r.Next, "lag": r.Lag, "removed": r.Removed, "committed": r.Committed.UTC().Format(time.RFC3339Nano)}
		if r.Group {
			fields["members"] = append([]string{}, r.Members...)
		}
		list = append(list, fields)
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "path": path, "readers": list})
		return
	}
	if len(rows) > 0 {
		a.table([]string{"NAME", "KIND", ">NEXT", ">BEHIND", ">REMOVED", "KEPT", "MEMBERS"}, rows)
	}
}
