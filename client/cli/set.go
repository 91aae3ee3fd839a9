package cli

import "github.com/spf13/cobra"

func (a *app) setCmd() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use:   "set NAME VALUE --server ADDR",
		Short: "set a name in one server's own namespace (not replicated)",
		Long: `Set a name in one server's own namespace: it is on that server alone, and can
never touch a replicated key. For those use setr. VALUE - reads standard input.
A VALUE that looks like a flag goes behind --.`,
		Example:     "  viewring set motto 'slow and steady' --server localhost:28600",
		Annotations: map[string]string{valueAnnotation: "value"},
		Args:        a.wantsHere("setr", &server, "NAME", "VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			value, err := a.readValue(args[1])
			if err != nil {
				return err
			}
			ctx, cancel := a.deadline(cmd.Context())
			defer cancel()
			s, err := a.dialServer(ctx, server, "setr")
			if err != nil {
				return err
			}
			defer s.Close()
			if err := s.Set(ctx, args[0], value); err != nil {
				return err
			}
			if a.flags.json {
				a.printJSON(map[string]any{"version": jsonVersion, "server": server, "name": []byte(args[0]), "bytes": len(value)})
			}
			return nil
		},
	}
	serverFlag(cmd, &server)
	return cmd
}

// wantsHere is wants, but tells first that --server is missing.
func (a *app) wantsHere(instead string, server *string, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if *server == "" {
			return usagef("%s: --server ADDR is missing; did you mean %s?", cmd.CommandPath(), instead)
		}
		return wants(names...)(cmd, args)
	}
}
