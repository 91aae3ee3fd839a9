package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

const (
	shellExit = "exit"
	shellName = "viewring" // may stand before a command
)

func (a *app) shellCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "shell [FILE]",
		Short: "type commands, or play a file of them",
		Long: `Type commands without the program's name. Tab completes commands, flags, servers,
locks and keys; the arrow keys and Ctrl-R find former lines, which are kept in
$XDG_STATE_HOME/viewring (~/.local/state/viewring), but for those that begin
with a blank. Ctrl-C ends the command that runs, or drops the line; Ctrl-D, or
exit, leaves.

Words are those of a POSIX shell: '…' and "…" quote, \ takes the next character
as it is, # begins a comment, $NAME is put in as one word. There are no pipes,
loops and patterns.

With FILE its lines are run, one after the other; - is standard input. The first
that fails ends it, with its line and its exit code. Flags given to the shell,
such as --viewleader, count for all commands.`,
		Example: "  viewring shell\n  viewring shell setup.txt\n  echo 'setr greeting hello' | viewring shell -",
		Args:    upTo("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := &shell{a: a, signals: make(chan os.Signal, 8), last: exitOK}
			cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) {
				if f.Changed {
					s.flags = append(s.flags, "--"+f.Name+"="+f.Value.String())
				}
			})
			signal.Notify(s.signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM)
			defer signal.Stop(s.signals)
			switch {
			case len(args) == 1 && args[0] != stdinPath:
				return s.playFile(args[0])
			case len(args) == 0 && isTerminal(a.env.Stdin):
				return s.talk()
			}
			return s.play("standard input", a.env.Stdin)
		},
	}
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// shell runs command lines, each as a process of its own: whatever a command does to its terminal, its
// signals and its children, the shell stays as it is.
type shell struct {
	a       *app
	flags   []string // of all commands
	signals chan os.Signal
	talking bool      // with somebody at a terminal
	stdin   io.Reader // of commands; nil: none
	last    int       // exit code
	left    bool
}

// withoutName leaves out the program's name.
func withoutName(words []string) []string {
	if len(words) > 0 && words[0] == shellName {
		return words[1:]
	}
	return words
}

// signalled is the end by a signal.
type signalled struct{ sig syscall.Signal }

func (e signalled) Error() string { return "ended by a signal: " + e.sig.String() }

// run runs a command line and notes its exit code. The error is a line that makes no sense, or a signalled.
func (s *shell) run(words []string) error {
	words = withoutName(words)
	switch {
	case len(words) == 0:
		return nil
	case words[0] == shellExit:
		return s.exit(words[1:])
	}
	cmd := exec.Command(s.a.env.Executable, slices.Concat(s.flags, words)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.stdin, s.a.stdout, s.a.env.Stderr
	if err := cmd.Start(); err != nil {
		return codeError{exitCannotRun, err}
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var ended error
	for {
		select {
		case err := <-done:
			var exit silentExit
			if err = exitOf(cmd, err); err != nil && !errors.As(err, &exit) {
				return err
			}
			s.last = exit.code
			return s.late(ended)
		case sig := <-s.signals:
			ended = s.pass(cmd.Process, sig.(syscall.Signal), ended)
		}
	}
}

// late is ended, or a signal that has come with the end of the command.
func (s *shell) late(ended error) error {
	select {
	case sig := <-s.signals:
		if !s.talking || sig == syscall.SIGTERM {
			return signalled{sig.(syscall.Signal)}
		}
	default:
	}
	return ended
}

// pass passes a signal on, unless the terminal has sent it to the command too. It returns the error that ends the
// shell, if the signal does.
func (s *shell) pass(to *os.Process, sig syscall.Signal, ended error) error {
	if sig == syscall.SIGTERM || terminalGroup() != syscall.Getpgrp() {
		_ = to.Signal(sig) // it may have ended
	}
	if s.talking && sig != syscall.SIGTERM {
		return ended
	}
	return signalled{sig}
}

// exit leaves, with an exit code.
func (s *shell) exit(args []string) error {
	s.left = true
	if len(args) == 0 {
		return nil
	}
	code, err := strconv.Atoi(args[0])
	if err != nil || code < 0 || code > 255 || len(args) > 1 {
		s.left = false
		return usagef("%s takes a number from 0 to 255", shellExit)
	}
	s.last = code
	return nil
}

// play runs the lines that come from r, until one fails.
func (s *shell) play(name string, r io.Reader) error {
	in := bufio.NewReader(r)
	text, began := "", 0
	for number := 1; !s.left; number++ {
		line, err := s.next(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return atLine(name, number, "", err)
		}
		if text == "" {
			began = number
		}
		text += line
		words, more, wrong := shellWords(strings.TrimSuffix(text, "\n"), s.a.env.Getenv)
		switch {
		case more && err == nil:
			continue
		case more:
			wrong = errors.New("a quote is not closed, or a backslash is last")
		}
		if failed := s.line(words, wrong); failed != nil {
			return atLine(name, began, text, failed)
		}
		if text = ""; err != nil {
			break
		}
	}
	if s.last != exitOK {
		return silentExit{s.last} // by exit
	}
	return nil
}

// next waits for a line, or for a signal.
func (s *shell) next(in *bufio.Reader) (string, error) {
	type read struct {
		line string
		err  error
	}
	came := make(chan read, 1)
	go func() { // ends with the line, or the process
		line, err := in.ReadString('\n')
		came <- read{line, err}
	}()
	select {
	case r := <-came:
		return r.line, r.err
	case sig := <-s.signals:
		return "", signalled{sig.(syscall.Signal)}
	}
}

// line runs a line of a file. What is not well is an error.
func (s *shell) line(words []string, wrong error) error {
	if wrong != nil {
		return usageError{wrong.Error()}
	}
	err := s.run(words)
	if err == nil && s.last != exitOK && !s.left {
		err = codeError{s.last, fmt.Errorf("exit code %d", s.last)}
	}
	return err
}

// atLine says where a file failed.
func atLine(name string, number int, text string, err error) error {
	code := exitUsage
	var coded codeError
	var path *fs.PathError
	var signal signalled
	switch {
	case errors.As(err, &signal):
		code = exitSignalled + int(signal.sig)
	case errors.As(err, &coded):
		code = coded.code
	case errors.As(err, &path): // of the file itself
		code = exitNotFound
	}
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if first != "" {
		first += ": "
	}
	return codeError{code, fmt.Errorf("%s:%d: %.200s%w", name, number, first, err)}
}

func (s *shell) playFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return codeError{exitNotFound, err}
	}
	defer f.Close() // read only
	s.stdin = s.a.env.Stdin
	return s.play(path, f)
}
