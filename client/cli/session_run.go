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
	"syscall"
	"time"

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
)

// program is a command to run with this process's input and output.
func (a *app) program(args []string) (*exec.Cmd, error) {
	cmd := exec.Command(args[0], args[1:]...)
	if cmd.Err != nil {
		return nil, codeError{exitNoCommand, fmt.Errorf("%s: %w", args[0], cmd.Err)}
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.env.Stdin, a.env.Stdout, a.env.Stderr
	return cmd, nil
}

// closeSession ends a session, or says what follows where it can't.
func (a *app) closeSession(ctx context.Context, s *client.Session, otherwise string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		fmt.Fprintf(a.env.Stderr, "%v: %s\n", err, otherwise)
	}
}

// sessionRun is a command that runs while a session goes on.
type sessionRun struct {
	cmd     *exec.Cmd
	session *client.Session
	ttl     time.Duration // for which it holds what it runs for; 0: as long as the session
	grace   time.Duration // from SIGTERM to SIGKILL, once that is lost
	what    string        // that is, as messages say
}

// runInSession runs a command until it ends, passing on the signals that this
// process gets, or until what it runs for is lost.
func (a *app) runInSession(r *sessionRun) error {
	runtime.LockOSThread() // on Linux the command dies with the thread that started it
	defer runtime.UnlockOSThread()
	cmd := r.cmd
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	if cmd.SysProcAttr = children.Attributes(); cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return codeError{exitCannotRun, fmt.Errorf("%s: %w", cmd.Path, err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var over <-chan time.Time
	if r.ttl > 0 {
		timer := time.NewTimer(r.ttl - r.ttl/10) // the view leader has counted a little longer
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case err := <-ended:
			return exitOf(cmd, err)
		case sig := <-signals:
			killGroup(cmd, sig.(syscall.Signal))
		case <-r.session.Done():
			return a.endLost(r, ended, fmt.Errorf("%s is lost: %w", r.what, r.session.Err()))
		case <-over:
			return a.endLost(r, ended, fmt.Errorf("%s is lost: its --ttl %v is over", r.what, r.ttl))
		}
	}
}

// endLost ends a command that runs for what is lost.
func (a *app) endLost(r *sessionRun, ended <-chan error, why error) error {
	fmt.Fprintf(a.env.Stderr, "%v: ending the command\n", why)
	killGroup(r.cmd, syscall.SIGTERM)
	timer := time.NewTimer(r.grace)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
		killGroup(r.cmd, syscall.SIGKILL) // what it started and left behind
		return codeError{exitRefused, why}
	}
	killGroup(r.cmd, syscall.SIGKILL)
	<-ended
	return codeError{exitRefused, why}
}

// killGroup signals the command and all that it started, if they are still there.
func killGroup(cmd *exec.Cmd, sig syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, sig) }

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
