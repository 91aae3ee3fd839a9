//go:build !linux

package machine

// Relax has nothing to do here: timer slack is Linux's.
func Relax() {}

// Relaxes reports whether Relax would start this program anew.
func Relaxes() bool { return false }
