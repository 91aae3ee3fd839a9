package cli

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"viewring/client/cli/config"
)

// A flag that is not typed has its value from a variable, VIEWRING_ and its name, or else from the
// file of --config. From then on it counts as given, and its commands know no difference.

const (
	envPrefix  = "VIEWRING_"
	configFlag = "config"
)

// lists are the flags that are one text with commas: lists in files become that.
var lists = []string{"viewleader", "peers", "recover-without"}

// passedOn are the flags whose variables are for the commands too that a command starts: where
// the cluster is, and with which secrets. A variable of any other flag would mean something
// else to them.
var passedOn = []string{"viewleader", "tls-cert", "tls-key", "tls-ca", "password-file", "s3-secret-file", configFlag}

// notFlags are variables that are not flags and never will be: what commands find that run under
// a lock or with a node, and what Kubernetes tells every process of a service that is called
// viewring.
var notFlags = []string{lockEnv, tokenEnv, nodeEnv, envPrefix + "PORT", envPrefix + "SERVICE_HOST", envPrefix + "SERVICE_PORT"}

// settings are what variables and a file say of the flags of the command that runs.
type settings struct {
	of      *cobra.Command // which has them; nil: none yet
	path    string         // of the file, from --config
	origins map[string]string
}

// envName is the variable of a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// isSetting reports whether a flag may be given otherwise than by typing it.
func isSetting(f *pflag.Flag) bool { return !f.Hidden && f.Name != "help" && f.Name != "version" }

// addSettings has variables and the file count for a command and those below it, before anything
// looks at a flag.
func (a *app) addSettings(cmd *cobra.Command) {
	if args := cmd.Args; args != nil || cmd.HasParent() && cmd.Runnable() {
		cmd.Args = func(cmd *cobra.Command, words []string) error {
			if err := a.giveFlags(cmd); err != nil {
				return err
			}
			if args == nil {
				return nil
			}
			return a.told(args(cmd, words))
		}
	}
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, words []string) error { return a.told(run(cmd, words)) }
	}
	for _, c := range cmd.Commands() {
		a.addSettings(c)
	}
}

// giveFlags gives the flags that were not typed the values that they have elsewhere.
func (a *app) giveFlags(cmd *cobra.Command) error {
	if a.settings.of == cmd {
		return nil
	}
	a.settings.of, a.settings.origins = cmd, map[string]string{}
	a.command = cmp.Or(a.command, cmd)
	if err := a.set(cmd.Flags(), configFlag, a.variable(configFlag)); err != nil {
		return err
	}
	var file *config.File
	if a.settings.path != "" {
		var err error
		if file, err = config.Load(a.settings.path, flagsOf(cmd.Root())); err != nil {
			return usageError{err.Error()}
		}
	}
	var wrong error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if wrong != nil || f.Changed || !isSetting(f) {
			return
		}
		v := a.variable(f.Name)
		if v.Origin == "" {
			v, _ = file.Find(section(cmd), f.Name)
		}
		wrong = a.set(cmd.Flags(), f.Name, v)
	})
	if wrong == nil && cmd.Flags().Lookup(childFlagName) != nil && len(a.env.Environ) > 0 {
		a.tellSettings()
		a.suggestVariables(cmd)
	}
	return wrong
}

// section is a command's in the file.
func section(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// variable is what the environment says of a flag. An empty variable says nothing.
func (a *app) variable(flag string) config.Value {
	text := a.env.Getenv(envName(flag))
	if text == "" {
		return config.Value{}
	}
	return config.Value{Texts: []string{text}, Origin: "$" + envName(flag)}
}

// set gives a flag a value, unless it has one or there is none.
func (a *app) set(flags *pflag.FlagSet, name string, v config.Value) error {
	f := flags.Lookup(name)
	if f == nil || f.Changed || v.Origin == "" {
		return nil
	}
	several, _ := f.Value.(pflag.SliceValue)
	switch {
	case several != nil && f.Value.Type() == "stringArray" && !v.IsList: // values may have commas
		v.Texts = strings.FieldsFunc(v.Texts[0], func(r rune) bool { return r == '\n' })
	case v.IsList && several == nil && !slices.Contains(lists, name):
		return usagef("%s: %s is one value, not a list", v.Origin, name)
	case v.IsList && several == nil:
		v.Texts = []string{strings.Join(v.Texts, ",")}
	}
	for _, text := range v.Texts {
		if err := flags.Set(name, text); err != nil {
			return usagef("%s: %s", v.Origin, flagText(err))
		}
	}
	a.settings.origins[name] = v.Origin
	return nil
}

// flagText is what is wrong with the value of a flag, without the words of the packages that read it.
func flagText(err error) string {
	if text, _, found := strings.Cut(err.Error(), " flag: time: "); found {
		return text + ": want a time such as 90s, 30m or 24h"
	}
	return err.Error()
}

// told adds to the error of a command line where a flag is from that it is about and that
// nobody typed.
func (a *app) told(err error) error {
	usage, ok := err.(usageError)
	if !ok {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(a.settings.origins)) {
		if origin := a.settings.origins[name]; isAbout(usage.text, name) && !strings.Contains(usage.text, origin) {
			usage.text += fmt.Sprintf(" (--%s is from %s)", name, origin)
		}
	}
	return usage
}

// toldOfFiles does so with the error of a file that a flag names.
func (a *app) toldOfFiles(err error, files map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if origin := a.settings.origins[name]; origin != "" && strings.Contains(err.Error(), files[name]) {
			err = fmt.Errorf("%w (--%s is from %s)", err, name, origin)
		}
	}
	return err
}

// isAbout reports whether a text names a flag.
func isAbout(text, name string) bool {
	_, behind, found := strings.Cut(text, "--"+name)
	return found && (behind == "" || behind[0] != '-' && (behind[0] < 'a' || behind[0] > 'z'))
}

// typed reports whether a flag stands in the command line itself.
func (a *app) typed(cmd *cobra.Command, name string) bool {
	return cmd.Flags().Changed(name) && a.settings.origins[name] == ""
}

// flagsOf are the flags of all commands, for the file.
func flagsOf(root *cobra.Command) config.Commands {
	commands := config.Commands{}
	names := func(cmd *cobra.Command) (list []string) {
		add := func(f *pflag.Flag) {
			if isSetting(f) && f.Name != configFlag {
				list = append(list, f.Name)
			}
		}
		cmd.LocalFlags().VisitAll(add)
		if cmd != root {
			cmd.InheritedFlags().VisitAll(add)
		}
		return list
	}
	commands[config.All] = names(root)
	had := map[string]bool{} // by a command
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			if c.Runnable() && !strings.HasPrefix(c.Name(), "_") {
				commands[section(c)] = names(c)
				for _, name := range commands[section(c)] {
					if had[name] && !slices.Contains(commands[config.All], name) {
						commands[config.All] = append(commands[config.All], name) // more than one has it
					}
					had[name] = true
				}
			}
			walk(c)
		}
	}
	walk(root)
	return commands
}

// tellSettings has a service's log say which flags nobody typed, and where they are from.
func (a *app) tellSettings() {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(a.settings.origins)) {
		list = append(list, name+": "+a.settings.origins[name])
	}
	if len(list) > 0 {
		a.logger(slog.LevelInfo).Info("flags are from variables or from a file", "flags", list)
	}
}

// suggestVariables warns a service's operator of variables that are nearly one of its flags' and
// so have no effect. There may be others of the prefix, which are nobody's business.
func (a *app) suggestVariables(cmd *cobra.Command) {
	known, own := variablesOf(cmd.Root()), flagsOf(cmd.Root())[section(cmd)]
	for _, e := range a.env.Environ {
		name, _, _ := strings.Cut(e, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours || known[name] || slices.Contains(notFlags, name) {
			continue
		}
		flag := strings.ReplaceAll(strings.ToLower(rest), "_", "-")
		like := config.Near(flag, own)
		if begun := slices.DeleteFunc(slices.Clone(own), func(f string) bool { return !strings.HasPrefix(f, flag+"-") }); like == "" && len(begun) == 1 {
			like = begun[0] // VIEWRING_PASSWORD
		}
		if like != "" {
			a.logger(slog.LevelInfo).Warn("this variable has no effect", "variable", name, "is_meant", envName(like))
		}
	}
}

// isWanted reports whether a flag that is true or false is so by a variable or by the file, for
// those who have to know before flags are read.
func (a *app) isWanted(cmd *cobra.Command, name string, args []string) bool {
	v := a.variable(name)
	if v.Origin == "" {
		path := a.env.Getenv(envName(configFlag))
		for i, arg := range args {
			if arg == "--" {
				break
			}
			if text, ok := strings.CutPrefix(arg, "--"+configFlag+"="); ok {
				path = text
			} else if arg == "--"+configFlag && i+1 < len(args) {
				path = args[i+1]
			}
		}
		if path == "" {
			return false
		}
		file, err := config.Load(path, flagsOf(cmd.Root()))
		if err != nil {
			return false // giveFlags says so
		}
		v, _ = file.Find(section(cmd), name)
	}
	wanted, err := strconv.ParseBool(strings.Join(v.Texts, ""))
	return err == nil && wanted
}

// childEnviron is the environment of the commands that users have this one start.
func (a *app) childEnviron() []string {
	dropped := variablesOf(a.command.Root())
	for _, name := range passedOn {
		delete(dropped, envName(name))
	}
	return without(os.Environ(), dropped)
}

// without is an environment without some variables.
func without(env []string, dropped map[string]bool) []string {
	return slices.DeleteFunc(env, func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return dropped[name]
	})
}

// variablesOf are the variables of all flags of all commands.
func variablesOf(root *cobra.Command) map[string]bool {
	known := map[string]bool{envName(configFlag): true}
	for _, flags := range flagsOf(root) {
		for _, f := range flags {
			known[envName(f)] = true
		}
	}
	return known
}
