package cli

import "github.com/spf13/cobra"

func (a *app) lockReleaseCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "lock_release LOCK CLIENT",
		Short:   "release a named lock",
		Long:    "Release the lock LOCK that CLIENT holds. One that it does not hold is exit code 4.",
		Example: "  viewring lock_release backups alice",
		Args:    wants("LOCK", "CLIENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.deadline(cmd.Context())
			defer cancel()
			c, err := a.open(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			if err := c.LockRelease(ctx, args[0], args[1]); err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "lock": []byte(args[0]), "client": []byte(args[1])})
			}
			return nil
		},
	}
}
