package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
)

// valueReadMax is one byte more than the greatest value, so that a larger one shows.
const valueReadMax = 16<<20 + 1

func (a *app) setrCmd() *cobra.Command {
	var ttl time.Duration
	var showVersion bool
	var under func() (client.Fence, error)
	var when func() (client.Condition, error)
	cmd := &cobra.Command{
		Use:   "setr NAME VALUE",
		Short: "set a replicated key",
		Long: `Set a replicated key. When it returns, the value is on disk on every acting
replica. VALUE - reads standard input. Flags may stand anywhere; a VALUE that
looks like a flag goes behind --. With --ttl the key goes after that time;
without, it stays until it is deleted.

With --if-absent, --if-present or --if-version it is done only if that holds;
otherwise nothing is done, exit code 4.

With --fence LOCK:TOKEN it is refused, exit code 4, where a higher token of that
lock was seen: what held the lock once writes no more.`,
		Example: `  viewring setr greeting hello
  viewring setr temperature -5
  viewring setr session abc --ttl 30m
  viewring setr option -- --json
  viewring setr owner me --if-absent
  viewring setr price 11 --if-version 3.17
  viewring setr --fence "$VIEWRING_LOCK:$VIEWRING_TOKEN" state done
  viewring setr photo - < photo.jpg`,
		Args:        wants("NAME", "VALUE"),
		Annotations: map[string]string{valueAnnotation: "value"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if ttl < time.Millisecond && cmd.Flag("ttl").Changed {
				return usagef("--ttl is a millisecond or more")
			}
			fence, err := under()
			if err != nil {
				return err
			}
			condition, err := when()
			if err != nil {
				return err
			}
			value, err := a.readValue(args[1])
			if err != nil {
				return err
			}
			return a.onKeys(func(ctx context.Context, c *client.Client, _ []string) error {
				ctx = client.WithFence(ctx, fence)
				set := func() (client.Version, error) { return c.Set(ctx, args[0], value, condition) }
				if ttl != 0 {
					set = func() (client.Version, error) { return c.SetFor(ctx, args[0], value, ttl, condition) }
				}
				version, err := set()
				if err != nil {
					return err
				}
				if a.flags.json {
					a.printJSON(map[string]any{"version": jsonVersion, "name": []byte(args[0]), "bytes": len(value), "term": version.Term, "seq": version.Seq})
				} else if showVersion {
					a.printf("%v\n", version)
				}
				return nil
			})(cmd, nil)
		},
	}
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "the key goes after this long (default: never)")
	cmd.Flags().BoolVar(&showVersion, "show-version", false, "print the key's new version")
	when, under = keyCondition(cmd, true), fenceFlag(cmd)
	return cmd
}

// readValue returns the argument, or for "-" standard input.
func (a *app) readValue(arg string) ([]byte, error) {
	if arg != stdinPath {
		return []byte(arg), nil
	}
	value, err := io.ReadAll(io.LimitReader(a.env.Stdin, valueReadMax))
	if err != nil {
		return nil, usagef("read standard input: %v", err)
	}
	if len(value) == valueReadMax {
		return nil, fmt.Errorf("standard input: %w: at most %d bytes are allowed", client.ErrTooLarge, valueReadMax-1)
	}
	return value, nil
}
