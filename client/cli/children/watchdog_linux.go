package children

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watchdog lets the kernel kill this process at a time that it can put off: also when it is
// stopped, and as soon as the machine wakes when it slept meanwhile.
type Watchdog struct{ id int32 }

// sigevent is struct sigevent of Linux, as far as it is used: a signal to this process.
type sigevent struct {
	value  uintptr
	signal int32
	notify int32
	_      [48]byte
}

// NewWatchdog returns one that waits for Set.
func NewWatchdog() (*Watchdog, error) {
	event := sigevent{signal: int32(syscall.SIGKILL)} // notify 0 is SIGEV_SIGNAL
	var w Watchdog
	if _, _, err := unix.Syscall(unix.SYS_TIMER_CREATE, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&w.id))); err != 0 {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	return &w, nil
}

// Set lets this process live for so long from now on.
func (w *Watchdog) Set(d time.Duration) {
	w.set(max(d, 1)) // 0 would stop it
}

// Stop lets it live.
func (w *Watchdog) Stop() { w.set(0) }

func (w *Watchdog) set(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if _, _, err := unix.Syscall6(unix.SYS_TIMER_SETTIME, uintptr(w.id), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0); err != 0 {
		panic(fmt.Sprintf("watchdog: set a timer that exists: %v", err))
	}
}
