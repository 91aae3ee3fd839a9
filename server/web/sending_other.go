//go:build !linux

package web

import "net"

// boundUnsent bounds what waits to be sent at a connection: see sending_linux.go.
func boundUnsent(net.Conn) {}
