package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is what /proc/PID/stat counts in (USER_HZ).
const tick = 10 * time.Millisecond

// stat returns the fields of /proc/PID/stat after the name, which may hold anything:
// the first is the third of proc(5).
func stat(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
}

// processorTime is that of processes, user and system.
func processorTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		if f := stat(pid); len(f) > 12 {
			for _, ticks := range f[11:13] {
				n, _ := strconv.Atoi(ticks) // the kernel's
				sum += time.Duration(n) * tick
			}
		}
	}
	return sum
}

func ownProcessorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// systemCalls is how many system calls of processes read or wrote something.
func systemCalls(pids []int) uint64 { return named(pids, "io", "syscr") + named(pids, "io", "syscw") }

// named returns the sum of a line's number in a file of each process.
func named(pids []int, file, name string) (sum uint64) {
	for _, pid := range pids {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file)) // one that is gone counts nothing
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, name+":"); ok {
				n, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64) // the kernel's
				sum += n
			}
		}
	}
	return sum
}

// writtenBytes is what processes have caused to be written to disks.
func writtenBytes(pids []int) uint64 { return named(pids, "io", "write_bytes") }

// residentBytes is their memory.
func residentBytes(pids []int) uint64 { return named(pids, "status", "VmRSS") << 10 }

// childrenOf returns the children of a process with their arguments.
func childrenOf(parent int) map[int][]string {
	found := make(map[int][]string)
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if f := stat(pid); len(f) < 2 || f[1] != strconv.Itoa(parent) {
			continue
		}
		b, _ := os.ReadFile(dir + "/cmdline") // empty for one that is gone
		found[pid] = strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
	}
	return found
}

// diskRates is how fast the disk writes, MiB/s.
type diskRates struct {
	stream float64 // in one stream, synced at the end
	synced float64 // 64 KiB and an fdatasync at a time
}

func (d diskRates) String() string {
	return fmt.Sprintf("The disk writes %.0f MiB/s in a stream and %.0f MiB/s\nwhere each 64 KiB is synced.", d.stream, d.synced)
}

// diskSpeed measures it.
func diskSpeed(dir string) (d diskRates, err error) {
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return d, err
	}
	defer f.Close()
	const piece, pieces, synced = 64 << 10, 4096, 1024
	block := make([]byte, piece)
	began := time.Now()
	for range pieces {
		if _, err := f.Write(block); err != nil {
			return d, err
		}
	}
	if err := f.Sync(); err != nil {
		return d, err
	}
	d.stream = piece * pieces / (1 << 20) / time.Since(began).Seconds()
	began = time.Now()
	for range synced {
		if _, err := f.Write(block); err != nil {
			return d, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return d, err
		}
	}
	d.synced = piece * synced / (1 << 20) / time.Since(began).Seconds()
	return d, nil
}

// syncTime is the median of an fdatasync after a small append.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	took := make([]time.Duration, 500)
	for i := range took {
		began := time.Now()
		if _, err := f.Write(make([]byte, 512)); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}
