//go:build !linux

package machine

// Relax has nothing to do here: timer slack is Linux's.
func Relax() {}
