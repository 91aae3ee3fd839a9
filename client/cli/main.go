package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"viewring/client"
	"viewring/client/file"
	"viewring/client/record"
	"viewring/client/tree"
	"viewring/internal/quiet"
)

// The exit codes.
const (
	exitOK          = 0
	exitNotFound    = 1 // not found, or different
	exitUsage       = 2
	exitUnknown     = 3 // unreachable or timed out: the outcome is unknown
	exitRefused     = 4
	exitUnavailable = 5 // unavailable, too few copies, a full disk, or corrupt
	exitOutput      = 6 // standard output can't be written
	exitNotLetIn    = 7 // a password or a certificate is missing, wrong, or not trusted
)

// Env is the world as a command sees it.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	StdinTerminal  bool
	StdoutTerminal bool
	StderrTerminal bool
	Getenv         func(string) string
	Environ        []string // NAME=VALUE, for warnings about names; nil: none
	Executable     string   // the viewring binary, for commands that start children
	Version        string
	Nested         bool // other commands run in this process
}

// Starters run the services, which this package must not know.
type Starters struct {
	ViewLeader func(context.Context, ViewLeaderOptions) error
	Server     func(context.Context, ServerOptions) error
	Gateway    func(context.Context, GatewayOptions) error
	ZooKeeper  func(context.Context, ZooKeeperOptions) error
	HTTP       func(context.Context, HTTPOptions) error
}

// Main runs one command and returns its exit code.
func Main(ctx context.Context, args []string, env Env, starters Starters) int {
	given := ctx
	ctx, cancel := context.WithCancel(given)
	defer cancel()
	out := &output{to: env.Stdout, failed: cancel}
	a := &app{env: env, starters: starters, args: args, stdout: env.Stdout}
	a.env.Stdout = out
	root := a.root()
	root.SetArgs(a.separateArgs(root, args))
	command, err := root.ExecuteContextC(ctx)
	if a.command == nil {
		a.command = command // its arguments made no sense
	}
	if lost := out.Err(); lost != nil {
		return a.outputLost(given, lost, err)
	}
	if err == nil {
		return exitOK
	}
	var silent silentExit
	if errors.As(err, &silent) {
		return silent.code
	}
	code := a.exitCode(ctx, err)
	a.report(err, code)
	return code
}

// usageError is a command line that makes no sense.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// codeError is an error with an exit code of its own.
type codeError struct {
	code int
	err  error
}

func (e codeError) Error() string { return e.err.Error() }
func (e codeError) Unwrap() error { return e.err }

// answeredError is an error that comes with an answer: with --json they are one object.
type answeredError struct {
	err    error
	answer map[string]any
}

func (e answeredError) Error() string { return e.err.Error() }
func (e answeredError) Unwrap() error { return e.err }

func (a *app) exitCode(ctx context.Context, err error) int {
	var usage usageError
	var coded codeError
	switch {
	case errors.As(err, &coded):
		return coded.code
	case !a.running || errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, client.ErrUnknownOutcome):
		return exitUnknown
	case notLetIn(err) != "":
		return exitNotLetIn
	case errors.Is(err, client.ErrUnreachable):
		return exitUnknown
	case errors.Is(err, client.ErrNotFound), errors.Is(err, tree.ErrNoNode), errors.Is(err, tree.ErrNoParent),
		errors.Is(err, fs.ErrNotExist), errors.Is(err, record.ErrRemoved):
		return exitNotFound
	case errors.Is(err, client.ErrUnavailable), errors.Is(err, client.ErrTooFewCopies),
		errors.Is(err, client.ErrBusy), errors.Is(err, client.ErrCorrupt), errors.Is(err, tree.ErrContended),
		errors.Is(err, file.ErrReplaced), errors.Is(err, file.ErrLost), errors.Is(err, file.ErrChecksum), errors.Is(err, file.ErrUnreadable):
		return exitUnavailable
	case errors.Is(err, client.ErrRefused), errors.Is(err, client.ErrTooLarge),
		errors.Is(err, client.ErrCondition), errors.Is(err, client.ErrNotInteger):
		return exitRefused
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return exitUnknown
	}
	return exitRefused
}

// errorMax bounds what is said of an error: names have up to 64 KiB.
const errorMax = 2000

// report tells the error to people, and with --json to programs.
func (a *app) report(err error, code int) {
	text := quiet.Cut(err.Error(), errorMax)
	a.tell("%s %s\n", a.paint(a.env.Stderr, red, "viewring:"), text)
	if code == exitUsage && !strings.Contains(text, "--help") {
		a.tell("Run '%s --help' for usage.\n", a.path())
	}
	if a.flags.json {
		object := map[string]any{"version": jsonVersion}
		var answered answeredError
		if errors.As(err, &answered) {
			object = answered.answer
		}
		object["error"], object["exit"] = text, code
		a.printJSON(object)
	}
}
