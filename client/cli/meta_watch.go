package cli

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"viewring/client/tree"
)

func (a *app) metaWatchCmd() *cobra.Command {
	var f watchFlags
	var children, below bool
	cmd := &cobra.Command{
		Use:   "watch PATH",
		Short: "show changes of nodes as they happen",
		Long: `Print a line for each change of a node, which need not be there yet, until Ctrl-C:
its version, what happened (created, set, or removed), and the path. With --children
it is the nodes directly below that are watched, with -r all below. What is promised,
'anew' and --resume are as of 'viewring watch'.`,
		Example: "  viewring meta watch /config/limits --values\n  viewring meta watch -r /config --json",
		Args:    wants("PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			scope := tree.ThisNode
			switch {
			case children && below:
				return usagef("--children and -r can't go together")
			case f.count < 0:
				return usagef("--count must be 0 or more, not %d", f.count)
			case children:
				scope = tree.Children
			case below:
				scope = tree.AllBelow
			}
			return a.metaWatch(cmd.Context(), args[0], scope, &f)
		},
	}
	cmd.Flags().BoolVar(&children, "children", false, "watch the nodes directly below PATH")
	cmd.Flags().BoolVarP(&below, "recursive", "r", false, "watch all nodes below PATH")
	f.add(cmd)
	return cmd
}

func (a *app) metaWatch(ctx context.Context, path string, scope tree.Scope, f *watchFlags) error {
	what := [...]string{tree.ThisNode: "node ", tree.Children: "children of ", tree.AllBelow: "all below "}[scope]
	from, err := f.place(what+quoted(path), "")
	if err != nil {
		return err
	}
	beginning, cancel := a.deadline(ctx)
	defer cancel()
	t, err := opened(beginning, a.clientOptions(slog.LevelWarn), tree.Open)
	if err != nil {
		return err
	}
	defer t.Close()
	w, err := t.Watch(beginning, path, scope, from)
	if err != nil {
		return err
	}
	defer w.Close()
	return showEvents(ctx, f, w, func(e tree.Event) (counts bool) {
		a.showNodeEvent(&e, f.values)
		return e.Kind != tree.Anew
	})
}

func (a *app) showNodeEvent(e *tree.Event, values bool) {
	if !a.flags.json {
		var value []byte
		if e.Node != nil {
			value = append([]byte{}, e.Node.Value...)
		}
		a.showChange(e.Version, e.Kind.String(), e.Path, value, values && (e.Kind == tree.Set || e.Kind == tree.Created))
		return
	}
	fields := map[string]any{"version": jsonVersion, "event": e.Kind.String(), "at": e.Version.String()}
	if e.Kind != tree.Anew {
		fields["path"] = e.Path
	}
	if e.Node != nil {
		fields["node_version"], fields["bytes"] = e.Node.Stat.Version, e.Node.Stat.Bytes
		if values {
			fields["value"] = append([]byte{}, e.Node.Value...)
		}
	}
	a.printJSON(fields)
}
