package disk

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Free implements FS.
func (d dirFS) Free() (uint64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(d.dir, &st); err != nil {
		return 0, false
	}
	return st.Bavail * uint64(st.Bsize), true
}

// allocate allocates the space of a file, so that no write into it meets a full disk. taken is
// false where the file system cannot: then only writing takes it.
func allocate(f *os.File, size int64) (taken bool, err error) {
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return false, f.Truncate(size)
	}
	return true, err
}

// openDirect opens a file for synced writes past the kernel's cache: of a file that
// has its blocks, such a write is one request to the disk. nil where it is refused, as
// by some overlays.
func openDirect(path string) *os.File {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT|unix.O_DSYNC, 0)
	if err != nil {
		return nil
	}
	return f
}

// refused reports whether a file system took the flag at open and not the write.
func refused(err error) bool { return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) }

func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func init() { unreadable = append(unreadable, unix.EUCLEAN) }

// warm lets the kernel read a file ahead, in pieces: one call does not do all of a long one.
func warm(f *os.File) {
	st, err := f.Stat()
	if err != nil {
		return // a hint
	}
	const piece = 1 << 20
	for at := int64(0); at < st.Size(); at += piece {
		if unix.Fadvise(int(f.Fd()), at, min(piece, st.Size()-at), unix.FADV_WILLNEED) != nil {
			return
		}
	}
}
