package play

import (
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
	var lines []string
	for _, g := range vocabulary() {
		lines = append(lines, g.title+":")
		for _, v := range g.verbs {
			lines = append(lines, wrapText(v.usage(), "  ", width)...)
			lines = append(lines, wrapText(v.summary, strings.Repeat(" ", usageIndent), width)...)
		}
	}
	return strings.Join(lines, "\n")
}

// Help is what there is to say of one verb, "" where there is none of this name.
func Help(name string, width int) string {
	v, ok := allVerbs()[name]
	if !ok {
		return ""
	}
	lines := wrapText(v.usage(), "", width)
	lines = append(append(lines, ""), wrapText(sentence(v.summary), "", width)...)
	if v.detail != "" {
		lines = append(append(lines, ""), wrapText(v.detail, "", width)...)
	}
	if len(v.sets) > 0 {
		lines = append(append(lines, ""), wrapText("It sets $"+strings.Join(v.sets, ", $")+".", "", width)...)
	}
	if v.private != "" {
		lines = append(append(lines, ""), wrapText("Not with --viewleader: "+v.private+".", "", width)...)
	}
	lines = append(lines, "", "Example:")
	for line := range strings.Lines(v.example) {
		lines = append(lines, "  "+strings.TrimRight(line, "\n"))
	}
	return strings.Join(lines, "\n") + "\n"
}

// Names are those of all verbs of this package.
func Names() []string { return slices.Sorted(maps.Keys(allVerbs())) }

// IsName reports whether a variable may be called so.
func IsName(text string) bool { return name.MatchString(text) }

func (v verb) usage() string { return strings.TrimSpace(v.name + " " + v.args) }

// sentence makes a sentence of a summary.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// wrapText breaks a text into lines that begin with an indent.
func wrapText(text, indent string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line+" "+word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line == "" {
			line = indent + word
		} else {
			line += " " + word
		}
	}
	return append(lines, line)
}

// Common are the commands that every script has, by rsc.io/script.
func Common() []string { return slices.Sorted(maps.Keys(script.DefaultCmds())) }
