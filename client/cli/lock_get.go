package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"viewring/client"
)

// lockGetFlags are what lock_get was told.
type lockGetFlags struct {
	client.LockOptions
	client.SessionOptions
	wait       time.Duration
	ttl        time.Duration
	onDeadlock string
}

func (a *app) lockGetCmd() *cobra.Command {
	var f lockGetFlags
	cmd := &cobra.Command{
		Use:   "lock_get LOCK CLIENT [-- COMMAND…]",
		Short: "take a named lock, in line for it; run a command under it",
		Long: `Take the lock LOCK for CLIENT, a name of your choice, and print its fencing
token. Who asks first gets it first; asking again for a lock that CLIENT holds
is fine. It is held until lock_release, or until --ttl is over. With --shared
it is held together with other readers; who wants it alone waits for all of
them, and no reader passes who waits before it.

With a COMMAND the lock is held while that runs, in a session that ends with
it, and the exit code is the command's (128 and more: a signal). It finds
$VIEWRING_LOCK and $VIEWRING_TOKEN. The command ends with all that it started,
before another gets the lock: what it leaves running, when this process is
killed, and when the lock is lost, because no view leader heard of it for
--session-ttl or because --ttl is over. That is SIGTERM, and soon SIGKILL; of a
lost lock within half of --lock-delay, for which it is kept from others, and
exit code 4. Ctrl-Z stops the command, and the lock stays.

--wait bounds the waiting, and --timeout does where it is not given; --wait 0
tries once. A lock that others hold by then is exit code 4. No answer of a view
leader is exit code 3. A client whose wait would
complete a deadlock is refused, exit code 4, or waits with --on-deadlock wait;
every client in the deadlock is told.`,
		Example: `  viewring lock_get backups alice
  viewring lock_get backups bob --wait 0
  viewring lock_get backups carol --wait 10m -- ./backup.sh --full
  viewring lock_get catalog reader1 --shared`,
		Args: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				if dash == len(args) {
					return usagef("%s: the command after -- is missing", cmd.CommandPath())
				}
				args = args[:dash]
			}
			return wants("LOCK", "CLIENT")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(a, cmd, len(args) > 2); err != nil {
				return err
			}
			if len(args) > 2 {
				return a.guarded(cmd.Context(), func(ctx context.Context) error {
					return a.lockRun(ctx, args[0], args[1], args[2:], &f)
				})
			}
			return a.lockGet(cmd.Context(), args[0], args[1], &f)
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&f.wait, "wait", -1, "wait this long in line (default: as long as --timeout allows)")
	flags.DurationVar(&f.ttl, "ttl", 0, "release the lock after this long (default: never)")
	flags.BoolVar(&f.Shared, "shared", false, "hold it together with other readers")
	flags.StringVar(&f.onDeadlock, "on-deadlock", "fail", "what to do where waiting completes a deadlock: `fail`, or wait")
	flags.DurationVar(&f.SessionOptions.TTL, "session-ttl", 10*time.Second, "with COMMAND: the lock is lost after this long without news of this process")
	flags.DurationVar(&f.LockDelay, "lock-delay", time.Second, "with COMMAND: keep a lost lock from others for this long")
	return cmd
}

func (f *lockGetFlags) check(a *app, cmd *cobra.Command, command bool) error {
	switch {
	case f.wait < 0 && cmd.Flag("wait").Changed || f.ttl < 0:
		return usagef("--wait and --ttl cannot be negative")
	case f.onDeadlock != "fail" && f.onDeadlock != "wait":
		return usagef("--on-deadlock must be fail or wait, not %q", f.onDeadlock)
	case !command && (a.typed(cmd, "session-ttl") || a.typed(cmd, "lock-delay")):
		return usagef("--session-ttl and --lock-delay are for lock_get LOCK CLIENT -- COMMAND")
	case f.SessionOptions.TTL < time.Second || f.LockDelay < 0:
		return usagef("--session-ttl is a second or more, and --lock-delay cannot be negative")
	}
	f.LockOptions.Wait, f.LockOptions.TTL, f.WaitInDeadlock = f.wait, f.ttl, f.onDeadlock == "wait"
	return nil
}

// answerShare is the part of --timeout that is left for the view leader's last word.
const answerShare = 10

// waitUntil has the view leader end the wait a little before the command would: it knows who
// holds the lock.
func (f *lockGetFlags) waitUntil(ctx context.Context) {
	if at, ok := ctx.Deadline(); ok {
		left := time.Until(at)
		left -= min(left/answerShare, time.Second)
		if f.wait < 0 || f.wait > left {
			f.LockOptions.Wait = max(0, left)
		}
	}
}

func (a *app) lockGet(ctx context.Context, lock, holder string, f *lockGetFlags) error {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	c, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	f.OnDeadlock = a.tellDeadlock
	f.waitUntil(ctx)
	grant, err := c.LockGet(ctx, lock, holder, f.LockOptions)
	if err != nil {
		return a.notGranted(ctx, lock, err)
	}
	a.say(map[string]any{"lock": []byte(lock), "client": []byte(holder), "token": grant.Token}, "%d", grant.Token)
	return nil
}

func (a *app) tellDeadlock(cycle string) { a.tell("deadlock, %s\n", cycle) }

// notGranted says how the wait for a lock ended.
func (a *app) notGranted(ctx context.Context, lock string, err error) error {
	perhaps := ""
	switch {
	case ctx.Err() == nil:
		return err
	case errors.Is(err, client.ErrUnknownOutcome):
		perhaps = ", but it may have been granted: 'viewring locks' shows who has it"
	case !errors.Is(err, client.ErrUnreachable):
		return err
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return codeError{exitUnknown, fmt.Errorf("lock %q: interrupted while waiting for it%s", lock, perhaps)}
	}
	return codeError{exitUnknown, fmt.Errorf("lock %q: no view leader answered within %v (%s)%s", lock, a.flags.timeout, strings.Join(a.leaders(), ", "), perhaps)}
}
