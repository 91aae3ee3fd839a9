package machine

import (
	"testing"
	"testing/fstest"
)

// TestGroupMemory takes the least limit on the way to the root, of either version.
func TestGroupMemory(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, tt := range map[string]struct {
		files fstest.MapFS
		want  int64
	}{
		"no groups": {fstest.MapFS{}, 0},
		"version 2, a parent's": {fstest.MapFS{"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("max\n"),
			"sys/fs/cgroup/a/memory.max": file("3000\n"), "sys/fs/cgroup/c/memory.max": file("5\n")}, 3000},
		"version 2, its own": {fstest.MapFS{"proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/memory.max": file("2000\n"),
			"sys/fs/cgroup/memory.max": file("3000\n")}, 2000},
		"version 2, without limit": {fstest.MapFS{"proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/memory.max": file("max\n")}, 0},
		"a container's, named as its host has it": {fstest.MapFS{"proc/self/cgroup": file("12:cpu,memory:/docker/x\n0::/docker/x\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("4096\n")}, 4096},
		"version 1 beside version 2": {fstest.MapFS{"proc/self/cgroup": file("4:memory:/m\n1:cpu:/c\n0::/\n"),
			"sys/fs/cgroup/memory/m/memory.limit_in_bytes": file("700\n"), "sys/fs/cgroup/c/memory.max": file("5\n"), "sys/fs/cgroup/memory.max": file("900\n")}, 700},
	} {
		if got := groupMemory(tt.files); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	if n := Memory(); n < 64<<20 {
		t.Errorf("this machine is taken to have %d bytes of memory", n)
	}
}
