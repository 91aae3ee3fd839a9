package chart

import (
	"os"
	"runtime"
	"strconv"
	"strings"
)

// ThisMachine tells where this process runs.
func ThisMachine() Machine {
	m := Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, Go: runtime.Version(), CPUs: runtime.NumCPU()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil { // elsewhere it stays unknown
		m.Processor = field(string(b), "model name")
	}
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		kib, _ := strconv.ParseUint(strings.TrimSuffix(field(string(b), "MemTotal"), " kB"), 10, 64)
		m.Memory = kib << 10
	}
	return m
}

// field is what a file of lines "name : value" says first of a name.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
