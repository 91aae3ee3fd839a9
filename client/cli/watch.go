package cli

import (
	"cmp"
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
	"viewring/internal/disk"
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
	what   string // is watched, as the file of --resume says
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
	f.add(cmd)
	return cmd
}

// add adds the flags that all commands have which watch.
func (f *watchFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.resume, "resume", "", "begin at the place kept in `FILE`, if there is one, and keep it there")
	cmd.Flags().BoolVar(&f.values, "values", false, "show what was set")
	cmd.Flags().IntVar(&f.count, "count", 0, "end after `N` changes")
}

func (a *app) watch(ctx context.Context, key string, o client.WatchOptions, f *watchFlags) error {
	what := "key " + quoted(key)
	if o.Prefix {
		what = fmt.Sprintf("prefix %q", key)
	}
	place, err := f.place(what, o.From)
	if err != nil {
		return err
	}
	o.From = place
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
	return showEvents(ctx, f, w, func(e client.Event) (counts bool) {
		a.showEvent(&e, f.values)
		return e.Change != client.Anew
	})
}

// place is where to begin: what the file has, if one is named and there is one. what says what is
// watched: the place of something else is refused.
func (f *watchFlags) place(what string, from client.Token) (client.Token, error) {
	f.what = what
	if f.resume == "" {
		return from, nil
	}
	kept, err := os.ReadFile(f.resume)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the place: %w", err)
	}
	token, of, ok := strings.Cut(strings.TrimSpace(string(kept)), "\n")
	switch {
	case !ok || token == "":
		return "", fmt.Errorf("%s has no place of a watch: remove it to begin from now on", f.resume)
	case of != what:
		return "", fmt.Errorf("%s is the place of another watch: %s, not %s", f.resume, of, what)
	}
	return client.Token(token), nil
}

// watcher is a client.Watch or a tree.Watch.
type watcher[E any] interface {
	Next(ctx context.Context) (E, error)
	Token() client.Token
}

// showEvents shows events until there were enough that count, or ctx ends, and keeps the place, also
// while nothing comes.
func showEvents[E any](ctx context.Context, f *watchFlags, w watcher[E], show func(E) (counts bool)) error {
	keep := &placeKeeper{flags: f}
	if err := keep.keep(w.Token()); err != nil { // nothing is lost however this ends
		return err
	}
	for shown := 0; ctx.Err() == nil; {
		waiting, cancel := context.WithTimeout(ctx, watchKeepEvery)
		event, err := w.Next(waiting)
		cancel()
		switch {
		case err == nil && show(event):
			shown++
		case err == nil, waiting.Err() != nil:
		default:
			return err
		}
		if shown == f.count && f.count > 0 {
			break
		}
		if time.Since(keep.at) >= watchKeepEvery {
			if err := keep.keep(w.Token()); err != nil {
				return err
			}
		}
	}
	return keep.keep(w.Token())
}

// placeKeeper keeps the place in the file, where one is named.
type placeKeeper struct {
	flags *watchFlags
	last  client.Token
	at    time.Time
}

func (k *placeKeeper) keep(token client.Token) error {
	k.at = time.Now()
	if k.flags.resume == "" || token == k.last {
		return nil
	}
	k.last = token
	dir, name := filepath.Split(k.flags.resume)
	err := disk.WriteFile(disk.Dir(cmp.Or(dir, ".")), name, fmt.Appendf(nil, "%s\n%s\n", token, k.flags.what))
	if err != nil {
		return fmt.Errorf("keep the place: %w", err)
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
	a.showChange(e.Version, e.Change.String(), e.Key, e.Value, values && e.Change == client.Set)
}

// showChange prints a line for people: what became of something, and its value, where that is
// wanted and known.
func (a *app) showChange(v client.Version, change, name string, value []byte, wanted bool) {
	line := fmt.Sprintf("%-10s %-8s", v, change)
	switch {
	case change == client.Anew.String():
		line += "what happened before is not known: read what you follow"
	case !wanted:
		line += quoted(name)
	case value == nil:
		line += quoted(name) + "  (not kept)"
	case len(value) > watchShownBytes:
		line += fmt.Sprintf("%s  %s… (%s)", quoted(name), quoted(string(value[:watchShownBytes])), size(uint64(len(value))))
	default:
		line += quoted(name) + "  " + quoted(string(value))
	}
	a.printf("%s\n", line)
}
