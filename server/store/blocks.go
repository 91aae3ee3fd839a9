package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// blockFS looks at the checksums of a table's blocks before Pebble does. Pebble
// would find the same damage, and then try every bit of the first 40 KiB of the
// block for the one that was flipped: 1.6 s for a block of 100 KiB and minutes for
// the longest, on the goroutine of a lane, each time somebody touches the block.
// With spare it also has files ready that become logs.
type blockFS struct {
	vfs.FS
	spare *spareLog
}

// blockBytesMin is the shortest read that is looked at. What is shorter, and what
// is no block at all (a footer), costs Pebble little.
const blockBytesMin = 1 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Open implements vfs.FS.
func (fs blockFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.Open(name, opts...)
	if err != nil || !strings.HasSuffix(name, ".sst") {
		return f, err
	}
	return blockFile{File: f, name: name}, nil
}

type blockFile struct {
	vfs.File
	name string
}

// ReadAt implements vfs.File. Pebble reads a table in whole blocks: data, one byte
// of type, and the checksum of both.
func (f blockFile) ReadAt(b []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(b, at)
	if err != nil || n < blockBytesMin {
		return n, err
	}
	sum := crc32.Checksum(b[:n-4], castagnoli)
	sum = (sum>>15 | sum<<17) + 0xa282ead8 // so that data which holds checksums is not mistaken for one
	if sum != binary.LittleEndian.Uint32(b[n-4:]) {
		return n, fmt.Errorf("%w: block of %d bytes at %d of %s fails its checksum", pebble.ErrCorruption, n, at, f.name)
	}
	return n, nil
}
