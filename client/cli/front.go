package cli

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/cli/children"
	"viewring/internal/secure"
)

// Front is what all commands say that let clients in at one address.
type Front struct {
	Listen string
	Secure secure.Config
	Client client.Options
	Logger *slog.Logger

	Metrics MetricsOptions // of a process of its own
}

// frontEnds is how all of them end.
const frontEnds = `

SIGTERM lets nobody new in and ends it once what clients have asked is answered,
within ten seconds. Ctrl-C, or another SIGTERM a second later, ends it at once.`

// frontCmd makes of a command one that runs a front until Ctrl-C, by default at listen. check looks at the flags
// that it has besides.
func (a *app) frontCmd(cmd *cobra.Command, o *Front, listen string, check func(insecure bool) error, start func(context.Context) error) *cobra.Command {
	var child, insecure bool
	cmd.Long += frontEnds
	cmd.Args = wants()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if child {
			ctx = children.WithParent(ctx)
		}
		err := check(insecure)
		if err == nil {
			err = o.Metrics.check(insecure)
		}
		if err != nil {
			return err
		}
		if o.Listen, err = listenAddr(o.Listen, insecure || a.isSafe()); err != nil {
			return err
		}
		o.Secure, o.Logger = a.secure, a.logger(slog.LevelInfo)
		o.Client = a.clientOptions(slog.LevelInfo)
		return start(ctx)
	}
	cmd.Flags().StringVar(&o.Listen, "listen", listen, "listen at `HOST:PORT`")
	metricsFlags(cmd, &o.Metrics)
	insecureFlag(cmd, &insecure)
	childFlag(cmd, &child)
	return cmd
}
