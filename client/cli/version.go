package cli

import (
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version",
		Example: "  viewring version",
		Args:    wants(),
		RunE: func(*cobra.Command, []string) error {
			a.say(map[string]any{"viewring": a.env.Version, "go": runtime.Version()}, "viewring %s %s", a.env.Version, runtime.Version())
			return nil
		},
	}
}
