//go:build !linux

package unit

// monotonic has nothing to say: only Linux has systemd.
func monotonic() string { return "" }
