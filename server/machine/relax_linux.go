package machine

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// timerSlack is by how much the kernel may let a sleeping thread of a server wake
// late, nanoseconds. Timers are that late at most: of a server's only gatherMax is
// shorter, and there it means that a slow disk holds up reads for 3 ms instead of 1.
const timerSlack = 2_000_000

// slackEnv marks a process that has started itself again.
const slackEnv = "VIEWRING_TIMER_SLACK"

// Relaxes reports whether Relax would start this program anew.
func Relaxes() bool { return os.Getenv(slackEnv) == "" }

// Relax gives the process the timer slack above; a server's calls it before Start.
//
// While a thread sits in a system call, as one that syncs does nearly always here, the
// Go runtime's monitor looks after it every 20 µs: with the usual slack of 50 µs it wakes
// 14,000 times a second, which took 13 % of the processor time of a server under load.
// And it hands the processor of a thread that syncs to another thread, which has to wake
// for it, and give it back; most syncs take less than this slack and are left alone.
// Threads take over the slack of the thread that starts them, and the monitor runs before
// any code of ours: so the process replaces itself by a new run of the same program, in
// which the slack is set from the start. Where that does not work out everything runs as
// well, at more cost.
func Relax() {
	if !Relaxes() {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	executable, err := os.Executable()
	if err != nil || unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlack, 0, 0, 0) != nil {
		return
	}
	_ = syscall.Exec(executable, os.Args, append(os.Environ(), slackEnv+"=1")) // returns when it fails
}
