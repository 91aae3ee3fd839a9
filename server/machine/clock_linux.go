package machine

import (
	"time"

	"golang.org/x/sys/unix"
)

// Monotonic reads the clock that also runs while the machine is suspended: a
// lease must not look young after a sleep. Go's own clock stands still then.
func Monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("CLOCK_BOOTTIME: " + err.Error()) // there since Linux 2.6.39
	}
	return time.Duration(ts.Nano())
}
