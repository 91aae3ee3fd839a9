package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"viewring/client/cli/play"
	"viewring/scripts"
)

// scriptCommands are the commands that scripts use as verbs under their own name.
var scriptCommands = []string{"setr", "getr", "delr", "keys", "incr", "append", "expire", "ttl", "meta", "file", "record", "lock_get", "lock_release", "locks", "query_servers", "explain",
	"print", "set", "get", "query_all_keys", "drain", "undrain", "remove", "bulk", "bench", "backup", "restore", "export", "import"}

func (a *app) runCmd() *cobra.Command {
	var keep, list, check bool
	var set []string
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "play a script on a private cluster of real processes",
		Long: `Play a script: plain text, one command a line, on a cluster that it starts
itself, with ports and a folder of its own, and ends afterwards. FILE is a file,
or the name of a script that is built in (--list). It is checked as a whole
before anything is played. Lines that begin with # are shown; ! before a command
wants it to fail. Servers are s1, s2 and so on, leader is the view leader, all
are all of them. The commands:

` + play.Verbs(columns) + `

the commands of viewring itself: ` + strings.Join(scriptCommands, ", ") + `;

and those of every script: ` + strings.Join(play.Common(), ", ") + `.`,
		Example: "  viewring run crash.txt\n  viewring run sizes.txt --set N=5\n  viewring run --list\n  viewring run ./my-experiment.txt",
		Args: func(cmd *cobra.Command, args []string) error {
			if list {
				return wants()(cmd, args)
			}
			return wants("FILE")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return a.listScripts()
			}
			text, err := openScript(args[0])
			if err != nil {
				return codeError{exitNotFound, err}
			}
			defer text.Close()
			if check {
				return a.checkScript(cmd.Context(), args[0], text, set)
			}
			_, err = a.play(cmd.Context(), filepath.Base(args[0]), text, keep, variables(set), nil)
			return err
		},
	}
	cmd.ValidArgsFunction = completeScripts
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the cluster's folder")
	cmd.Flags().StringArrayVar(&set, "set", nil, "set a variable of the script, `NAME=VALUE`")
	cmd.Flags().BoolVar(&check, "check", false, "say what is wrong with the script, and play nothing")
	cmd.Flags().BoolVar(&list, "list", false, "list the scripts that are built in")
	return cmd
}

// variables are those of a script, by default and as they were set.
func variables(set []string) []string { return append([]string{"N=3"}, set...) }

// checkScript says what is wrong with a script.
func (a *app) checkScript(ctx context.Context, name string, from io.Reader, set []string) error {
	text, err := io.ReadAll(from)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	err = play.Check(ctx, filepath.Base(name), text, play.Options{Commands: scriptCommands, Check: a.checkLine, Env: variables(set)})
	if err != nil {
		return usageError{err.Error()}
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
		first, _, _ := strings.Cut(string(text), "\n")
		all = append(all, built{e.Name(), strings.TrimSpace(strings.TrimPrefix(first, "#"))})
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

// play plays a script with this command line's commands as verbs. Of page see play.Options.
func (a *app) play(ctx context.Context, name string, text io.Reader, keep bool, env []string, page func([]string) ([]string, string, error)) (*play.Summary, error) {
	out := a.env.Stdout
	if a.flags.json {
		out = a.env.Stderr // standard output is for the object
	}
	ctx, cancel := a.longDeadline(ctx)
	defer cancel()
	summary, err := play.Play(ctx, name, text, play.Options{
		Binary: a.env.Executable, Command: a.nested, Commands: scriptCommands, Check: a.checkLine, Out: out, Env: env, Keep: keep, Page: page,
		Comment: func(s string) string { return a.paint(out, bold, s) },
	})
	switch {
	case err == nil:
		return summary, nil
	case errors.Is(err, play.ErrScript):
		return summary, usageError{err.Error()}
	case ctx.Err() != nil:
		return summary, codeError{exitUnknown, err}
	}
	return summary, codeError{exitNotFound, err}
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

// nested runs another command of the command line.
func (a *app) nested(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	env := a.env
	env.Stdin, env.Stdout, env.Stderr, env.Getenv = stdin, stdout, stderr, getenv
	env.StdoutTerminal, env.StderrTerminal, env.Nested, env.Environ = false, false, true, nil
	env.Getenv = func(name string) string { // the script's cluster is its own, and plain
		switch name {
		case certEnv, keyEnv, caEnv, passwordEnv:
			return ""
		}
		return getenv(name)
	}
	return Main(ctx, args, env, a.starters)
}
