package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// valueAnnotation marks commands whose arguments after the first may start with
// "-": "value" for NAME VALUE, "text" for TEXT….
const valueAnnotation = "viewring-value"

// commandAnnotation marks commands that end with "--" and a command to run, if they have the
// flag that it names.
const commandAnnotation = "viewring-command"

// separateArgs rewrites the arguments of commands that take values, so that a
// value may start with "-" and a script may pass any value whatever:
//
//   - NAME VALUE: what follows NAME is the value, even "--json". Flags go before
//     NAME or after VALUE. "--" before either is dropped.
//   - NAME VALUE -- COMMAND…, with the flag of commandAnnotation: what follows the
//     first "--" behind NAME is the command. The words keep that "--".
//   - TEXT…: what is not one of the command's flags is text; after "--" all is.
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
	var flags, words []string
	switch cmd.Annotations[valueAnnotation] {
	case "value":
		end := commandDash(rest, cmd)
		flags, words = separateValue(rest[:end], known)
		words = append(words, rest[end:]...)
	case "text":
		flags, words = separateText(rest, known)
	default:
		return args
	}
	return append(append(append(head, flags...), "--"), words...)
}

// commandDash returns the index of the "--" before a command to run; len(args) where there is
// none.
func commandDash(args []string, cmd *cobra.Command) int {
	wanted, named := false, false
	for i, arg := range args {
		switch f := lookup(arg, cmd.Flags()); {
		case arg == "--" && named && wanted:
			return i
		case f != nil:
			wanted = wanted || f.Name == cmd.Annotations[commandAnnotation]
		case !strings.HasPrefix(arg, "-"):
			named = true
		}
	}
	return len(args)
}

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

func separateValue(args []string, known func(string) *pflag.Flag) (flags, words []string) {
	ended := false
	for i := 0; i < len(args); i++ {
		arg, more := args[i], i+1 < len(args)
		switch {
		case arg == "--" && more && len(words) < 2 && !ended:
			ended = true
		case len(words) == 1, ended, !strings.HasPrefix(arg, "-"), arg == stdinPath:
			words = append(words, arg)
			ended = false
		default:
			flags = append(flags, arg)
			if more && takesNext(known(arg), arg) {
				i++
				flags = append(flags, args[i])
			}
		}
	}
	return flags, words
}

func separateText(args []string, known func(string) *pflag.Flag) (flags, words []string) {
	for i := 0; i < len(args); i++ {
		f := known(args[i])
		switch {
		case args[i] == "--":
			return flags, append(words, args[i+1:]...)
		case f == nil:
			words = append(words, args[i])
		default:
			flags = append(flags, args[i])
			if i+1 < len(args) && takesNext(f, args[i]) {
				i++
				flags = append(flags, args[i])
			}
		}
	}
	return flags, words
}

// lookup finds the flag that arg sets, or nil.
func lookup(arg string, sets ...*pflag.FlagSet) *pflag.Flag {
	name, long := strings.CutPrefix(arg, "--")
	if !long {
		if arg != "-h" {
			return nil
		}
		name = "help"
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
		return &pflag.Flag{Name: "help", NoOptDefVal: "true"}
	}
	return nil
}

// takesNext reports whether the flag's value is the argument after it.
func takesNext(f *pflag.Flag, arg string) bool {
	return f != nil && f.NoOptDefVal == "" && !strings.Contains(arg, "=")
}
