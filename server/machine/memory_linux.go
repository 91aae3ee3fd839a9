package machine

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Memory returns the bytes of memory that this process may use at most.
func Memory() int64 {
	all := int64(0)
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil { // it does not fail
		all = int64(info.Totalram) * int64(info.Unit)
	}
	if limit := groupMemory(os.DirFS("/")); limit > 0 && limit < all {
		return limit
	}
	return all
}

// groupMemory returns the least limit of the control groups that the process is in, of
// both versions (cgroups(7)), 0 where there is none. In a container the groups' names may
// be the host's; the root that is seen there is then the container's.
func groupMemory(root fs.FS) int64 {
	least := int64(0)
	take := func(mount, group, file string) {
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			b, err := fs.ReadFile(root, path.Join(mount, group, file))
			n, bad := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64) // or the word max
			if err == nil && bad == nil && n > 0 && (least == 0 || n < least) {
				least = n
			}
			if group == "/" {
				return
			}
		}
	}
	groups, _ := fs.ReadFile(root, "proc/self/cgroup") // without it there are no groups
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			switch controller {
			case "":
				take("sys/fs/cgroup", parts[2], "memory.max")
			case "memory":
				take("sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")
			}
		}
	}
	return least
}
