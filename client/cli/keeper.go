package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"viewring/client/cli/children"
)

// A command that runs while a session goes on has three processes:
//
//	guard   what the user has started, and the shell's job. It passes on signals.
//	keeper  a child of the guard that has the session, in a process group of its own:
//	        Ctrl-Z stops the guard and the command, but not the lock.
//	command a child of the keeper, at a terminal in the guard's process group: they are
//	        one job.
//
// Whichever of guard and keeper survives the other ends the command with all that it
// started. The kernel kills a keeper that is stopped before its session is over, and
// with a keeper its command.

// keeperFlag makes a process a keeper; its value is the guard's process group.
const keeperFlag = "keeper"

// keeping is what a keeper knows of its guard. The zero value is of no keeper.
type keeping struct {
	group int           // the guard's process group
	gone  chan struct{} // closed when the guard has ended
}

// addKeeperFlag adds the flag of keepers, which is not for people.
func (a *app) addKeeperFlag(root *cobra.Command) {
	root.PersistentFlags().IntVar(&a.keeper.group, keeperFlag, 0, "run as the keeper of a guard in this process `group`")
	_ = root.PersistentFlags().MarkHidden(keeperFlag) // it exists
}

// guarded makes a command's run: in a process without a guard it is a guard, whose keeper runs
// keep.
func (a *app) guarded(ctx context.Context, keep func(context.Context) error) error {
	if a.keeper.group == 0 {
		return a.guard(ctx)
	}
	syscall.CloseOnExec(children.PipeFD)
	if err := children.Adopt(); err != nil {
		return codeError{exitCannotRun, err}
	}
	a.keeper.gone = make(chan struct{})
	guard := children.WithParent(context.WithoutCancel(ctx)) // also after a signal that the command outlives
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the guard, or with this process
		<-guard.Done()
		close(a.keeper.gone)
		cancel()
	}()
	signal.Ignore(syscall.SIGTTOU) // to be heard on a terminal whatever its foreground is
	if !signal.Ignored(syscall.SIGHUP) {
		var stop func()
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
		defer stop()
	}
	return keep(ctx)
}

// heeded are those of the signals that whoever started this process did not have it ignore, as
// nohup does with SIGHUP.
func heeded(signals ...os.Signal) (left []os.Signal) {
	for _, s := range signals {
		if !signal.Ignored(s) {
			left = append(left, s)
		}
	}
	return left
}

// guard runs this command line once more as a keeper, and ends as that does.
func (a *app) guard(ctx context.Context) error {
	family := children.Family{Spare: children.Descendants()}
	if err := children.Adopt(); err != nil {
		return codeError{exitCannotRun, err}
	}
	reading, writing, err := os.Pipe()
	if err != nil {
		return codeError{exitCannotRun, fmt.Errorf("pipe to the keeper: %w", err)}
	}
	defer writing.Close() // it is never written to: its end tells the keeper
	cmd := exec.Command(a.env.Executable, append([]string{"--" + keeperFlag, strconv.Itoa(syscall.Getpgrp())}, a.args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.env.Stdin, a.stdout, a.env.Stderr
	cmd.Env = a.environment()
	cmd.ExtraFiles = []*os.File{reading}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	signals := make(chan os.Signal, 8)
	if wanted := heeded(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT); len(wanted) > 0 {
		signal.Notify(signals, wanted...)
		defer signal.Stop(signals)
	}
	err = cmd.Start()
	_ = reading.Close() // the keeper has its own
	if err != nil {
		return codeError{exitCannotRun, fmt.Errorf("start the keeper: %w", err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	over := ctx.Done()
	if !a.env.Nested {
		over = nil // signals have ended it, and are passed on
	}
	for {
		select {
		case err := <-ended:
			return a.keeperEnded(cmd, family, err)
		case sig := <-signals:
			_ = cmd.Process.Signal(sig) // it may have ended meanwhile
		case <-over:
			over = nil
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}
}

// environment is that of a keeper: a script's own cluster is known to its commands alone.
func (a *app) environment() []string {
	if !a.env.Nested {
		return os.Environ()
	}
	variables := variablesOf(a.command.Root())
	env := without(os.Environ(), variables)
	for name := range variables {
		if text := a.env.Getenv(name); text != "" {
			env = append(env, name+"="+text)
		}
	}
	return append(env, "XDG_CACHE_HOME="+a.env.Getenv("XDG_CACHE_HOME"))
}

// keeperEnded passes the keeper's exit code on, or ends what a keeper that was killed has left.
func (a *app) keeperEnded(cmd *exec.Cmd, family children.Family, err error) error {
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return exitOf(cmd, err)
	}
	why := fmt.Errorf("the process %d that kept the session was ended by a signal (%v), or stood still for too long: so is the command",
		cmd.Process.Pid, status.Signal())
	if left := family.End(0); left > 0 {
		return codeError{exitRefused, errors.Join(why, cannotEnd(left))}
	}
	return codeError{exitRefused, why}
}

// cannotEnd says that processes run on.
func cannotEnd(n int) error {
	return fmt.Errorf("%d of its processes cannot be ended: they run as another user", n)
}
