package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
)

// keysFlags are those of keys.
type keysFlags struct {
	sort, count, values, null bool
}

func (a *app) keysCmd() *cobra.Command {
	var f keysFlags
	cmd := &cobra.Command{
		Use:   "keys [PREFIX]",
		Short: "list the replicated keys of the whole cluster",
		Long: `List the replicated keys of the whole cluster, or those that begin with PREFIX,
one on a line. Odd names are quoted; -0 prints all as they are, each with a NUL
behind it.

A key that is there from the beginning to the end is listed exactly once,
whatever happens to servers meanwhile; one that comes or goes meanwhile once or
not at all. A key that can't be read on any server is told on standard error,
exit code 5, and the rest is listed.

Up to 1,000 come in order; more come as they are found. --sort orders them all,
and keeps them in memory for that. On a terminal a list that takes over a second
shows how far it is. --timeout bounds it only if it is given.`,
		Example: `  viewring keys
  viewring keys user: --sort
  viewring keys user: --count
  viewring keys --values config:
  viewring keys -0 tmp: | xargs -0 -n 1 viewring delr`,
		Args: upTo("PREFIX"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.count && (f.sort || f.values || f.null) {
				return usagef("--count prints a number alone: it goes with none of --sort, --values and -0")
			}
			if f.null && a.flags.json {
				return usagef("-0 and --json exclude each other")
			}
			return within(a.longDeadline, a.open, func(ctx context.Context, c *client.Client, args []string) error {
				prefix := ""
				if len(args) > 0 {
					prefix = args[0]
				}
				k := &keyLister{a: a, f: f, prefix: prefix, next: time.Now().Add(progressEvery)}
				err := k.list(ctx, c)
				k.clear()
				if err != nil {
					return a.interrupted(ctx, err)
				}
				return nil
			})(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&f.sort, "sort", false, "all in order of names, which takes memory for all")
	cmd.Flags().BoolVar(&f.count, "count", false, "print how many there are")
	cmd.Flags().BoolVar(&f.values, "values", false, "with their values")
	cmd.Flags().BoolVarP(&f.null, "null", "0", false, "names as they are, and values, each with a NUL behind it")
	return cmd
}

// keyLister lists keys.
type keyLister struct {
	a      *app
	f      keysFlags
	prefix string
	found  int
	next   time.Time // when to say how far it is
	shown  bool      // how far it is stands on the terminal
}

func (k *keyLister) list(ctx context.Context, c *client.Client) error {
	opts := client.ScanOptions{Prefix: k.prefix, Values: k.f.values}
	if k.a.colored(k.a.env.Stderr) {
		opts.Told = k.told
	}
	keys := k.keys(c.Scan(ctx, opts))
	if k.f.count {
		for _, err := range keys {
			if err != nil {
				return err
			}
		}
		k.a.say(map[string]any{"prefix": []byte(k.prefix), "count": k.found}, "%d", k.found)
		return nil
	}
	l := &listing[client.Entry]{a: k.a, head: jsonField("prefix", []byte(k.prefix)), field: "keys", whole: k.f.sort,
		one: k.one, fields: k.fields, order: func(x, y *client.Entry) int { return cmp.Compare(x.Key, y.Key) }}
	return l.print(keys)
}

// told says how far the scan is, about each second.
func (k *keyLister) told(partitions, of int) {
	if now := time.Now(); now.After(k.next) {
		k.next, k.shown = now.Add(progressEvery), true
		k.a.tell("\r\x1b[K%d of %d partitions, %s so far", partitions, of, count(k.found, "key"))
	}
}

// clear makes room for a line.
func (k *keyLister) clear() {
	if k.shown {
		k.a.clearProgress()
		k.shown = false
	}
}

// keys counts the keys of a scan, and tells of those that can't be read. If there are any they are an error at last.
func (k *keyLister) keys(scan iter.Seq2[client.Entry, error]) iter.Seq2[client.Entry, error] {
	return func(yield func(client.Entry, error) bool) {
		lost := 0
		for e, err := range scan {
			if errors.Is(err, client.ErrCorrupt) && e.Key != "" {
				k.clear()
				k.a.tell("%v\n", err)
				lost++
				continue
			}
			if err == nil {
				k.found++
			}
			if !yield(e, err) {
				return
			}
		}
		if lost > 0 {
			yield(client.Entry{}, fmt.Errorf("%s not listed: %w on all servers", count(lost, "key"), client.ErrCorrupt))
		}
	}
}

// one prints a key.
func (k *keyLister) one(e *client.Entry) {
	k.clear()
	switch {
	case k.f.null && k.f.values:
		k.a.printf("%s\x00%s\x00", e.Key, e.Value.Bytes)
	case k.f.null:
		k.a.printf("%s\x00", e.Key)
	case k.f.values:
		k.a.printf("%s  %s\n", quoted(e.Key), quoted(string(e.Value.Bytes)))
	default:
		k.a.printf("%s\n", quoted(e.Key))
	}
}

// fields are a key's with --json.
func (k *keyLister) fields(e *client.Entry) map[string]any {
	fields := map[string]any{"name": []byte(e.Key)}
	if !e.Value.Expires.IsZero() {
		fields["expires"] = e.Value.Expires.UTC().Format(time.RFC3339Nano)
	}
	if k.f.values {
		fields["value"], fields["bytes"] = e.Value.Bytes, len(e.Value.Bytes)
		if e.Value.Bytes == nil {
			fields["value"] = []byte{} // not null
		}
		fields["term"], fields["seq"] = e.Value.Version.Term, e.Value.Version.Seq
	}
	return fields
}
