//go:build unix

package files

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Limit returns how many descriptors this process may have; 0: nobody knows.
func Limit() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur > 1<<30 {
		return 0
	}
	return int(l.Cur)
}

// InUse returns about how many descriptors there are: the lowest that is free. It is Limit
// where none is.
func InUse() int {
	n, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		if err == unix.EMFILE {
			return Limit()
		}
		return 0 // the standard input is closed
	}
	_ = unix.Close(n) // a copy
	return n
}

// Of returns the descriptor of a connection; 0: it has none that is known.
func Of(nc net.Conn) (descriptor int) {
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = over.NetConn()
	}
	own, ok := nc.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := own.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { descriptor = int(fd) }) // a closed one has none
	return descriptor
}
