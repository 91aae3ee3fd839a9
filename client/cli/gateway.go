package cli

import (
	"context"

	"github.com/spf13/cobra"

	"viewring/internal/port"
)

// GatewayOptions are the flags of viewring gateway, and of the gateway of a server.
type GatewayOptions struct {
	Front
	Bounds  Bounds
	Monitor MonitorOptions
}

func (a *app) gatewayCmd() *cobra.Command {
	var o GatewayOptions
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
	}
	boundsFlags(cmd, &o.Bounds)
	monitorFlags(cmd, &o.Monitor)
	return a.frontCmd(cmd, &o.Front, port.Local(port.Gateway), func(bool) error {
		if err := o.Monitor.check(); err != nil {
			return err
		}
		return o.Bounds.check()
	}, func(ctx context.Context) error {
		return a.starters.Gateway(ctx, o)
	})
}
