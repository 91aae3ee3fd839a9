package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
)

func (a *app) lockGetCmd() *cobra.Command {
	var wait, ttl time.Duration
	cmd := &cobra.Command{
		Use:   "lock_get LOCK CLIENT",
		Short: "take a named lock, waiting in line for it",
		Long: `Take the lock LOCK for CLIENT, a name of your choice, and print its fencing
token. Who asks first gets it first; asking again for a lock that CLIENT holds
is fine. It is held until lock_release, or until --ttl is over.

--wait bounds the waiting; --wait 0 tries once. A lock that others hold is exit
code 4; so is the end of --wait. The end of --timeout is exit code 3.`,
		Example: "  viewring lock_get backups alice\n  viewring lock_get backups bob --wait 0",
		Args:    wants("LOCK", "CLIENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait < 0 && cmd.Flag("wait").Changed || ttl < 0 {
				return usagef("--wait and --ttl cannot be negative")
			}
			return a.lockGet(cmd.Context(), args[0], args[1], wait, ttl)
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", -1, "wait this long in line (default: as long as --timeout allows)")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "release the lock after this long (default: never)")
	return cmd
}

func (a *app) lockGet(ctx context.Context, lock, holder string, wait, ttl time.Duration) error {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	c, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	grant, err := c.LockGet(ctx, lock, holder, client.LockOptions{Wait: wait, TTL: ttl})
	if errors.Is(err, client.ErrUnreachable) && ctx.Err() != nil {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return codeError{exitUnknown, fmt.Errorf("lock %q: interrupted while waiting for it", lock)}
		}
		return codeError{exitUnknown, fmt.Errorf("lock %q: not granted within %v", lock, a.flags.timeout)}
	}
	if err != nil {
		return err
	}
	a.say(map[string]any{"lock": []byte(lock), "client": []byte(holder), "token": grant.Token}, "%d", grant.Token)
	return nil
}
