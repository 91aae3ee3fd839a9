package cli

import (
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
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.deadline(cmd.Context())
			defer cancel()
			c, err := a.open(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.Delete(ctx, args[0], client.Always()); err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "name": []byte(args[0])})
			}
			return nil
		},
	}
}
