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

// What a command under a lock finds in its environment.
const (
	lockEnv  = "VIEWRING_LOCK"
	tokenEnv = "VIEWRING_TOKEN"
)

// exitSignalled is what a shell adds to the number of the signal that ended a
// command; 126 and 127 say that it could not be run, or found.
const (
	exitSignalled  = 128
	exitCannotRun  = 126
	exitNoCommand  = 127
	unlockPatience = 5 * time.Second // for giving the lock back
)

// lockRun takes a lock in a session of its own and runs a command under it.
func (a *app) lockRun(ctx context.Context, lock, holder string, command []string, f *lockGetFlags) error {
	cmd := exec.Command(command[0], command[1:]...)
	if cmd.Err != nil {
		return codeError{exitNoCommand, fmt.Errorf("%s: %w", command[0], cmd.Err)}
	}
	waiting, cancel := a.deadline(ctx)
	defer cancel()
	c, err := a.open(waiting)
	if err != nil {
		return err
	}
	defer c.Close()
	s, err := c.OpenSession(waiting, f.SessionOptions)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockPatience)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			fmt.Fprintf(a.env.Stderr, "%v: the lock is free within %v\n", err, f.SessionOptions.TTL+f.LockDelay)
		}
	}()
	f.OnDeadlock = a.tellDeadlock
	grant, err := s.LockGet(waiting, lock, holder, f.LockOptions)
	if err != nil {
		return a.notGranted(waiting, lock, err)
	}
	cancel()
	cmd.Env = append(os.Environ(), lockEnv+"="+lock, tokenEnv+"="+strconv.FormatUint(grant.Token, 10))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.env.Stdin, a.env.Stdout, a.env.Stderr
	return a.runLocked(cmd, s, f, lock)
}

// runLocked runs the command until it ends, passing on the signals that this
// process gets, or until the lock is lost.
func (a *app) runLocked(cmd *exec.Cmd, s *client.Session, f *lockGetFlags, lock string) error {
	runtime.LockOSThread() // on Linux the command dies with the thread that started it
	defer runtime.UnlockOSThread()
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
	if f.ttl > 0 {
		timer := time.NewTimer(f.ttl - f.ttl/10) // the view leader has counted a little longer
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case err := <-ended:
			return exitOf(cmd, err)
		case sig := <-signals:
			killGroup(cmd, sig.(syscall.Signal))
		case <-s.Done():
			return a.lockLost(cmd, ended, f, fmt.Errorf("lock %q is lost: %w", lock, s.Err()))
		case <-over:
			return a.lockLost(cmd, ended, f, fmt.Errorf("lock %q is lost: its --ttl %v is over", lock, f.ttl))
		}
	}
}

// lockLost ends a command whose lock is lost, within half of the lock delay.
func (a *app) lockLost(cmd *exec.Cmd, ended <-chan error, f *lockGetFlags, why error) error {
	fmt.Fprintf(a.env.Stderr, "%v: ending the command\n", why)
	killGroup(cmd, syscall.SIGTERM)
	timer := time.NewTimer(f.LockDelay / 2)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
		killGroup(cmd, syscall.SIGKILL) // what it started and left behind
		return codeError{exitRefused, why}
	}
	killGroup(cmd, syscall.SIGKILL)
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
