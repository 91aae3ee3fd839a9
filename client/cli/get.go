package cli

import "github.com/spf13/cobra"

func (a *app) getCmd() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:   "get NAME --server ADDR",
		Short: "get a name from one server's own namespace (not replicated)",
		Long: `Print the value of a name in one server's own namespace. For replicated keys
use getr. An absent name is exit code 1.`,
		Example: "  viewring get motto --server localhost:28600",
		Args:    a.wantsHere("getr", &server, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.deadline(cmd.Context())
			defer cancel()
			s, err := a.dialServer(ctx, server, "getr")
			if err != nil {
				return err
			}
			defer s.Close()
			value, err := s.Get(ctx, args[0])
			if err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "server": server, "name": []byte(args[0]), "value": value, "bytes": len(value)})
				return nil
			}
			return a.printValue(value)
		},
	}
	serverFlag(cmd, &server)
	return cmd
}
