package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client"
	"viewring/client/cli/play"
	"viewring/scripts"
)

// scriptCommands are the commands that scripts use as verbs under their own name.
var scriptCommands = []string{"setr", "getr", "delr", "keys", "incr", "append", "expire", "ttl", "meta", "file", "record", "lock_get", "lock_release", "locks", "query_servers", "explain",
	"print", "set", "get", "query_all_keys", "doctor", "plan", "rebalance", "drain", "undrain", "remove", "bulk", "bench", "backup", "restore", "export", "import"}

// verbsHelp stands in place of a FILE, to be told of verbs.
const verbsHelp = "help"

// runFlags are those of 'run'.
type runFlags struct {
	keep, list, check bool
	set               []string
	out               string
}

func (a *app) runCmd() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE [ARGUMENT…]",
		Short: "play a script on a private cluster, or on a running one",
		Long: `Play a script: plain text, one command a line, on a cluster that it starts
itself, with ports and a folder of its own, and ends afterwards. FILE is a file,
or the name of a script that is built in (--list). It is checked as a whole
before anything is played. Lines that begin with # are shown; ! before a command
wants it to fail. Servers are s1, s2 and so on, leader is the view leader, all
are all of them. With --viewleader it is played on a cluster that runs already:
commands that start or end processes are refused then, before anything is
played, and what 'traffic' and its like have written is removed at the end.
$NAME stands for a variable, of 'let' or --set, $1 for the first ARGUMENT.
'viewring run help VERB' tells more of one of the commands:

` + play.Verbs(columns) + `

the commands of viewring itself: ` + strings.Join(scriptCommands, ", ") + `;

and those of every script: ` + strings.Join(play.Common(), ", ") + `.`,
		Example: "  viewring run crash.txt\n  viewring run sizes.txt --set N=5\n  viewring run --list\n  viewring run help for\n  viewring run ./my-experiment.txt --out ./results\n  viewring run ./load.txt --viewleader localhost:28500",
		Args: func(cmd *cobra.Command, args []string) error {
			if f.list {
				return wants()(cmd, args)
			}
			if len(args) == 0 {
				return wants("FILE")(cmd, args)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.list:
				return a.listScripts()
			case args[0] == verbsHelp:
				return a.helpVerbs(args[1:])
			}
			return a.runScript(cmd.Context(), args, f)
		},
	}
	cmd.ValidArgsFunction = completeScripts
	cmd.Flags().BoolVar(&f.keep, "keep", false, "keep the cluster's folder")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "set a variable of the script, `NAME=VALUE`")
	cmd.Flags().StringVar(&f.out, "out", "", "`folder` of the tables and plots (default a new one, ./results/SCRIPT)")
	cmd.Flags().BoolVar(&f.check, "check", false, "say what is wrong with the script, and play nothing")
	cmd.Flags().BoolVar(&f.list, "list", false, "list the scripts that are built in")
	return cmd
}

// runScript checks a script, and plays it.
func (a *app) runScript(ctx context.Context, args []string, f runFlags) error {
	text, err := openScript(args[0])
	if err != nil {
		return codeError{exitNotFound, err}
	}
	defer text.Close()
	env, err := variables(f.set, args[1:])
	if err != nil {
		return err
	}
	how := played{keep: f.keep, env: env, out: f.out}
	if a.typed(a.command, "viewleader") { // not by a variable: nobody's cluster is played on by mistake
		how.running = a.runningCluster()
	}
	if f.check {
		return a.checkScript(ctx, args[0], text, how)
	}
	done, err := a.play(ctx, filepath.Base(args[0]), text, how)
	if err == nil && a.flags.json {
		object := map[string]any{"version": jsonVersion, "script": args[0]}
		if done.Results != "" {
			object["results"] = done.Results
		}
		a.printJSON(object)
	}
	return err
}

// secrets are the files of this command line's connections, by the variables that stand for them.
func (a *app) secrets() map[string]string {
	s := a.flags.secure
	return map[string]string{certEnv: s.Cert, keyEnv: s.Key, caEnv: s.CA, passwordEnv: s.Password}
}

// runningCluster is the one that --viewleader names.
func (a *app) runningCluster() *play.Running {
	r := &play.Running{Client: a.clientOptions(slog.LevelWarn)}
	for name, file := range a.secrets() {
		if file != "" {
			r.Variables = append(r.Variables, name+"="+file)
		}
	}
	return r
}

// helpVerbs tells of the commands of scripts, or of some.
func (a *app) helpVerbs(names []string) error {
	if len(names) == 0 {
		a.printf("%s\n", play.Verbs(columns))
		return nil
	}
	for i, name := range names {
		text := play.Help(name, columns)
		switch {
		case text == "" && slices.Contains(scriptCommands, name):
			return usagef("%s is a command of viewring: see 'viewring %s --help'", name, name)
		case text == "":
			return usagef("scripts have no command %q: see 'viewring run help'", name)
		case i > 0:
			a.printf("\n")
		}
		a.printf("%s", text)
	}
	return nil
}

// variables are those of a script: by default, as they were set, and its arguments.
func variables(set, args []string) ([]string, error) {
	env := []string{"N=3"}
	for _, s := range set {
		if name, _, ok := strings.Cut(s, "="); !ok || !play.IsName(name) {
			return nil, usagef("--set wants NAME=VALUE, not %q", s)
		}
		env = append(env, s)
	}
	for i, arg := range args {
		env = append(env, fmt.Sprintf("%d=%s", i+1, arg))
	}
	return env, nil
}

// checkScript says what is wrong with a script.
func (a *app) checkScript(ctx context.Context, name string, from io.Reader, how played) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if how.running != nil {
		var cancel context.CancelFunc
		ctx, cancel = a.deadline(ctx)
		defer cancel()
	}
	err = play.Check(ctx, filepath.Base(name), text, play.Options{Commands: scriptCommands, Check: a.checkLine, Env: how.env, Running: how.running})
	switch {
	case errors.Is(err, play.ErrScript):
		return usageError{err.Error()}
	case err != nil:
		return err
	}
	a.say(map[string]any{"script": name}, "%s can be played", name)
	return nil
}

// openScript opens a file, or a script that is built in.
func openScript(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if !errors.Is(err, fs.ErrNotExist) || strings.ContainsRune(name, filepath.Separator) {
		return f, err
	}
	for _, built := range []string{name, name + ".txt"} {
		if f, ferr := scripts.FS.Open(built); ferr == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%w, and no script of that name is built in", err)
}

func (a *app) listScripts() error {
	entries, err := scripts.FS.ReadDir(".")
	if err != nil {
		return fmt.Errorf("scripts: %w", err)
	}
	type built struct {
		Script string `json:"script"`
		About  string `json:"about"`
	}
	var all []built
	for _, e := range entries {
		text, err := scripts.FS.ReadFile(e.Name())
		if err != nil {
			return fmt.Errorf("scripts: %w", err)
		}
		about, _ := play.About(string(text))
		all = append(all, built{e.Name(), about})
	}
	if a.flags.json {
		a.printJSON(map[string]any{"version": jsonVersion, "scripts": all})
		return nil
	}
	for _, b := range all {
		a.printf("%-16s %s\n", b.Script, b.About)
	}
	return nil
}

// played says how a script is played. Of its fields see play.Options.
type played struct {
	keep    bool
	env     []string
	out     string
	running *play.Running // nil: on a private cluster
	page    func(flags []string) (more []string, url string, err error)
}

// play plays a script with this command line's commands as verbs.
func (a *app) play(ctx context.Context, name string, text io.Reader, how played) (play.Played, error) {
	out := a.env.Stdout
	if a.flags.json {
		out = a.env.Stderr // standard output is for the object
	}
	ctx, cancel := a.longDeadline(ctx)
	defer cancel()
	done, err := play.Play(ctx, name, text, play.Options{
		Binary: a.env.Executable, Command: a.nested(how.running != nil), Commands: scriptCommands, Check: a.checkLine, Out: out, Env: how.env, Version: a.env.Version, OutDir: how.out, Running: how.running, Keep: how.keep, Page: how.page,
		Comment: func(s string) string { return a.paint(out, bold, s) },
	})
	switch {
	case err == nil:
		return done, nil
	case errors.Is(err, play.ErrScript):
		return done, usageError{err.Error()}
	case ctx.Err() != nil, errors.Is(err, client.ErrUnreachable):
		return done, codeError{exitUnknown, err}
	}
	return done, codeError{exitNotFound, err}
}

// checkLine says what is wrong with another command line, without running it.
func (a *app) checkLine(args []string) error {
	var out bytes.Buffer
	b := &app{env: Env{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}}
	root := b.root()
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return b.checkFlags() }
	idle(root)
	root.SetArgs(b.separateArgs(root, args))
	return root.Execute()
}

// idle keeps commands from doing anything.
func idle(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.Runnable() && (!c.HasSubCommands() || c.Flags().HasFlags()) { // not what only says that it lacks a command
			c.RunE = func(*cobra.Command, []string) error { return nil }
		}
		idle(c)
	}
}

// nested runs other commands of the command line. On a running cluster they have this one's secrets;
// a private one is plain.
func (a *app) nested(isRunning bool) play.Command {
	secrets := map[string]string{certEnv: "", keyEnv: "", caEnv: "", passwordEnv: ""}
	if isRunning {
		secrets = a.secrets()
	}
	return func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
		env := a.env
		env.Stdin, env.Stdout, env.Stderr = stdin, stdout, stderr
		env.StdoutTerminal, env.StderrTerminal, env.Nested, env.Environ = false, false, true, nil
		env.Getenv = func(name string) string {
			if file, ok := secrets[name]; ok {
				return file
			}
			return getenv(name)
		}
		return Main(ctx, args, env, a.starters)
	}
}
