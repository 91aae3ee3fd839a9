package children

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Adopt makes this process the parent of what its descendants leave behind, in place of init:
// nothing that they start gets out of its sight, in whatever session or group it runs.
func Adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("adopt orphaned processes: %w", err)
	}
	return nil
}

// Signal signals all of the family, and returns how many it may not signal.
func (f Family) Signal(sig syscall.Signal) (denied int) {
	for _, pid := range f.living() {
		if syscall.Kill(pid, sig) == syscall.EPERM {
			denied++
		}
	}
	return denied
}

// Living is how many of the family have not ended.
func (f Family) Living() int { return len(f.living()) }

// Reap forgets those of the family that have ended as children of this process, but for the
// command, for which its owner waits.
func (f Family) Reap() { f.living() }

// living returns the descendants of this process that have not ended, and reaps those that have.
func (f Family) living() (pids []int) {
	parents := processes()
	for pid, p := range parents {
		switch {
		case !p.ended && f.has(parents, pid):
			pids = append(pids, pid)
		case p.ended && p.parent == os.Getpid() && pid != f.Pid && !slices.Contains(f.Spare, pid):
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil) // somebody has been faster
		}
	}
	return pids
}

// process is what is known of one: the parent's id, and whether it has ended.
type process struct {
	parent int
	ended  bool
}

// processes are all that can be seen, by their ids.
func processes() map[int]process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil // a system without /proc has no descendants to show
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what was read before an error counts
	all := make(map[int]process, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended meanwhile
		}
		// PID (NAME) STATE PARENT …, where a name may have any bytes.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 2 {
			continue
		}
		parent, err := strconv.Atoi(string(fields[1]))
		if err == nil {
			all[pid] = process{parent, fields[0][0] == 'Z' || fields[0][0] == 'X'}
		}
	}
	return all
}

// has reports whether a process descends from this one, and from none that is spared. What was
// read while parents changed may have a circle.
func (f Family) has(all map[int]process, pid int) bool {
	for range len(all) {
		p, ok := all[pid]
		if !ok || slices.Contains(f.Spare, pid) {
			return false
		}
		if p.parent == os.Getpid() {
			return true
		}
		pid = p.parent
	}
	return false
}

// Descendants are those of this process that have not ended.
func Descendants() []int { return Family{}.living() }
