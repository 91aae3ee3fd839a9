package web

import (
	"net"

	"golang.org/x/sys/unix"
)

// unsentMax is how much of an answer waits in the kernel before it is sent (TCP_NOTSENT_LOWAT, tcp(7)): a writer that waits goes on once
// half of that is sent. Without it Linux has one wait until a third of a buffer of megabytes is free: a client that reads without a pause,
// but slowly, would seem to have stopped.
const unsentMax = 2 * piece

// boundUnsent bounds what waits to be sent at a connection. Where that can't be done slow clients are less well served.
func boundUnsent(nc net.Conn) {
	if over, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = over.NetConn()
	}
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentMax) // see above
	})
}
