package folder

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The format of Pebble's logs (record.go): blocks of chunks, each with a header of
// checksum, length, type, number of the log, and up to where the log was synced when
// the chunk was written.
const (
	logBlock      = 32 << 10
	chunkHeader   = 4 + 2 + 1 + 4 + 8
	chunkTypeFull = 9 // and first, middle, last
	chunkTypeLast = 12
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CheckLog looks at the newest log of a database that is not open. Pebble notices
// damage to what was synced if a chunk in a later block says that it was, and takes
// any other damage for the end of the log. CheckLog also asks the chunks that follow
// in the same block. What remains is what none of them tells of: the last sync's, and
// more, because Pebble (v2.1.7) does not count the blocks that it flushes whole. That
// is 1 or 2 % of a log of small values, and up to all of a log of values beyond 32 KiB.
func CheckLog(fs vfs.FS, dir string) error {
	path, number, err := newestLog(fs, dir)
	if err != nil || path == "" {
		return err
	}
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err != nil {
		return err
	}
	block := make([]byte, logBlock)
	for at := int64(0); at < info.Size(); at += logBlock {
		block = block[:min(logBlock, info.Size()-at)]
		if _, err := f.ReadAt(block, at); err != nil {
			return err
		}
		if bad := lostIn(block, number, uint64(at)); bad >= 0 {
			return fmt.Errorf("%w: %s is damaged at %d, and was synced to beyond", pebble.ErrCorruption, path, at+int64(bad))
		}
	}
	return nil
}

// newestLog returns the log with the highest number, "" when there is none.
func newestLog(fs vfs.FS, dir string) (path string, number uint32, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return "", 0, nil // not made yet
	}
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, ".log")
		n, err := strconv.ParseUint(digits, 10, 32)
		if ok && err == nil && uint32(n) >= number {
			path, number = fs.PathJoin(dir, name), uint32(n)
		}
	}
	return path, number, nil
}

// lostIn returns where a block has a chunk that is damaged although a later one says
// that it was synced, or -1.
func lostIn(block []byte, log uint32, offset uint64) int {
	at := 0
	for {
		n, _ := chunkAt(block[at:], log)
		if n == 0 {
			break
		}
		at += n
	}
	// The length of the damaged chunk may be what is damaged: look everywhere.
	for later := at + 1; later+chunkHeader <= len(block); later++ {
		if n, synced := chunkAt(block[later:], log); n > 0 && synced > offset+uint64(at) {
			return at
		}
	}
	return -1
}

// chunkAt returns the length of the sound chunk that b begins with, 0 when there is
// none, and up to where it says that the log was synced.
func chunkAt(b []byte, log uint32) (n int, synced uint64) {
	if len(b) < chunkHeader || b[6] < chunkTypeFull || b[6] > chunkTypeLast || binary.LittleEndian.Uint32(b[7:]) != log {
		return 0, 0
	}
	n = chunkHeader + int(binary.LittleEndian.Uint16(b[4:]))
	if n > len(b) {
		return 0, 0
	}
	sum := crc32.Checksum(b[6:n], castagnoli)
	if (sum>>15|sum<<17)+0xa282ead8 != binary.LittleEndian.Uint32(b) {
		return 0, 0
	}
	return n, binary.LittleEndian.Uint64(b[11:])
}
