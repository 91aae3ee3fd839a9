package cli

import (
	"log/slog"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/cli/children"
	"viewring/internal/port"
	"viewring/internal/secure"
)

// GatewayOptions are the flags of viewring gateway, and of the gateway of a server.
type GatewayOptions struct {
	Listen string
	Secure secure.Config
	Bounds Bounds
	Client client.Options
	Logger *slog.Logger
}

func (a *app) gatewayCmd() *cobra.Command {
	var o GatewayOptions
	var child, insecure bool
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "let plain Redis clients in at one address",
		Long: `Run a gateway until Ctrl-C: to Redis clients it is one Redis that has all keys,
and it sends each command on to the server that serves its key. Clients that know
Redis Cluster need none: they ask the servers themselves.

Commands of one connection are pipelined, answered in order, and take effect in
order where they are about the same slot. MGET, MSET, DEL, UNLINK, EXISTS and TOUCH
may name any keys; over several slots they are not atomic. MULTI and WATCH take keys
of one slot, like {user1}a and {user1}b. When a server fails, the gateway repeats what
can be repeated; the rest is answered UNKNOWNOUTCOME: it may or may not be done.

It keeps nothing: run as many as you like. 'viewring server --gateway HOST:PORT' runs
one inside a server.`,
		Example: "  viewring gateway\n  redis-cli -p 28400 SET greeting hello\n  viewring gateway --listen 127.0.0.1:6379 --viewleader localhost:28500",
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
			return a.starters.Gateway(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", port.Local(port.Gateway), "listen at `HOST:PORT`")
	boundsFlags(cmd, &o.Bounds)
	insecureFlag(cmd, &insecure)
	childFlag(cmd, &child)
	return cmd
}
