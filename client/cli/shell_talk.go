package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/peterh/liner"
)

const (
	shellPrompt = "viewring> "
	shellMore   = "        > " // of a line that goes on

	historyLines = 1000 // that are kept
	historyLine  = 4096 // bytes of a line, at most
)

// talk reads lines from the terminal until it is left.
func (s *shell) talk() error {
	s.talking, s.stdin = true, s.a.env.Stdin
	usual, err := liner.TerminalMode()
	if err != nil {
		return fmt.Errorf("the terminal: %w", err)
	}
	l := liner.NewLiner()
	defer l.Close() // which gives the terminal back
	typing, err := liner.TerminalMode()
	if err != nil {
		return fmt.Errorf("the terminal: %w", err)
	}
	l.SetCtrlCAborts(true)
	l.SetTabCompletionStyle(liner.TabPrints)
	l.SetWordCompleter(s.complete)
	h := s.openHistory(l)
	for !s.left {
		words, text, err := s.read(l)
		switch {
		case errors.Is(err, io.EOF):
			s.a.printf("\n")
			s.left = true
			continue
		case errors.Is(err, liner.ErrPromptAborted):
			continue
		case err != nil:
			return err
		}
		h.add(l, text)
		_ = usual.ApplyMode() // what can't be set, the next prompt tells
		err = s.run(words)
		_ = typing.ApplyMode()
		var signal signalled
		if errors.As(err, &signal) {
			return silentExit{exitSignalled + int(signal.sig)}
		}
		if err != nil {
			s.a.tell("%s %v\n", s.a.paint(s.a.env.Stderr, red, "viewring:"), err)
		}
	}
	if s.last != exitOK {
		return silentExit{s.last}
	}
	return nil
}

// read reads a line, and those that it goes on in.
func (s *shell) read(l *liner.State) (words []string, text string, err error) {
	prompt := shellPrompt
	for {
		line, err := s.prompt(l, prompt)
		if err != nil {
			return nil, "", err
		}
		text += line
		words, more, wrong := shellWords(text, s.a.env.Getenv)
		switch {
		case more:
			text += "\n"
			prompt = shellMore
		case wrong != nil:
			s.a.tell("%s %v\n", s.a.paint(s.a.env.Stderr, red, "viewring:"), wrong)
			return nil, text, nil
		default:
			return words, text, nil
		}
	}
}

// prompt waits for a line, or for a signal that ends the shell.
func (s *shell) prompt(l *liner.State, prompt string) (string, error) {
	type typed struct {
		line string
		err  error
	}
	came := make(chan typed, 1)
	go func() { // ends with the line, or the process
		line, err := l.Prompt(prompt)
		came <- typed{line, err}
	}()
	for {
		select {
		case t := <-came:
			return t.line, t.err
		case sig := <-s.signals:
			if sig == syscall.SIGTERM {
				return "", silentExit{exitSignalled + int(syscall.SIGTERM)}
			}
		}
	}
}

// history is the file of former lines; nil: there is none.
type history struct{ path string }

// openHistory tells the terminal of former lines, the newest of them. Without a file there are none.
func (s *shell) openHistory(l *liner.State) *history {
	dir := s.a.env.Getenv("XDG_STATE_HOME")
	if home := s.a.env.Getenv("HOME"); !filepath.IsAbs(dir) {
		if !filepath.IsAbs(home) {
			return nil
		}
		dir = filepath.Join(home, ".local", "state")
	}
	h := &history{filepath.Join(dir, "viewring", "shell_history")}
	text, err := os.ReadFile(h.path)
	if errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(filepath.Dir(h.path), 0o700)
	}
	if err != nil {
		s.a.note("no lines are kept: " + err.Error())
		return nil
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(lines) > historyLines {
		lines = lines[len(lines)-historyLines:]
		h.replace(lines)
	}
	for _, line := range lines {
		if line != "" && utf8.ValidString(line) && len(line) <= historyLine {
			l.AppendHistory(line)
		}
	}
	return h
}

// replace keeps these lines alone. Where it can't, all are kept.
func (h *history) replace(lines []string) {
	shorter := h.path + ".new"
	if os.WriteFile(shorter, []byte(strings.Join(lines, "\n")+"\n"), 0o600) == nil {
		_ = os.Rename(shorter, h.path)
	}
}

// add keeps a line, unless it begins with a blank, or is several.
func (h *history) add(l *liner.State, line string) {
	if line == "" || line[0] == ' ' || strings.Contains(line, "\n") || len(line) > historyLine {
		return
	}
	l.AppendHistory(line)
	if h == nil {
		return
	}
	f, err := os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return // the line is in memory
	}
	defer f.Close()
	_ = f.Chmod(0o600) // also of one that was made with more
	_, _ = f.WriteString(line + "\n")
}
