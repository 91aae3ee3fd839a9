package disk

import (
	"errors"
	"syscall"
)

// Unreadable reports whether a read's error says that the disk, or the file system's own
// checksums, cannot give back what was written at that place. Every other error, such as
// one for want of memory, says nothing about the place.
func Unreadable(err error) bool {
	for _, e := range unreadable {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// As block devices and file systems of Linux say it: EIO everywhere, ENODATA of a sector
// that is unreadable, EILSEQ of one whose protection information does not hold, EBADMSG and
// EUCLEAN (which has no name in package syscall elsewhere) of a checksum.
var unreadable = []error{syscall.EIO, syscall.ENODATA, syscall.EILSEQ, syscall.EBADMSG}
