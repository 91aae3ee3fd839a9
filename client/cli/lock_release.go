package cli

import (
	"context"

	"github.com/spf13/cobra"

	"viewring/client"
)

func (a *app) lockReleaseCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "lock_release LOCK CLIENT",
		Short:   "release a named lock",
		Long:    "Release the lock LOCK that CLIENT holds. One that it does not hold is exit code 4.",
		Example: "  viewring lock_release backups alice",
		Args:    wants("LOCK", "CLIENT"),
		RunE: a.onKeys(func(ctx context.Context, c *client.Client, args []string) error {
			if err := c.LockRelease(ctx, args[0], args[1]); err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "lock": []byte(args[0]), "client": []byte(args[1])})
			}
			return nil
		}),
	}
}
