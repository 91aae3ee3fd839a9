package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
)

// changeCmd finishes a command that changes a key: it adds --fence, and runs do under it. parse looks at the arguments
// first; it may be nil.
func (a *app) changeCmd(cmd *cobra.Command, parse func(args []string) error, do func(ctx context.Context, c *client.Client, args []string) error) *cobra.Command {
	under := fenceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		fence, err := under()
		if err == nil && parse != nil {
			err = parse(args)
		}
		if err != nil {
			return err
		}
		return a.onKeys(func(ctx context.Context, c *client.Client, args []string) error {
			return do(client.WithFence(ctx, fence), c, args)
		})(cmd, args)
	}
	return cmd
}

// keyCondition adds flags for what must hold of a key, and returns what makes a condition of them.
func keyCondition(cmd *cobra.Command, absent bool) func() (client.Condition, error) {
	var ifAbsent, ifPresent bool
	version := cmd.Flags().String("if-version", "", "only if the key is at this `VERSION`, as getr --show-version tells it")
	if absent {
		cmd.Flags().BoolVar(&ifAbsent, "if-absent", false, "only if the key is absent")
		cmd.Flags().BoolVar(&ifPresent, "if-present", false, "only if the key is present")
	}
	return func() (client.Condition, error) {
		given := cmd.Flag("if-version").Changed
		switch {
		case ifAbsent && ifPresent, given && (ifAbsent || ifPresent):
			return client.Condition{}, usagef("--if-absent, --if-present and --if-version exclude each other")
		case ifAbsent:
			return client.IfAbsent(), nil
		case ifPresent:
			return client.IfPresent(), nil
		case !given:
			return client.Always(), nil
		}
		v, err := client.ParseVersion(*version)
		if err != nil {
			return client.Condition{}, usagef("--if-version: %q is %v", *version, err)
		}
		return client.IfVersion(v), nil
	}
}

func (a *app) incrCmd() *cobra.Command {
	by := int64(1)
	cmd := &cobra.Command{
		Use:   "incr NAME [BY]",
		Short: "add to the integer that a key holds",
		Long: `Add BY, 1 unless it is given, to the integer of 64 bits that a key holds in
decimal, and print the sum. An absent key counts as 0. A value that is no such
integer, and a sum that would be none, are exit code 4.

If the outcome is unknown, exit code 3, it may be added yet: running it again
could add twice.`,
		Example:     "  viewring incr visits\n  viewring incr stock -5",
		Args:        upTo("BY", "NAME"),
		Annotations: map[string]string{valueAnnotation: "value"},
	}
	return a.changeCmd(cmd, func(args []string) (err error) {
		if len(args) < 2 {
			return nil
		}
		if by, err = strconv.ParseInt(args[1], 10, 64); err != nil {
			return usagef("BY is an integer of 64 bits, not %q", args[1])
		}
		return nil
	}, func(ctx context.Context, c *client.Client, args []string) error {
		sum, err := c.Incr(ctx, args[0], by)
		if err == nil {
			a.say(map[string]any{"name": []byte(args[0]), "sum": sum}, "%d", sum)
		}
		return err
	})
}

func (a *app) appendCmd() *cobra.Command {
	var value []byte
	cmd := &cobra.Command{
		Use:   "append NAME VALUE",
		Short: "add at the end of a key's value",
		Long: `Add VALUE at the end of the value of a replicated key; an absent one counts as
empty. VALUE - reads standard input. A value of more than 16 MiB is exit code 4.

If the outcome is unknown, exit code 3, it may be added yet: running it again
could add twice.`,
		Example:     "  viewring append log 'one line'\n  date | viewring append log -",
		Args:        wants("NAME", "VALUE"),
		Annotations: map[string]string{valueAnnotation: "value"},
	}
	return a.changeCmd(cmd, func(args []string) (err error) {
		value, err = a.readValue(args[1])
		return err
	}, func(ctx context.Context, c *client.Client, args []string) error {
		length, err := c.Append(ctx, args[0], value)
		if err == nil && a.flags.json {
			a.printJSON(map[string]any{"version": jsonVersion, "name": []byte(args[0]), "bytes": length})
		}
		return err
	})
}

func (a *app) expireCmd() *cobra.Command {
	var never bool
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "expire NAME DURATION",
		Short: "have a key go after a while, or stay",
		Long: `Have a key that is there go after DURATION, such as 90s, 30m or 24h, a
millisecond or more; or with --never stay until it is deleted. An absent key is
exit code 1.`,
		Example: "  viewring expire session 30m\n  viewring expire session --never",
		Args: func(cmd *cobra.Command, args []string) error {
			if never {
				return wants("NAME")(cmd, args)
			}
			return wants("NAME", "DURATION")(cmd, args)
		},
	}
	cmd.Flags().BoolVar(&never, "never", false, "the key stays")
	return a.changeCmd(cmd, func(args []string) (err error) {
		if never {
			return nil
		}
		if ttl, err = time.ParseDuration(args[1]); err != nil || ttl < time.Millisecond {
			return usagef("DURATION is a time such as 90s, 30m or 24h, a millisecond or more, not %q", args[1])
		}
		return nil
	}, func(ctx context.Context, c *client.Client, args []string) (err error) {
		if never {
			_, err = c.Persist(ctx, args[0])
		} else {
			err = c.Expire(ctx, args[0], ttl)
		}
		if err == nil && a.flags.json {
			a.printJSON(map[string]any{"version": jsonVersion, "name": []byte(args[0]), "expires": !never})
		}
		return err
	})
}

func (a *app) ttlCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "ttl NAME",
		Short: "tell when a key goes",
		Long: `Print how long a key will be there yet, such as 29m59s, by the servers' clocks;
"never" of one that stays until it is deleted. An absent key is exit code 1.`,
		Example: "  viewring ttl session",
		Args:    wants("NAME"),
		RunE: a.onKeys(func(ctx context.Context, c *client.Client, args []string) error {
			left, expires, err := c.TTL(ctx, args[0])
			if err != nil {
				return err
			}
			if a.flags.json {
				fields := map[string]any{"version": jsonVersion, "name": []byte(args[0]), "expires": expires}
				if expires {
					fields["seconds"] = left.Seconds()
				}
				a.printJSON(fields)
				return nil
			}
			if !expires {
				a.printf("never\n")
				return nil
			}
			a.printf("%s\n", span(left))
			return nil
		}),
	}
}
