package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/tree"
)

// nodeEnv is where a command finds the path of the node that is there while it runs.
const nodeEnv = envPrefix + "NODE"

// nodeGrace is what a command has from SIGTERM to SIGKILL when its node is lost, or less: it is
// gone before another may create the node.
const nodeGrace = 500 * time.Millisecond

// parentless adds what creates the parent that is missing.
func parentless(err error) error {
	if errors.Is(err, tree.ErrNoParent) {
		return fmt.Errorf("%w; -p creates missing parents", err)
	}
	return err
}

// metaCreateFlags are what meta create was told.
type metaCreateFlags struct {
	parents, sequence, ephemeral bool
	sessionTTL                   time.Duration
}

func (f *metaCreateFlags) options() (options []tree.CreateOption) {
	if f.parents {
		options = append(options, tree.Parents)
	}
	if f.sequence {
		options = append(options, tree.Sequential)
	}
	return options
}

func (a *app) metaCreateCmd() *cobra.Command {
	var f metaCreateFlags
	cmd := &cobra.Command{
		Use:   "create PATH [VALUE] [--ephemeral -- COMMAND…]",
		Short: "create a node",
		Long: `Create a node, with an empty value unless VALUE is given; VALUE - reads standard input.
One that exists is exit code 4, a missing parent exit code 1. With -p missing parents
are created too, and a node that exists is left as it is.

With --sequence a number of ten digits is put behind PATH, one that no node of this
parent has had before, and the path is printed.

With --ephemeral the node is there while COMMAND runs, in a session that ends
with it, and the exit code is the command's (128 and more: a signal). It finds
the path in $VIEWRING_NODE. One that exists is exit code 4, also with -p. If no
view leader hears of it for --session-ttl, the node is removed and the command
is ended with all that it started: SIGTERM, and SIGKILL at most half a second later;
that is exit code 4.`,
		Example: `  viewring meta create /config
  viewring meta create -p /config/limits 100
  viewring meta create --sequence /jobs/job- 'print me'
  viewring meta create --ephemeral -p /workers/w1 -- ./work.sh`,
		Args: func(cmd *cobra.Command, args []string) error {
			if !f.ephemeral {
				if a.typed(cmd, "session-ttl") {
					return usagef("%s: --session-ttl is for --ephemeral", cmd.CommandPath())
				}
				return upTo("VALUE", "PATH")(cmd, args)
			}
			words, command := cutCommand(args)
			if len(command) == 0 {
				return usagef("%s: --ephemeral wants -- and a command, which the node is there for", cmd.CommandPath())
			}
			return upTo("VALUE", "PATH")(cmd, words)
		},
		Annotations: map[string]string{valueAnnotation: "value", commandAnnotation: "ephemeral"},
		RunE: func(cmd *cobra.Command, args []string) error {
			words, command := args, []string(nil)
			if f.ephemeral {
				words, command = cutCommand(args)
			}
			if f.ephemeral {
				keep := func(ctx context.Context) error { return a.metaCreateEphemeral(ctx, words, command, &f) }
				return a.guarded(cmd.Context(), keep)
			}
			value, err := a.optionalValue(words)
			if err != nil {
				return err
			}
			return a.onTree(a.deadline, func(ctx context.Context, t *tree.Tree, args []string) error {
				path, err := t.Create(ctx, args[0], value, f.options()...)
				switch {
				case err != nil:
					return parentless(err)
				case a.flags.json:
					a.printJSON(map[string]any{"version": jsonVersion, "path": path, "bytes": len(value)})
				case f.sequence:
					a.printf("%s\n", path)
				}
				return nil
			})(cmd, args)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&f.parents, "parents", "p", false, "create missing parents")
	flags.BoolVar(&f.sequence, "sequence", false, "put the next number behind PATH")
	flags.BoolVar(&f.ephemeral, "ephemeral", false, "remove the node when COMMAND has ended")
	flags.DurationVar(&f.sessionTTL, "session-ttl", 10*time.Second, "with --ephemeral: the node is lost after this long without news of this process")
	return cmd
}

// optionalValue is the VALUE of PATH [VALUE].
func (a *app) optionalValue(words []string) ([]byte, error) {
	if len(words) < 2 {
		return nil, nil
	}
	return a.readValue(words[1])
}

// metaCreateEphemeral creates a node that is there while a command runs.
func (a *app) metaCreateEphemeral(ctx context.Context, words, args []string, f *metaCreateFlags) error {
	if f.sessionTTL < time.Second {
		return usagef("--session-ttl is a second or more")
	}
	value, err := a.optionalValue(words)
	if err != nil {
		return err
	}
	cmd, err := a.program(args)
	if err != nil {
		return err
	}
	starting, cancel := a.deadline(ctx)
	defer cancel()
	c, err := a.open(starting)
	if err != nil {
		return err
	}
	defer c.Close()
	t, err := opened(starting, a.clientOptions(slog.LevelWarn), tree.Open)
	if err != nil {
		return err
	}
	defer t.Close()
	s, err := c.OpenSession(starting, client.SessionOptions{TTL: f.sessionTTL, LockDelay: -1})
	if err != nil {
		return err
	}
	defer a.closeSession(ctx, s, fmt.Sprintf("%s is gone soon after %v", words[0], f.sessionTTL))
	path, err := t.CreateEphemeral(starting, s, words[0], value, f.options()...)
	if err != nil {
		return err
	}
	cancel()
	cmd.Env = append(a.childEnviron(), nodeEnv+"="+path)
	return a.runInSession(&sessionRun{cmd: cmd, session: s, grace: min(nodeGrace, f.sessionTTL/20), what: path})
}
