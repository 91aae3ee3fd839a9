package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
)

const (
	watchKeepEvery  = time.Second // that the place is kept in the file while events come
	watchShownBytes = 48          // of a value on a line
)

// watchFlags are those of the command watch.
type watchFlags struct {
	prefix string
	from   string
	resume string
	values bool
	count  int
}

func (a *app) watchCmd() *cobra.Command {
	var f watchFlags
	cmd := &cobra.Command{
		Use:   "watch NAME",
		Short: "show changes of replicated keys as they happen",
		Long: `Print a line for each change of a key, or with --prefix of all keys that begin
so, from now on and until Ctrl-C: its version, what happened (set, deleted, or
expired), and the key. No change is left out, none is told that is lost later,
whatever happens to servers meanwhile. 'anew' says that the watch was
interrupted for so long that the servers do not know any more what happened
since: read what you follow.

--from goes on after a version of the key. --resume keeps the place in a file
and goes on there when it is started again.`,
		Example: "  viewring watch greeting --values\n  viewring watch --prefix job: --resume jobs.place --json\n" +
			"  viewring watch greeting --count 1   # waits for the next change",
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("prefix") {
				return wants()(cmd, args)
			}
			return wants("NAME")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			options := client.WatchOptions{Prefix: len(args) == 0, Values: f.values, From: client.Token(f.from)}
			switch {
			case f.count < 0:
				return usagef("--count must be 0 or more, not %d", f.count)
			case f.from != "" && f.resume != "":
				return usagef("--from and --resume can't go together")
			case f.from != "" && options.Prefix:
				return usagef("--from is the version of one key: use --resume with --prefix")
			}
			if f.from != "" {
				if _, err := client.ParseVersion(f.from); err != nil {
					return usagef("--from %q: %v", f.from, err)
				}
			}
			key := f.prefix
			if !options.Prefix {
				key = args[0]
			}
			return a.watch(cmd.Context(), key, options, &f)
		},
	}
	cmd.Flags().StringVar(&f.prefix, "prefix", "", "watch all keys that begin with `P`; '' is all")
	cmd.Flags().StringVar(&f.from, "from", "", "begin after this `VERSION` of the key, TERM.SEQ")
	cmd.Flags().StringVar(&f.resume, "resume", "", "begin at the place kept in `FILE`, if there is one, and keep it there")
	cmd.Flags().BoolVar(&f.values, "values", false, "show what was set")
	cmd.Flags().IntVar(&f.count, "count", 0, "end after `N` changes")
	return cmd
}

func (a *app) watch(ctx context.Context, key string, o client.WatchOptions, f *watchFlags) error {
	if f.resume != "" {
		kept, err := os.ReadFile(f.resume)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read the place: %w", err)
		}
		o.From = client.Token(strings.TrimSpace(string(kept)))
	}
	beginning, cancel := a.deadline(ctx)
	defer cancel()
	c, err := a.open(beginning)
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := c.Watch(beginning, key, o)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := keepPlace(f.resume, w); err != nil { // nothing is lost however this ends
		return err
	}
	err = a.showEvents(ctx, w, f)
	if kerr := keepPlace(f.resume, w); err == nil {
		err = kerr
	}
	return err
}

// showEvents prints events until there were enough, or ctx ends.
func (a *app) showEvents(ctx context.Context, w *client.Watch, f *watchFlags) error {
	kept := time.Now()
	shown := 0
	for event, err := range w.Events(ctx) {
		if err != nil {
			return err
		}
		a.showEvent(&event, f.values)
		if event.Change == client.Anew {
			continue
		}
		if shown++; shown == f.count {
			return nil
		}
		if time.Since(kept) >= watchKeepEvery {
			if err := keepPlace(f.resume, w); err != nil {
				return err
			}
			kept = time.Now()
		}
	}
	return nil
}

func (a *app) showEvent(e *client.Event, values bool) {
	if a.flags.json {
		fields := map[string]any{"version": jsonVersion, "event": e.Change.String(), "term": e.Version.Term, "seq": e.Version.Seq}
		if e.Change != client.Anew {
			fields["name"] = []byte(e.Key)
		}
		if e.Value != nil {
			fields["value"], fields["bytes"] = e.Value, len(e.Value)
		}
		if !e.Expires.IsZero() {
			fields["expires"] = e.Expires.UTC().Format(time.RFC3339Nano)
		}
		a.printJSON(fields)
		return
	}
	line := fmt.Sprintf("%-10s %-8s", e.Version, e.Change)
	switch {
	case e.Change == client.Anew:
		line += "what happened before is not known: read what you follow"
	case e.Value != nil && len(e.Value) > watchShownBytes:
		line += fmt.Sprintf("%s  %s… (%s)", quoted(e.Key), quoted(string(e.Value[:watchShownBytes])), size(uint64(len(e.Value))))
	case e.Value != nil:
		line += quoted(e.Key) + "  " + quoted(string(e.Value))
	case values && e.Change == client.Set:
		line += quoted(e.Key) + "  (written again since)"
	default:
		line += quoted(e.Key)
	}
	a.printf("%s\n", line)
}

// keepPlace writes a watch's Token to a file, in one step.
func keepPlace(file string, w *client.Watch) error {
	token := w.Token()
	if file == "" || token == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-*")
	if err != nil {
		return fmt.Errorf("keep the place: %w", err)
	}
	_, err = fmt.Fprintln(f, token)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // a leftover at worst
		return fmt.Errorf("keep the place: %w", err)
	}
	return nil
}
