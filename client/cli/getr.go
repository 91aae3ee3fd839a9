package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
)

func (a *app) getrCmd() *cobra.Command {
	var showVersion bool
	cmd := &cobra.Command{
		Use:   "getr NAME",
		Short: "get a replicated key",
		Long: `Print the value of a replicated key: its bytes and nothing else, and a newline
only on a terminal. An absent key is exit code 1.

With --show-version a line with the key's version comes first, as setr and delr
take it with --if-version.`,
		Example: "  viewring getr greeting\n  viewring getr photo > photo.jpg\n  viewring getr price --show-version",
		Args:    wants("NAME"),
		RunE: a.onKeys(func(ctx context.Context, c *client.Client, args []string) error {
			value, err := c.Get(ctx, args[0])
			if err != nil {
				return err
			}
			if a.flags.json {
				fields := map[string]any{"version": jsonVersion, "name": []byte(args[0]), "value": value.Bytes, "bytes": len(value.Bytes),
					"term": value.Version.Term, "seq": value.Version.Seq}
				if !value.Expires.IsZero() {
					fields["expires"] = value.Expires.UTC().Format(time.RFC3339Nano)
				}
				a.printJSON(fields)
				return nil
			}
			if showVersion {
				a.printf("%v\n", value.Version)
			}
			return a.printValue(value.Bytes)
		}),
	}
	cmd.Flags().BoolVar(&showVersion, "show-version", false, "print a line with the key's version first")
	return cmd
}

// printValue writes raw bytes, and a newline to a terminal.
func (a *app) printValue(value []byte) error {
	if a.env.StdoutTerminal {
		value = append(value[:len(value):len(value)], '\n')
	}
	if _, err := a.env.Stdout.Write(value); err != nil {
		return fmt.Errorf("write the value: %w", err)
	}
	return nil
}
