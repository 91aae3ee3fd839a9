package seglog

import (
	"errors"
	"io"
)

// BlockBytes is the unit of writes: offsets and lengths of WriteSync are multiples of
// it. Disks write 4 KiB or less at once; smaller units made latencies vary more.
const BlockBytes = 4096

// FS is the folder that a store lives in. It is what a crash goes through: what is
// said to be durable survives one, of everything else any part does.
type FS interface {
	// Create makes a file of size bytes that read as zeros, in place of one of that
	// name. With zeroed they are written, else only their room is taken.
	Create(name string, size int64, zeroed bool) (File, error)
	Open(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	List() ([]string, error)
	// SyncDir makes durable which names there are.
	SyncDir() error
	// Free is how many bytes the disk has left; ok is false where it can't tell.
	Free() (bytes uint64, ok bool)
}

// File is a file of an FS. Reads and writes may run at the same time.
type File interface {
	io.ReaderAt
	// WriteAt writes what is durable only after Sync.
	WriteAt(b []byte, at int64) (int, error)
	// WriteSync writes b, which alignedBytes made; it is durable on return. at and
	// the length are multiples of BlockBytes.
	WriteSync(b []byte, at int64) error
	Sync() error
	// EndWrites gives back what only writes need. Reads go on.
	EndWrites() error
	Size() (int64, error)
	Close() error
}

// Errors of the store.
var (
	// ErrCorrupt is wrapped by errors of reads that met damage: what was asked for
	// may be there, or may not.
	ErrCorrupt = errors.New("corrupt record")
	// ErrClosed is the error of a store that was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrFormat is wrapped where the folder holds something else than this build's store.
	ErrFormat = errors.New("not a store of this format")
)
