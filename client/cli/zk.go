package cli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/cli/children"
	"viewring/internal/port"
	"viewring/internal/secure"
)

// ZooKeeperOptions are the flags of viewring zk, and of the ZooKeeper front of a server.
type ZooKeeperOptions struct {
	Listen string
	Secure secure.Config
	Bounds Bounds
	Client client.Options
	Logger *slog.Logger
}

func (a *app) zkCmd() *cobra.Command {
	var o ZooKeeperOptions
	var child, insecure bool
	cmd := &cobra.Command{
		Use:   "zk",
		Short: "let ZooKeeper's clients in at one address",
		Long: `Run a ZooKeeper front until Ctrl-C: clients of ZooKeeper 3.4 and later find the
nodes of 'viewring meta' there, with sessions, ephemeral and sequential nodes, and
watches. What differs from ZooKeeper is in server/zk/README.md, with the error that
a client gets: a multi is of one parent, and there are no access lists or quotas.

A session is known to all fronts of a cluster: give clients the addresses of several.
A front keeps nothing: run as many as you like. 'viewring server --zk HOST:PORT' runs
one inside a server.`,
		Example: "  viewring zk\n  zkCli.sh -server localhost:28410 ls /\n  viewring zk --listen 127.0.0.1:2181 --viewleader localhost:28500",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if child {
				ctx = children.WithParent(ctx)
			}
			err := o.Bounds.check()
			if err != nil {
				return err
			}
			if o.Listen, err = listenAddr(o.Listen, insecure || a.isSafe()); err != nil {
				return err
			}
			o.Secure, o.Logger = a.secure, a.logger(slog.LevelInfo)
			o.Client = a.clientOptions(slog.LevelInfo)
			return a.starters.ZooKeeper(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", port.Local(port.ZooKeeper), "listen at `HOST:PORT`")
	boundsFlags(cmd, &o.Bounds)
	insecureFlag(cmd, &insecure)
	childFlag(cmd, &child)
	return cmd
}
