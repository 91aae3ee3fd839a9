package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) printCmd() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:         "print TEXT… --server ADDR",
		Short:       "print a text on one server's console",
		Example:     "  viewring print hello there --server localhost:28600",
		Annotations: map[string]string{valueAnnotation: "text"},
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("print: TEXT is missing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.deadline(cmd.Context())
			defer cancel()
			s, err := a.dialServer(ctx, server, "")
			if err != nil {
				return err
			}
			defer s.Close()
			if err := s.Print(ctx, strings.Join(args, " ")); err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "server": server})
			}
			return nil
		},
	}
	serverFlag(cmd, &server)
	return cmd
}
