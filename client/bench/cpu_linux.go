package bench

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// procTick is what /proc/PID/stat counts in: USER_HZ, which Linux shows as 100 on
// every architecture that Go runs on.
const procTick = 10 * time.Millisecond

// tcpListen is the state of a listening socket in /proc/net/tcp.
const tcpListen = "0A"

// cpuOfSelf returns the processor time of this process.
func cpuOfSelf() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuOf returns the processor time, user and system, of processes; one that has
// ended counts nothing.
func cpuOf(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			continue
		}
		// proc(5): the name, in parentheses, may hold anything; utime and stime are
		// the 14th and 15th field.
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		for _, f := range fields[11:13] {
			ticks, _ := strconv.ParseInt(f, 10, 64) // the kernel's
			sum += time.Duration(ticks) * procTick
		}
	}
	return sum
}

// listeners returns the processes that listen at those of the addresses that are
// this machine's loopback. Which others can't be seen are left out.
func listeners(addrs []string) (pids []int) {
	sockets := make(map[string]bool)
	for _, addr := range addrs {
		host, port, err := net.SplitHostPort(addr)
		ip := net.ParseIP(host)
		if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			continue
		}
		n, _ := strconv.Atoi(port) // was connected to
		for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
			if inode := listening(table, n); inode != "" {
				sockets["socket:["+inode+"]"] = true
			}
		}
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is well formed
	for _, file := range files {
		target, err := os.Readlink(file)
		if err != nil || !sockets[target] {
			continue // another user's, or gone
		}
		pid, _ := strconv.Atoi(strings.Split(file, "/")[2])
		if !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// listening returns the inode of the socket that listens at a port.
func listening(table string, port int) string {
	f, err := os.Open(table)
	if err != nil {
		return ""
	}
	defer f.Close() // read only
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// number, local address, remote address, state, …, inode (10th)
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != tcpListen {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		if n, err := strconv.ParseInt(hex, 16, 32); err == nil && int(n) == port {
			return fields[9]
		}
	}
	return ""
}
