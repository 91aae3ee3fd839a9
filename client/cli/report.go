package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"viewring/client/cli/report"
)

func (a *app) reportCmd() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "report DIR",
		Short: "make one page of the tables and plots of experiments",
		Long: `Make one page of HTML of what 'viewring run' has left in a folder, or in the
folders in it: tables, plots, what they show and how they were made. The page is
one file that needs no other and runs no script. Unless --out says otherwise it
is report.html in DIR.`,
		Example:     "  viewring report results\n  viewring report results/failover --out failover.html\n  viewring report results --out - | less",
		Args:        wants("DIR"),
		Annotations: map[string]string{plainAnnotation: "true"},
		RunE: func(_ *cobra.Command, args []string) error {
			return a.makeReport(args[0], to)
		},
	}
	cmd.Flags().StringVar(&to, "out", "", "`file` of the page; - is standard output (default report.html in DIR)")
	return cmd
}

// makeReport makes the page of a folder's results.
func (a *app) makeReport(dir, to string) error {
	if to == stdinPath && a.flags.json {
		return usagef("--out - prints the page: it goes without --json")
	}
	r, err := report.Read(dir)
	if errors.Is(err, report.ErrEmpty) {
		return codeError{exitNotFound, fmt.Errorf("%w; 'viewring run SCRIPT --out %s' makes some", err, dir)}
	}
	if err != nil {
		return err
	}
	var page bytes.Buffer
	if err := r.Write(&page); err != nil {
		return err
	}
	if to == stdinPath {
		_, err := a.env.Stdout.Write(page.Bytes())
		return err
	}
	if to == "" {
		to = filepath.Join(dir, "report.html")
	}
	if err := os.WriteFile(to, page.Bytes(), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	tables, plots := r.Count()
	a.say(map[string]any{"page": to, "experiments": len(r.Sections), "tables": tables, "plots": plots, "bytes": page.Len()},
		"%s: %s, %s, %s, %s", to, count(len(r.Sections), "experiment"), count(tables, "table"), count(plots, "plot"), size(uint64(page.Len())))
	return nil
}
