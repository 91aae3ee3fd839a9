package cli

import (
	"context"

	"github.com/spf13/cobra"

	"viewring/internal/port"
)

// ZooKeeperOptions are the flags of viewring zk, and of the ZooKeeper front of a server.
type ZooKeeperOptions struct {
	Front
	Bounds Bounds
}

func (a *app) zkCmd() *cobra.Command {
	var o ZooKeeperOptions
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
	}
	boundsFlags(cmd, &o.Bounds)
	return a.frontCmd(cmd, &o.Front, port.Local(port.ZooKeeper), func(bool) error { return o.Bounds.check() }, func(ctx context.Context) error {
		return a.starters.ZooKeeper(ctx, o)
	})
}
