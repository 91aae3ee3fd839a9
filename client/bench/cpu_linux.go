package bench

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
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

// cpuOf returns the processor time, user and system, of each of the processes that
// has not ended.
func cpuOf(pids []int) map[int]time.Duration {
	used := make(map[int]time.Duration)
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
			used[pid] += time.Duration(ticks) * procTick
		}
	}
	return used
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
			for _, inode := range listening(table, ip, n) {
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

// listening returns the inodes of the sockets that listen at a port of an address, or of all addresses;
// nil stands for any.
func listening(table string, ip net.IP, port int) (inodes []string) {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close() // read only
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// number, local address, remote address, state, …, inode (10th)
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != tcpListen {
			continue
		}
		at, number, _ := strings.Cut(fields[1], ":")
		if n, err := strconv.ParseInt(number, 16, 32); err != nil || int(n) != port {
			continue
		}
		if there := addressOf(at); ip == nil || there.IsUnspecified() || there.Equal(ip) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// addressOf reads an address as the kernel's tables have it: words of 32 bits, each as this machine
// keeps a number. nil: it is none.
func addressOf(text string) net.IP {
	words, err := hex.DecodeString(text)
	if err != nil || len(words)%4 != 0 {
		return nil
	}
	ip := make(net.IP, 0, len(words))
	for ; len(words) > 0; words = words[4:] {
		ip = binary.NativeEndian.AppendUint32(ip, binary.BigEndian.Uint32(words))
	}
	return ip
}
