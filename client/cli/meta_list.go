package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/tree"
)

// metaSorted is how many nodes a list has at most that is printed in order of names.
const metaSorted = 1000

// progressEvery is how often a command that takes long says how far it is.
const progressEvery = time.Second

// teller says on standard error, about each second, how many nodes a command has come to.
type teller struct {
	a    *app
	what string
	next time.Time
}

func (a *app) newTeller(what string) *teller {
	return &teller{a: a, what: what, next: time.Now().Add(progressEvery)}
}

func (t *teller) tell(nodes int) {
	if now := time.Now(); now.After(t.next) {
		t.next = now.Add(progressEvery)
		fmt.Fprintf(t.a.env.Stderr, "%d nodes %s so far\n", nodes, t.what)
	}
}

func (a *app) metaListCmd() *cobra.Command {
	var long, recursive bool
	cmd := &cobra.Command{
		Use:   "list [-l] [-r] [PATH]",
		Short: "list the children of a node",
		Long: `List the children of a node, of / unless PATH is given: their names, or with -r the
paths of all nodes below it, each before its own children. With -l each line begins
with the node's version, its size in bytes and when it was last set.

Up to 1,000 come in order of names; more come as they are found. A list that takes over a
second says on standard error how far it is, and --timeout bounds it only if it is given.`,
		Example: "  viewring meta list /config\n  viewring meta list -l -r /",
		Args:    upTo("PATH"),
		RunE: a.onTree(a.longDeadline, func(ctx context.Context, t *tree.Tree, args []string) error {
			path := tree.Root
			if len(args) > 0 {
				path = args[0]
			}
			nodes := t.List(ctx, path)
			if recursive {
				nodes = t.Walk(ctx, path)
			}
			l := &metaList{a: a, long: long, recursive: recursive, teller: a.newTeller("listed")}
			return l.print(path, nodes)
		}),
	}
	cmd.Flags().BoolVarP(&long, "long", "l", false, "versions, sizes and times too")
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "all nodes below PATH")
	return cmd
}

// metaList prints nodes as they come: with --json as one object.
type metaList struct {
	a               *app
	long, recursive bool
	teller          *teller
	count           int
}

// print prints a list. The first nodes are kept until it is known whether there are more than
// are sorted.
func (l *metaList) print(path string, nodes iter.Seq2[tree.Child, error]) error {
	first, sorted := make([]tree.Child, 0, metaSorted), true
	flush := func() {
		slices.SortFunc(first, func(a, b tree.Child) int { return cmp.Compare(a.Path, b.Path) })
		for _, c := range first {
			l.one(&c)
		}
		first, sorted = nil, false
	}
	began := false
	for c, err := range nodes {
		if err != nil {
			if began && l.a.flags.json { // what was printed is no object without its end
				return silentJSON(l.a, err)
			}
			return err
		}
		if sorted && len(first) < metaSorted {
			first = append(first, c)
			continue
		}
		if sorted {
			began = true
			l.begin(path)
			flush()
		}
		l.one(&c)
	}
	if !began {
		l.begin(path)
		flush()
	}
	if l.a.flags.json {
		l.a.printf("]}\n")
	}
	return nil
}

// silentJSON ends an object that was begun with the error that ended it.
func silentJSON(a *app, err error) error {
	code := a.exitCode(context.Background(), err)
	text, _ := json.Marshal(err.Error()) // a string
	a.printf("],\"error\":%s,\"exit\":%d}\n", text, code)
	fmt.Fprintf(a.env.Stderr, "%s %s\n", a.paint(a.env.Stderr, red, "viewring:"), err)
	return silentExit{code}
}

func (l *metaList) begin(path string) {
	if l.a.flags.json {
		text, _ := json.Marshal(path) // a string
		l.a.printf("{\"version\":%d,\"path\":%s,\"nodes\":[", jsonVersion, text)
	}
}

func (l *metaList) one(c *tree.Child) {
	name := c.Name
	if l.recursive {
		name = c.Path
	}
	switch {
	case l.a.flags.json:
		if l.count > 0 {
			l.a.printf(",")
		}
		text, _ := json.Marshal(statFields(c.Path, &c.Stat)) // strings and numbers
		l.a.printf("%s", text)
	case l.long:
		l.a.printf("%8d  %9s  %s  %s\n", c.Stat.Version, size(uint64(c.Stat.Bytes)), c.Stat.ModifiedAt.Local().Format(time.DateTime), name)
	default:
		l.a.printf("%s\n", name)
	}
	l.count++
	l.teller.tell(l.count)
}

func (a *app) metaRemoveCmd() *cobra.Command {
	var recursive bool
	var when func() (tree.Condition, error)
	cmd := &cobra.Command{
		Use:   "remove PATH",
		Short: "remove a node",
		Long: `Remove a node. One with children is exit code 4, a missing one exit code 1. With
--if-version it is done only if the node's version is that one.

With -r the nodes below it go first, from the bottom up. That is not one removal: if it
is interrupted, some nodes are gone, and those that are left have their parents. It says
on standard error how far it is, and --timeout bounds it only if it is given.`,
		Example: "  viewring meta remove /config/limits\n  viewring meta remove -r /config",
		Args:    wants("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			condition, err := when()
			if err != nil {
				return err
			}
			if recursive && condition != tree.Always() {
				return usagef("--if-version is about one node, not with -r")
			}
			bound := a.deadline
			if recursive {
				bound = a.longDeadline
			}
			return a.onTree(bound, func(ctx context.Context, t *tree.Tree, args []string) error {
				removed := 1
				if recursive {
					removed = 0
					teller := a.newTeller("removed")
					err = t.RemoveAll(ctx, args[0], func(nodes int) {
						removed = nodes
						teller.tell(nodes)
					})
				} else {
					err = t.Remove(ctx, args[0], condition)
				}
				if err == nil && a.flags.json {
					a.printJSON(map[string]any{"version": jsonVersion, "path": args[0], "removed": removed})
				}
				return err
			})(cmd, args)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "with all nodes below it")
	when = ifVersion(cmd)
	return cmd
}
