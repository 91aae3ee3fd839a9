//go:build !linux

package children

import "syscall"

// Adopt has nothing to offer here: a Family is no more than a process group.
func Adopt() error { return nil }

// Signal signals all of the family, and returns how many it may not signal.
func (f Family) Signal(sig syscall.Signal) (denied int) {
	if f.Pid == 0 || syscall.Kill(f.target(), sig) != syscall.EPERM {
		return 0
	}
	return 1
}

// Living is how many of the family have not ended, as far as is known: 1, or 0.
func (f Family) Living() int {
	if f.Pid == 0 || syscall.Kill(f.target(), 0) == syscall.ESRCH {
		return 0
	}
	return 1
}

// Reap has nothing to do: init adopts what is left behind.
func (f Family) Reap() {}

func (f Family) target() int {
	if f.Group {
		return -f.Pid
	}
	return f.Pid
}

// Descendants would be those of this process; they are not known here.
func Descendants() []int { return nil }
