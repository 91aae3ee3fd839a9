package cli

import (
	"context"

	"github.com/spf13/cobra"

	"viewring/client"
)

func (a *app) delrCmd() *cobra.Command {
	var under func() (client.Fence, error)
	var when func() (client.Condition, error)
	cmd := &cobra.Command{
		Use:   "delr NAME",
		Short: "delete a replicated key",
		Long: `Delete a replicated key. An absent one is exit code 1. With
--if-version it is done only if the key is at that version; otherwise nothing is
done, exit code 4.

With --fence LOCK:TOKEN it is refused, exit code 4, where a higher token of that
lock was seen, as with setr.`,
		Example: `  viewring delr greeting
  viewring delr --fence "$VIEWRING_LOCK:$VIEWRING_TOKEN" state`,
		Args: wants("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			fence, err := under()
			if err != nil {
				return err
			}
			condition, err := when()
			if err != nil {
				return err
			}
			return a.onKeys(func(ctx context.Context, c *client.Client, args []string) error {
				if err := c.Delete(client.WithFence(ctx, fence), args[0], condition); err != nil {
					return err
				}
				if a.flags.json {
					a.printJSON(map[string]any{"version": jsonVersion, "name": []byte(args[0])})
				}
				return nil
			})(cmd, args)
		},
	}
	when, under = keyCondition(cmd, false), fenceFlag(cmd)
	return cmd
}
