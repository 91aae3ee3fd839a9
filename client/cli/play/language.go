package play

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"rsc.io/script"

	"viewring/client/cli/children"
)

// commandGrace is how long an external command gets between SIGTERM and SIGKILL.
const commandGrace = 2 * time.Second

// outputGrace is how long what a command has left running may write to its output.
const outputGrace = 200 * time.Millisecond

func (c *checker) let(args []string) error {
	switch {
	case len(args) < 2:
		return script.ErrUsage
	case !name.MatchString(args[0]):
		return badName(args[0])
	case args[1] == "sh":
		return errors.Join(c.sh(args[2:]), c.find(args[:1]))
	}
	value, err := assigned(args[1:])
	if err != nil {
		return err
	}
	return c.state.Setenv(args[0], value)
}

func (p *Player) let(ctx context.Context, args []string) (string, error) {
	if args[1] == "sh" {
		out, err := p.external(ctx, args[2:], io.Discard)
		if err != nil {
			return out, err
		}
		p.say("%s is %s", args[0], strings.TrimSpace(out))
		return out, p.set(args[0], strings.TrimSpace(out))
	}
	value, err := assigned(args[1:])
	if err != nil {
		return "", err
	}
	if len(args) > 2 {
		p.say("%s is %s", args[0], value)
	}
	return "", p.set(args[0], value)
}

// operators are those of 'let', each with what it makes of two numbers.
var operators = map[string]func(a, b float64) float64{
	"+": func(a, b float64) float64 { return a + b },
	"-": func(a, b float64) float64 { return a - b },
	"*": func(a, b float64) float64 { return a * b },
	"/": func(a, b float64) float64 { return a / b },
	"%": math.Mod,
}

// assigned is the value that 'let' gives: words, or what an operator makes of two numbers. Numbers
// are whole up to 2^53, and shown without a point where they are.
func assigned(words []string) (string, error) {
	do := func(float64, float64) float64 { return 0 }
	known := false
	if len(words) > 1 {
		do, known = operators[words[1]]
	}
	switch {
	case !known:
		return strings.Join(words, " "), nil
	case len(words) != 3:
		return "", errors.New("one operator between two numbers; write further ones on lines of their own")
	case isUnknown(words[0]) || isUnknown(words[2]):
		return unknown, nil
	}
	var numbers [2]float64
	for i, word := range []string{words[0], words[2]} {
		n, err := strconv.ParseFloat(word, 64)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return "", fmt.Errorf("%q is not a number, quote all of '%s' if it is a text", word, strings.Join(words, " "))
		}
		numbers[i] = n
	}
	result := do(numbers[0], numbers[1])
	if math.IsInf(result, 0) || math.IsNaN(result) {
		return "", fmt.Errorf("%s has no result", strings.Join(words, " "))
	}
	return strconv.FormatFloat(result, 'f', -1, 64), nil
}

// sh checks a command as far as it can: that there is such a program.
func (c *checker) sh(args []string) error {
	if len(args) == 0 || args[0] == "" {
		return script.ErrUsage
	}
	if len(args) == 1 || isUnknown(args[0]) || strings.Contains(args[0], "/") || args[0] == programName {
		return nil
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return fmt.Errorf("there is no program %q here", args[0])
	}
	return nil
}

func (p *Player) sh(ctx context.Context, args []string) (string, error) {
	shown := &indent{to: p.opts.Out, start: true}
	out, err := p.external(ctx, args, shown)
	if !shown.start {
		fmt.Fprintln(p.opts.Out)
	}
	return out, err
}

// programName is what commands find viewring by.
const programName = "viewring"

// external runs an external command to its end, and shows what it prints. When ctx ends, so do the
// command and all that it has started.
func (p *Player) external(ctx context.Context, args []string, shown io.Writer) (string, error) {
	argv := args
	if len(args) == 1 {
		argv = []string{"/bin/sh", "-c", args[0]}
	}
	env, err := p.environ()
	if err != nil {
		return "", err
	}
	if argv[0] == programName {
		argv = slices.Concat([]string{p.opts.Binary}, argv[1:])
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, shown), &indent{to: p.opts.Out, start: true}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process, which ends it in order
	cmd.WaitDelay = outputGrace
	children.DieWithParent(cmd.SysProcAttr)
	runtime.LockOSThread() // whose end the kernel takes for the parent's
	defer runtime.UnlockOSThread()
	if err := children.Adopt(); err != nil {
		return "", err
	}
	spare := children.Descendants()
	cmd.Cancel = func() error {
		children.Family{Pid: cmd.Process.Pid, Group: true, Spare: spare}.End(commandGrace)
		return nil
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	p.commands = append(p.commands, cmd.Process.Pid)
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return out.String(), context.Cause(ctx)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay): // what it left running has its output
		return out.String(), fmt.Errorf("it ended with %w", err)
	}
	return out.String(), nil
}

// environ is the environment of external commands: that of viewring, in which they find it, the
// cluster and the variables of the script.
func (p *Player) environ() ([]string, error) {
	bin := filepath.Join(p.dir, "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	if err := os.Symlink(p.opts.Binary, filepath.Join(bin, programName)); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("environment: %w", err)
	}
	env := append(plainEnv(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	for _, e := range p.runner.state.Environ() {
		if key, _, _ := strings.Cut(e, "="); name.MatchString(key) && !slices.Contains([]string{"HOME", "TMPDIR", "PWD"}, key) {
			env = append(env, e)
		}
	}
	for _, key := range []string{leaderVariable, cacheVariable} {
		if value := p.getenv(key); value != "" {
			env = append(env, key+"="+value)
		}
	}
	if p.opts.Running != nil {
		env = append(env, p.opts.Running.Variables...)
	}
	return env, nil
}

// endCommands ends what external commands have left running. The cluster has ended.
func (p *Player) endCommands() {
	for _, pid := range p.commands { // on Linux all that they started, elsewhere what is in their groups
		f := children.Family{Pid: pid, Group: true, Spare: p.strangers}
		if f.Living() > 0 {
			f.End(commandGrace)
		}
	}
}
