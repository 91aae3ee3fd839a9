package play

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"rsc.io/script"
)

// usageIndent is where the summaries of verbs begin.
const usageIndent = 8

// Verbs is a table of the commands that scripts have of this package, for people.
func Verbs(width int) string {
	common, all := script.DefaultCmds(), (&Player{}).verbs()
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if common[name] != nil && name != "wait" {
			continue
		}
		usage := all[name].Usage()
		lines = append(lines, strings.TrimRight("  "+name+" "+usage.Args, " "))
		line := strings.Repeat(" ", usageIndent-1)
		for _, word := range strings.Fields(usage.Summary) {
			if utf8.RuneCountInString(line+" "+word) > width {
				lines = append(lines, line)
				line = strings.Repeat(" ", usageIndent-1)
			}
			line = fmt.Sprintf("%s %s", line, word)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Common are the commands that every script has, by rsc.io/script.
func Common() []string { return slices.Sorted(maps.Keys(script.DefaultCmds())) }
