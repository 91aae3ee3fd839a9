package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"viewring/client"
	"viewring/client/cli/children"
)

// exitSignalled is what a shell adds to the number of the signal that ended a
// command; 126 and 127 say that it could not be run, or found.
const (
	exitSignalled = 128
	exitCannotRun = 126
	exitNoCommand = 127
	closePatience = 5 * time.Second // for ending a session
	leftPatience  = 2 * time.Second // from SIGTERM to SIGKILL, for what a command leaves running
	watchEvery    = 50 * time.Millisecond
)

// program is a command to run with this process's input and output.
func (a *app) program(args []string) (*exec.Cmd, error) {
	cmd := exec.Command(args[0], args[1:]...)
	if cmd.Err != nil {
		return nil, codeError{exitNoCommand, fmt.Errorf("%s: %w", args[0], cmd.Err)}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.env.Stdin, a.stdout, a.env.Stderr
	return cmd, nil
}

// closeSession ends a session, or says what follows where it can't.
func (a *app) closeSession(ctx context.Context, s *client.Session, otherwise string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		a.tell("%v: %s\n", err, otherwise)
	}
}

// sessionRun is a command that runs while a session goes on.
type sessionRun struct {
	cmd     *exec.Cmd
	session *client.Session
	until   time.Time     // when it loses what it runs for; zero: with the session
	ttl     time.Duration // for messages, where until is set
	grace   time.Duration // from SIGTERM to SIGKILL, once that is lost
	what    string        // that is, as messages say

	family children.Family
}

// expire has the command lose what it runs for after ttl, unless that is 0. The view leader
// counts from when it granted it: the command is told a tenth earlier, and gone before.
func (r *sessionRun) expire(ttl time.Duration) {
	if ttl > 0 {
		r.ttl, r.until = ttl, time.Now().Add(ttl-ttl/10)
	}
}

// patience is from SIGTERM to SIGKILL once the session is lost, or else what it was to be until.
func (r *sessionRun) patience() time.Duration {
	if r.ttl > 0 && r.session.Err() == nil {
		return min(r.grace, r.ttl/20)
	}
	return r.grace
}

// watch lets the kernel kill this process a little after the command had to be gone, until it
// is stopped. That is before others may have what it runs for.
func (r *sessionRun) watch() (stop func(), err error) {
	watchdog, err := children.NewWatchdog()
	if err != nil {
		return nil, codeError{exitCannotRun, err}
	}
	set := func() {
		left := time.Until(r.session.Until()) + r.grace + r.grace/5
		if r.ttl > 0 {
			left = min(left, time.Until(r.until)+r.ttl/15)
		}
		watchdog.Set(left)
	}
	set()
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				set()
			case <-over:
				return
			}
		}
	})
	return func() {
		close(over)
		watching.Wait()
		watchdog.Stop()
	}, nil
}

// start starts the command, in the process group of the guard where that may be the terminal's.
// Elsewhere it has one of its own: in the guard's it would be all that ties that group to another
// one of the session, and where it ends while the guard is stopped, the kernel hangs up on groups
// that have no such tie.
func (a *app) start(r *sessionRun) error {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if terminalGroup() != 0 {
		attributes.Pgid = a.keeper.group
	}
	children.DieWithParent(attributes)
	r.cmd.SysProcAttr = attributes
	signal.Reset(syscall.SIGTTOU) // for the command
	err := r.cmd.Start()
	signal.Ignore(syscall.SIGTTOU)
	if err != nil {
		return codeError{exitCannotRun, fmt.Errorf("%s: %w", r.cmd.Path, err)}
	}
	r.family = children.Family{Pid: r.cmd.Process.Pid, Group: attributes.Pgid == 0}
	return nil
}

// runInSession runs a command until it ends, passing on the signals that this
// process gets, or until what it runs for is lost.
func (a *app) runInSession(r *sessionRun) error {
	runtime.LockOSThread() // on Linux the command dies with the thread that started it
	defer runtime.UnlockOSThread()
	signals, ended := make(chan os.Signal, 8), make(chan os.Signal, 1)
	if wanted := heeded(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT); len(wanted) > 0 {
		signal.Notify(signals, wanted...)
		defer signal.Stop(signals)
	}
	signal.Notify(ended, syscall.SIGCHLD)
	defer signal.Stop(ended)
	unwatch, err := r.watch()
	if err != nil {
		return err
	}
	defer unwatch()
	if err := a.start(r); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- r.cmd.Wait() }()
	var over <-chan time.Time
	if r.ttl > 0 {
		timer := time.NewTimer(time.Until(r.until))
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case err := <-done:
			return a.endLeft(r, err)
		case <-ended:
			r.family.Reap()
		case sig := <-signals:
			a.passOn(r, sig.(syscall.Signal))
		case <-a.keeper.gone:
			r.family.End(leftPatience)
			<-done
			return codeError{exitUnknown, errors.New("the process that started the command was killed")}
		case <-r.session.Done():
			return a.endLost(r, done, fmt.Errorf("%s is lost: %w", r.what, r.session.Err()))
		case <-over:
			return a.endLost(r, done, fmt.Errorf("%s is lost: its --ttl %v is over", r.what, r.ttl))
		}
	}
}

// passOn passes a signal on, unless the terminal has sent it to the command too.
func (a *app) passOn(r *sessionRun, sig syscall.Signal) {
	fromTerminal := sig == syscall.SIGINT || sig == syscall.SIGQUIT
	if !fromTerminal || r.family.Group || terminalGroup() != a.keeper.group {
		r.family.Signal(sig)
	}
}

// terminalGroup is the process group in the foreground of this process's terminal; 0: it has none.
func terminalGroup() int {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return 0
	}
	defer terminal.Close()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return group
}

// endLeft ends what a command that has ended left running.
func (a *app) endLeft(r *sessionRun, err error) error {
	if n := r.family.Living(); n > 0 {
		a.tell("%s that the command left running, now ended: %s is released\n", processes(n), r.what)
		if left := r.family.End(leftPatience); left > 0 {
			a.tell("%v\n", cannotEnd(left))
		}
	}
	return exitOf(r.cmd, err)
}

// processes is a number of them.
func processes(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// endLost ends a command that runs for what is lost.
func (a *app) endLost(r *sessionRun, done <-chan error, why error) error {
	a.tell("%v: ending the command\n", why)
	if left := r.family.End(r.patience()); left > 0 {
		return codeError{exitRefused, errors.Join(why, cannotEnd(left))}
	}
	<-done
	return codeError{exitRefused, why}
}

// exitOf passes a command's exit code on.
func exitOf(cmd *exec.Cmd, err error) error {
	var exit *exec.ExitError
	if err == nil {
		return nil
	}
	if !errors.As(err, &exit) {
		return fmt.Errorf("%s: %w", cmd.Path, err)
	}
	code := exit.ExitCode()
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = exitSignalled + int(status.Signal())
	}
	return silentExit{code}
}

// silentExit is the exit code of somebody else's command, who has said why.
type silentExit struct{ code int }

func (e silentExit) Error() string { return "exit code " + strconv.Itoa(e.code) }
