package cli

import (
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// valueAnnotation marks commands whose arguments may begin with "-": they are values, or a text.
const valueAnnotation = "viewring-value"

// commandAnnotation marks commands that end with "--" and a command to run, if they have the
// flag that it names.
const commandAnnotation = "viewring-command"

// separateArgs rewrites the arguments of commands that take values or texts, so that
// flags may stand anywhere, and values may begin with "-":
//
//   - What is a flag of the command is one, wherever it stands. So is what only looks
//     like one, "--jsno": it is told, not stored.
//   - All else is a word, also "-5", or a key in PEM.
//   - Behind "--" all are words.
//   - With the flag of commandAnnotation the first "--" behind the first word begins the
//     command to run. The words keep that "--".
//
// For other commands nothing changes: "--" ends the flags.
func (a *app) separateArgs(root *cobra.Command, args []string) []string {
	at := commandAt(root, args)
	if at < 0 {
		return args
	}
	var cmd *cobra.Command
	for _, c := range root.Commands() {
		if c.Name() == args[at] || c.HasAlias(args[at]) {
			cmd = c
		}
	}
	if cmd == nil {
		return args
	}
	if cmd.HasSubCommands() && at+1 < len(args) {
		for _, c := range cmd.Commands() {
			if c.Name() == args[at+1] {
				cmd, at = c, at+1
				break
			}
		}
	}
	head, rest := args[:at+1:at+1], args[at+1:]
	known := func(arg string) *pflag.Flag { return lookup(arg, cmd.Flags(), root.PersistentFlags()) }
	if cmd.Annotations[valueAnnotation] == "" {
		return args
	}
	wanted := cmd.Annotations[commandAnnotation]
	flags, words := separate(rest, known, wanted, wanted != "" && a.isWanted(cmd, wanted, args))
	return append(append(append(head, flags...), "--"), words...)
}

// separate tells flags from words. With the flag wanted, which may be given elsewhere, a "--"
// behind the first word begins a command, which belongs to the words.
func separate(args []string, known func(string) *pflag.Flag, wanted string, elsewhere bool) (flags, words []string) {
	ended, command := false, elsewhere
	for i := 0; i < len(args); i++ {
		arg := args[i]
		f := known(arg)
		switch {
		case arg == "--" && command && len(words) > 0:
			return flags, append(words, args[i:]...)
		case arg == "--" && !ended:
			ended = true
		case ended, f == nil && !flagLike.MatchString(arg):
			words = append(words, arg)
		default:
			flags = append(flags, arg)
			command = command || f != nil && f.Name == wanted
			if i+1 < len(args) && takesNext(f, arg) {
				i++
				flags = append(flags, args[i])
			}
		}
	}
	return flags, words
}

// flagLike is what nobody means as a value without saying so.
var flagLike = regexp.MustCompile(`^--[A-Za-z][A-Za-z0-9_-]*(=|$)`)

// cutCommand separates the words of such a command line from the command to run.
func cutCommand(args []string) (words, command []string) {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i], args[i+1:]
	}
	return args, nil
}

// commandAt returns the index of the command's name, or -1.
func commandAt(root *cobra.Command, args []string) int {
	for i := 0; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			return i
		}
		if f := lookup(args[i], root.PersistentFlags()); takesNext(f, args[i]) {
			i++
		}
	}
	return -1
}

// lookup finds the flag that arg sets, or nil.
func lookup(arg string, sets ...*pflag.FlagSet) *pflag.Flag {
	name, long := strings.CutPrefix(arg, "--")
	if !long {
		return shorthand(arg, sets)
	}
	name, _, _ = strings.Cut(name, "=")
	if name == "" {
		return nil
	}
	for _, set := range sets {
		if f := set.Lookup(name); f != nil {
			return f
		}
	}
	if name == "help" {
		return helpFlag
	}
	return nil
}

// helpFlag stands for the one that a command is given when it runs.
var helpFlag = &pflag.Flag{Name: "help", NoOptDefVal: "true"}

// shorthand finds the flag that "-p" sets, or nil.
func shorthand(arg string, sets []*pflag.FlagSet) *pflag.Flag {
	if len(arg) != 2 || arg[0] != '-' || arg == "--" {
		return nil
	}
	for _, set := range sets {
		if f := set.ShorthandLookup(arg[1:]); f != nil {
			return f
		}
	}
	if arg == "-h" {
		return helpFlag
	}
	return nil
}

// takesNext reports whether the flag's value is the argument after it.
func takesNext(f *pflag.Flag, arg string) bool {
	return f != nil && f.NoOptDefVal == "" && !strings.Contains(arg, "=")
}
