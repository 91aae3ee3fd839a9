package cli

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client/doctor"
)

func (a *app) doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "look for what is wrong with the cluster, and say what to do",
		Long: `Ask all view leaders and servers, and tell what is wrong, each with what to do:

` + wrapText(strings.Join(doctor.Areas, ", "), columns) + `

It changes nothing. Exit code 0 says that nothing was found, 1 that something was,
3 that nobody could be asked.`,
		Example: "  viewring doctor\n  viewring doctor --json | jq -r '.findings[].what'",
		Args:    wants(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.deadline(cmd.Context())
			defer cancel()
			r, err := doctor.Examine(ctx, doctor.Options{Client: a.clientOptions(slog.LevelError), Explain: notLetIn})
			if err != nil {
				return err
			}
			return a.printReport(r)
		},
	}
}

func (a *app) printReport(r *doctor.Report) error {
	asked := fmt.Sprintf("%s, %s, %s", count(r.ViewLeaders, "view leader"), count(r.Servers, "server"), count(r.Partitions, "partition"))
	findings := r.Findings
	if findings == nil {
		findings = []doctor.Finding{}
	}
	object := map[string]any{"version": jsonVersion, "viewleaders": r.ViewLeaders, "servers": r.Servers, "partitions": r.Partitions, "findings": findings}
	if len(findings) == 0 {
		a.say(object, "%s", asked+": nothing wrong was found")
		return nil
	}
	if !a.flags.json {
		for _, f := range findings {
			a.printf("%s\n", wrapText(a.paint(a.env.Stdout, yellow, f.Area+": "+f.About+": ")+f.What, columns))
			a.printf("    %s\n", strings.ReplaceAll(wrapText(f.Advice, columns-4), "\n", "\n    "))
		}
	}
	return codeError{exitNotFound, answeredError{fmt.Errorf("%s in %s", count(len(findings), "finding"), asked), object}}
}
