package port

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// holder is a socket that has a port.
type holder struct {
	state string // as in Linux's include/net/tcp_states.h, two hexadecimal digits
	inode string // "0": of no process any more
}

// States of a socket.
const (
	stateTimeWait = "06"
	stateListen   = "0A"
)

// String tells who it is and what for.
func (h holder) String() string {
	who := programOf(h.inode)
	if who == "" {
		who = "a program that this user may not see"
	}
	switch h.state {
	case stateListen:
		return who + " listens there"
	case stateTimeWait:
		return "a connection from there has just ended, and keeps it for up to a minute"
	}
	return who + " has a connection from there"
}

func listened(holders []holder) bool {
	return slices.ContainsFunc(holders, func(h holder) bool { return h.state == stateListen })
}

// taken adds to the error of a port in use who has it.
func taken(err error, holders []holder) error {
	if len(holders) == 0 {
		return err
	}
	i := slices.IndexFunc(holders, func(h holder) bool { return h.state == stateListen })
	return fmt.Errorf("%w: %v", err, holders[max(0, i)])
}

// holdersOf looks up who keeps others from listening at addr; nil where the system does
// not say. See proc_pid_net(5) and proc_pid_fd(5).
func holdersOf(addr string) (holders []holder) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 10 || fields[0] == "sl" {
				continue
			}
			if ip, port, err := parseEndpoint(fields[1]); err == nil && port == tcp.Port && overlap(ip, tcp.IP) {
				holders = append(holders, holder{fields[3], fields[9]})
			}
		}
	}
	return holders
}

// parseEndpoint reads ADDRESS:PORT as Linux writes it: each four bytes of the address
// are a number in the machine's order, little-endian wherever this runs.
func parseEndpoint(text string) (net.IP, int, error) {
	address, port, ok := strings.Cut(text, ":")
	ip, err := hex.DecodeString(address)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err = errors.Join(err, err2); err != nil || !ok || len(ip) != net.IPv4len && len(ip) != net.IPv6len {
		return nil, 0, fmt.Errorf("endpoint %q: %w", text, err)
	}
	for word := range slices.Chunk(ip, 4) {
		slices.Reverse(word)
	}
	return ip, int(n), nil
}

// overlap reports whether a socket at one address keeps others from another one.
func overlap(a, b net.IP) bool {
	return len(b) == 0 || a.IsUnspecified() || b.IsUnspecified() || a.Equal(b)
}

// programOf finds the process that has a socket open; "" where nobody is seen to.
func programOf(inode string) string {
	if inode == "0" {
		return ""
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is a good one
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "socket:["+inode+"]" {
			pid := strings.Split(fd, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm") // it may have ended
			return fmt.Sprintf("%q (process %s)", strings.TrimSpace(string(name)), pid)
		}
	}
	return ""
}
