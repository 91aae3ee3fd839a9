package cli

import (
	"context"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"viewring/client/tree"
)

func (a *app) metaCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "meta",
		Short: "keep small values in a tree of paths",
		Long: `Keep small values in a tree of paths, such as /config/limits. Each node has a value
of up to 1 MiB, a version that counts how often it was set, and children. A node is
created below one that is there, and removed when it has no children.`,
		Example: "  viewring meta create -p /config/limits 100\n  viewring meta list /config",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("meta: unknown command %q; there are meta create, set, get, list, stat, remove and watch", args[0])
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			return usagef("meta: create, set, get, list, stat, remove or watch is missing")
		},
	}
	cmd.AddCommand(a.metaCreateCmd(), a.metaSetCmd(), a.metaGetCmd(), a.metaListCmd(), a.metaStatCmd(), a.metaRemoveCmd(), a.metaWatchCmd())
	return cmd
}

// onTree makes a command's run of what it does with the tree, within a bound.
func (a *app) onTree(bound func(context.Context) (context.Context, context.CancelFunc),
	do func(ctx context.Context, t *tree.Tree, args []string) error) func(*cobra.Command, []string) error {
	open := func(ctx context.Context) (*tree.Tree, error) {
		return opened(ctx, a.clientOptions(slog.LevelWarn), tree.Open)
	}
	return within(bound, open, do)
}

// upTo is wants with a last argument that may be missing.
func upTo(last string, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names)+1 {
			return nil
		}
		if len(args) > len(names) {
			return usagef("%s: unexpected argument %q after %s", cmd.CommandPath(), args[len(names)+1], last)
		}
		return wants(names...)(cmd, args)
	}
}

// ifVersion adds --if-version, and returns what makes a condition of it.
func ifVersion(cmd *cobra.Command) func() (tree.Condition, error) {
	version := cmd.Flags().Int64("if-version", 0, "only if the node was set so often")
	return func() (tree.Condition, error) {
		switch {
		case !cmd.Flag("if-version").Changed:
			return tree.Always(), nil
		case *version < 0:
			return tree.Condition{}, usagef("--if-version is 0 or more, not %d", *version)
		}
		return tree.IfVersion(*version), nil
	}
}

func (a *app) metaSetCmd() *cobra.Command {
	var when func() (tree.Condition, error)
	cmd := &cobra.Command{
		Use:   "set PATH VALUE",
		Short: "set a node's value",
		Long: `Set the value of a node that exists; VALUE - reads standard input. A missing node is
exit code 1. With --if-version it is done only if the node's version is that one;
otherwise nothing is done, exit code 4.`,
		Example: `  viewring meta set /config/limits 200
  viewring meta set --if-version 3 /config/limits 300
  viewring meta set /config/logo - < logo.png`,
		Args:        wants("PATH", "VALUE"),
		Annotations: map[string]string{valueAnnotation: "value"},
		RunE: func(cmd *cobra.Command, args []string) error {
			condition, err := when()
			if err != nil {
				return err
			}
			value, err := a.readValue(args[1])
			if err != nil {
				return err
			}
			return a.onTree(a.deadline, func(ctx context.Context, t *tree.Tree, args []string) error {
				version, err := t.Set(ctx, args[0], value, condition)
				if err == nil && a.flags.json {
					a.printJSON(map[string]any{"version": jsonVersion, "path": args[0], "bytes": len(value), "node_version": version})
				}
				return err
			})(cmd, args)
		},
	}
	when = ifVersion(cmd)
	return cmd
}

func (a *app) metaGetCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "get PATH",
		Short: "get a node's value",
		Long: `Print the value of a node: its bytes and nothing else, and a newline only on a
terminal. A missing node is exit code 1.`,
		Example: "  viewring meta get /config/limits",
		Args:    wants("PATH"),
		RunE: a.onTree(a.deadline, func(ctx context.Context, t *tree.Tree, args []string) error {
			n, err := t.Get(ctx, args[0])
			if err != nil {
				return err
			}
			if a.flags.json {
				fields := statFields(args[0], &n.Stat)
				fields["version"], fields["value"] = jsonVersion, n.Value
				a.printJSON(fields)
				return nil
			}
			return a.printValue(n.Value)
		}),
	}
}

// statFields are a node's figures in JSON, without those of its children.
func statFields(path string, s *tree.Stat) map[string]any {
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
	fields := map[string]any{"path": path, "bytes": s.Bytes, "node_version": s.Version, "created": s.Created.String(), "modified": s.Modified.String()}
	if !s.CreatedAt.IsZero() {
		fields["created_at"], fields["modified_at"] = stamp(s.CreatedAt), stamp(s.ModifiedAt)
	}
	if s.Owner != 0 {
		fields["session"] = s.Owner
	}
	return fields
}

func (a *app) metaStatCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "stat PATH",
		Short:   "tell of a node what is known beside its value",
		Example: "  viewring meta stat /config",
		Args:    wants("PATH"),
		RunE: a.onTree(a.deadline, func(ctx context.Context, t *tree.Tree, args []string) error {
			s, err := t.Stat(ctx, args[0])
			if err != nil {
				return err
			}
			if a.flags.json {
				fields := statFields(args[0], &s)
				fields["version"], fields["children"], fields["children_version"] = jsonVersion, s.Children, s.ChildrenVersion
				a.printJSON(fields)
				return nil
			}
			at := func(t time.Time) string {
				if t.IsZero() {
					return "always"
				}
				return t.Local().Format(time.DateTime)
			}
			a.printf("path              %s\nbytes             %d\nversion           %d\nchildren          %d\nchildren version  %d\n", args[0], s.Bytes, s.Version, s.Children, s.ChildrenVersion)
			a.printf("created           %s (%s)\nmodified          %s (%s)\n", at(s.CreatedAt), s.Created, at(s.ModifiedAt), s.Modified)
			return nil
		}),
	}
}
