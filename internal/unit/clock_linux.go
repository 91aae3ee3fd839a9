package unit

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// monotonic is when the process began to read its files again, for units of Type=notify-reload.
func monotonic() string {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return ""
	}
	return fmt.Sprintf("MONOTONIC_USEC=%d\n", now.Nano()/1000)
}
