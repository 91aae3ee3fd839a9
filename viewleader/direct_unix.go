//go:build unix

package viewleader

import "syscall"

// writeNow writes what the network takes at once, and returns how much that is.
func writeNow(c syscall.RawConn, b []byte) (n int) {
	err := c.Write(func(fd uintptr) bool {
		n, _ = syscall.Write(int(fd), b) // who writes the rest finds the error
		return true
	})
	if err != nil {
		return 0
	}
	return max(n, 0)
}
