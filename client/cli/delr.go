package cli

import (
	"context"
	"github.com/spf13/cobra"

	"viewring/client"
)

func (a *app) delrCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "delr NAME",
		Short:   "delete a replicated key",
		Long:    "Delete a replicated key. An absent one is exit code 1.",
		Example: "  viewring delr greeting",
		Args:    wants("NAME"),
		RunE: a.onCluster(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.Delete(ctx, args[0], client.Always()); err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "name": []byte(args[0])})
			}
			return nil
		}),
	}
}
