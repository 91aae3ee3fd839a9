package cli

import (
	"cmp"
	"context"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/tree"
)

// progressEvery is how often a command that takes long says how far it is.
const progressEvery = time.Second

// teller says on standard error, about each second, how many nodes, or others, a command has come to.
type teller struct {
	a    *app
	of   string
	what string
	next time.Time
}

func (a *app) newTeller(what string) *teller { return a.newTellerOf("nodes", what) }

func (a *app) newTellerOf(of, what string) *teller {
	return &teller{a: a, of: of, what: what, next: time.Now().Add(progressEvery)}
}

func (t *teller) tell(nodes int) {
	if now := time.Now(); now.After(t.next) {
		t.next = now.Add(progressEvery)
		t.a.tell("%d %s %s so far\n", nodes, t.of, t.what)
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
			switch {
			case recursive:
				nodes = t.Walk(ctx, path)
			case !long && !a.flags.json:
				nodes = named(path, t.Names(ctx, path))
			}
			l := &listing[tree.Child]{a: a, head: jsonField("path", path), field: "nodes", teller: a.newTeller("listed"), order: func(x, y *tree.Child) int { return cmp.Compare(x.Path, y.Path) },
				fields: func(c *tree.Child) map[string]any { return statFields(c.Path, &c.Stat) }, one: func(c *tree.Child) { a.nodeLine(c, long, recursive) }}
			return l.print(nodes)
		}),
	}
	cmd.Flags().BoolVarP(&long, "long", "l", false, "versions, sizes and times too")
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "all nodes below PATH")
	return cmd
}

// named makes children of names.
func named(path string, names iter.Seq2[string, error]) iter.Seq2[tree.Child, error] {
	return func(yield func(tree.Child, error) bool) {
		for name, err := range names {
			if !yield(tree.Child{Path: strings.TrimSuffix(path, "/") + "/" + name, Name: name}, err) {
				return
			}
		}
	}
}

// nodeLine prints a node on a line.
func (a *app) nodeLine(c *tree.Child, long, whole bool) {
	name := c.Name
	if whole {
		name = c.Path
	}
	if long {
		a.printf("%8d  %9s  %s  ", c.Stat.Version, size(uint64(c.Stat.Bytes)), c.Stat.ModifiedAt.Local().Format(time.DateTime))
	}
	a.printf("%s\n", name)
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
