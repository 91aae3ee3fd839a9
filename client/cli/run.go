package cli

import (
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
var scriptCommands = []string{"setr", "getr", "delr", "meta", "file", "lock_get", "lock_release", "locks", "query_servers",
	"print", "set", "get", "query_all_keys", "drain", "remove", "bulk", "bench", "backup", "restore", "export", "import"}

func (a *app) runCmd() *cobra.Command {
	var keep, list bool
	var set []string
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "play a script on a private cluster of real processes",
		Long: `Play a script: plain text, one command a line, on a cluster that it starts
itself, with ports and a folder of its own, and ends afterwards. FILE is a file,
or the name of a script that is built in (--list). Lines that begin with # are
shown; ! before a command wants it to fail. The commands:

  cluster servers N [FLAG…]   start a cluster; flags are for the view leader
  destroy                     end it and delete its data
  join [N]                    one more server, or N
  leave s2                    a server leaves
  kill, restart, pause, resume   s3, leader or all
  terminate s3                SIGTERM, and wait for its end
  fill N                      write N keys
  workload start [RATE]|N|stop   write, append and read in the background; N: wait for so many requests
  traffic start [RATE] [plain]|round|stop   write at an even pace, half of it by plain Redis clients; time each request
  outage s3                   kill it; measure until each key of the traffic can be written again
  load start DIR|50%|finish   load a folder, reading back at random
  wait balanced               until every partition is on exactly its targets
  wait agreed                 … and every store agrees at the moment when the cluster says so
  wait epoch N, wait s3 down  … for a view
  expect lost 0               all that was acknowledged reads back byte for byte
  expect failed 0             no request went without an answer for 10 s
  expect stall 100            no request of the traffic took longer, in milliseconds
  expect copies 3             every key is on exactly its targets, equal copies
  expect delta s2 [N]         back again, s2 has copied only what changed: N keys at most
  exits CODE COMMAND…         the command ends with this exit code
  summary                     the figures of a load

and the commands of viewring itself: setr, getr, delr, meta, file, query_servers, bulk, ….`,
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
			_, err = a.play(cmd.Context(), filepath.Base(args[0]), text, keep, append([]string{"N=3"}, set...))
			return err
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the cluster's folder")
	cmd.Flags().StringArrayVar(&set, "set", nil, "set a variable of the script, `NAME=VALUE`")
	cmd.Flags().BoolVar(&list, "list", false, "list the scripts that are built in")
	return cmd
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
	for _, e := range entries {
		text, err := scripts.FS.ReadFile(e.Name())
		if err != nil {
			return fmt.Errorf("scripts: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		a.printf("%-16s %s\n", e.Name(), strings.TrimSpace(strings.TrimPrefix(first, "#")))
	}
	return nil
}

// play plays a script with this command line's commands as verbs.
func (a *app) play(ctx context.Context, name string, text io.Reader, keep bool, env []string) (*play.Summary, error) {
	out := a.env.Stdout
	if a.flags.json {
		out = a.env.Stderr // standard output is for the object
	}
	ctx, cancel := a.longDeadline(ctx)
	defer cancel()
	summary, err := play.Play(ctx, name, text, play.Options{
		Binary: a.env.Executable, Command: a.nested, Commands: scriptCommands, Out: out, Env: env, Keep: keep,
		Comment: func(s string) string { return a.paint(out, bold, s) },
	})
	switch {
	case err == nil:
		return summary, nil
	case ctx.Err() != nil:
		return summary, codeError{exitUnknown, err}
	}
	return summary, codeError{exitNotFound, err}
}

// nested runs another command of the command line.
func (a *app) nested(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	env := a.env
	env.Stdin, env.Stdout, env.Stderr, env.Getenv = stdin, stdout, stderr, getenv
	env.StdoutTerminal, env.StderrTerminal = false, false
	env.Getenv = func(name string) string { // the script's cluster is its own, and plain
		switch name {
		case certEnv, keyEnv, caEnv, passwordEnv:
			return ""
		}
		return getenv(name)
	}
	return Main(ctx, args, env, a.starters)
}
