package cli

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// columns is the width of help.
const columns = 80

// wrapped tells cobra's templates, which are the whole process's, how to wrap.
var wrapped = sync.OnceFunc(func() {
	cobra.AddTemplateFunc("variables", variablesHelp)
	cobra.AddTemplateFunc("wrapped", func(text string) string { return wrapText(text, columns) })
})

// setHelp has help keep to a terminal's width, and be about commands that there are.
func (a *app) setHelp(root *cobra.Command) {
	wrapped()
	usage := strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped "+strconv.Itoa(columns)+" ")
	usage = strings.Replace(usage, "{{if .HasHelpSubCommands}}", "{{variables .}}{{if .HasHelpSubCommands}}", 1)
	root.SetUsageTemplate(strings.ReplaceAll(usage, "for more information about a command", "for more about one"))
	root.SetHelpTemplate(strings.ReplaceAll(root.HelpTemplate(), "| trimTrailingWhitespaces", "| trimTrailingWhitespaces | wrapped"))
	help := &cobra.Command{
		Use:     "help [COMMAND…]",
		Short:   "help about a command",
		Example: "  viewring help setr\n  viewring help meta create",
		ValidArgsFunction: func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, c := range cmd.Commands() {
				if c.IsAvailableCommand() && strings.HasPrefix(c.Name(), begun) {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			switch {
			case err != nil || cmd == root && len(rest) > 0:
				return unknownCommand(root, args[0])
			case len(rest) > 0:
				return unknownCommand(cmd, rest[0])
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
	root.SetHelpCommand(help)
}

// variablesHelp says by which variables a command's flags can be given.
func variablesHelp(cmd *cobra.Command) string {
	var example string
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if isSetting(f) && (example == "" || !strings.Contains(example, "-") && strings.Contains(f.Name, "-")) {
			example = f.Name // one that shows what becomes of a hyphen
		}
	})
	if !cmd.Runnable() || example == "" {
		example = "timeout"
	}
	return fmt.Sprintf("\n\nEach flag may be a variable too, VIEWRING_ and its name, or stand in the file of\n--config: %s is --%s.", envName(example), example)
}

// wrapText breaks the lines of paragraphs anew where one is too long. What is indented stays.
func wrapText(text string, width int) string {
	var out strings.Builder
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			out.WriteString("\n\n")
		}
		if strings.Contains("\n"+paragraph, "\n ") || !isWide(paragraph, width) {
			out.WriteString(paragraph)
			continue
		}
		at := 0
		for _, word := range strings.Fields(paragraph) {
			n := utf8.RuneCountInString(word)
			switch {
			case at > 0 && at+1+n > width:
				out.WriteByte('\n')
				at = 0
			case at > 0:
				out.WriteByte(' ')
				at++
			}
			out.WriteString(word)
			at += n
		}
	}
	return out.String()
}

// isWide reports whether a line of a text is too long.
func isWide(text string, width int) bool {
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > width {
			return true
		}
	}
	return false
}
