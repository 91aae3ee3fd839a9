package seglog

import "golang.org/x/sys/unix"

// mapPages takes n bytes from the kernel, outside of the collected heap.
func mapPages(n int) ([]byte, error) {
	return unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
}

func unmapPages(b []byte) error { return unix.Munmap(b) }

// forgetPages gives memory back to the kernel; it reads as zeros then.
func forgetPages(b []byte) bool { return unix.Madvise(b, unix.MADV_DONTNEED) == nil }
