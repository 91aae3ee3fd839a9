package play

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports of private clusters lie below those that the kernel gives to outgoing
// connections: a killed process must find its port free when it comes back.
const (
	privatePortFirst = 20000
	privatePorts     = 12000
)

// privateAddr finds a free port for a private cluster.
func privateAddr() (string, error) {
	start := rand.IntN(privatePorts)
	for i := range privatePorts {
		addr := loopback(privatePortFirst + (start+i)%privatePorts)
		if Free(addr) {
			return addr, nil
		}
	}
	return "", fmt.Errorf("no free port from %d on", privatePortFirst)
}

// publicAddr finds a free port for a server that people look for, as servers do.
func publicAddr(first, last int) (string, error) {
	for port := first; port <= last; port++ {
		if addr := loopback(port); Free(addr) {
			return addr, nil
		}
	}
	return "", fmt.Errorf("no free port from %d to %d", first, last)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Free reports whether one can listen at addr now.
func Free(addr string) bool {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	return l.Close() == nil
}
