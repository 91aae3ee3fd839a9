package cli

import (
	"context"

	"github.com/spf13/cobra"

	"viewring/client/admin"
)

func (a *app) queryAllKeysCmd() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:   "query_all_keys --server ADDR",
		Short: "list the names that one server stores",
		Long: `List the names that one server stores: "replicated" are its copies of keys,
"local" those that set made there. Names with odd bytes are quoted; with --json
they are base64.`,
		Example: "  viewring query_all_keys --server localhost:28600",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.deadline(cmd.Context())
			defer cancel()
			s, err := a.dialServer(ctx, server, "query_servers")
			if err != nil {
				return err
			}
			defer s.Close()
			return a.printNames(ctx, s, server)
		},
	}
	serverFlag(cmd, &server)
	return cmd
}

func (a *app) printNames(ctx context.Context, s *admin.Server, server string) error {
	local, replicated := [][]byte{}, [][]byte{}
	for n, err := range s.Names(ctx) {
		if err != nil {
			return err
		}
		word := "replicated"
		if n.Local {
			word = "local"
		}
		switch {
		case !a.flags.json:
			a.printf("%-10s  %s\n", word, quoted(n.Name))
		case n.Local:
			local = append(local, []byte(n.Name))
		default:
			replicated = append(replicated, []byte(n.Name))
		}
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "server": server, "local": local, "replicated": replicated})
	}
	return nil
}
