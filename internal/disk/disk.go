// Package disk is what a store sees of a disk: one folder of files. Its methods say what
// survives a crash and what may not. Dir is a folder of the operating system; package
// crashdisk has one in memory that crashes when tests tell it to.
package disk

import (
	"errors"
	"io"
)

// BlockBytes is the unit of synced writes: offsets and lengths of WriteSync are
// multiples of it. Disks write 4 KiB or less at once; smaller units made latencies
// vary more.
const BlockBytes = 4096

// ErrInUse is the error of Lock where another process holds the lock.
var ErrInUse = errors.New("in use by another process")

// FS is a folder. What its methods call durable survives a crash; of everything else any
// part may survive.
type FS interface {
	// Create makes a file of size bytes that read as zeros, in place of one of that
	// name. With zeroed they are written, else only their space is allocated.
	Create(name string, size int64, zeroed bool) (File, error)
	// Open opens a file that is there; the error wraps fs.ErrNotExist where it is not.
	Open(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	List() ([]string, error)
	// SyncDir makes durable which names there are.
	SyncDir() error
	// Free is how many bytes the disk has left; ok is false where it can't tell.
	Free() (bytes uint64, ok bool)
	// Lock takes the folder for this process until the lock is closed, or the process
	// ends. Its error wraps ErrInUse where another one has it.
	Lock() (io.Closer, error)
}

// LockName is the name of the file that Lock leaves in a folder.
const LockName = "LOCK"

// File is a file of an FS. Reads and writes may run at the same time.
type File interface {
	io.ReaderAt
	// WriteAt writes what is durable only after Sync.
	WriteAt(b []byte, at int64) (int, error)
	// WriteSync writes b, which Aligned made; it is durable on return. at and the length
	// are multiples of BlockBytes.
	WriteSync(b []byte, at int64) error
	Sync() error
	// Truncate gives back the space behind size; a crash may leave it as it was.
	Truncate(size int64) error
	// EndWrites gives back what only writes need. Reads go on.
	EndWrites() error
	// Warm asks the system to read the file into its cache, which synced writes go past. It
	// is a hint, and may take its time.
	Warm()
	Size() (int64, error)
	Close() error
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fs FS, name string, limit int64) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, limit))
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// WriteFile puts a file in place, whole or not at all, and durably.
func WriteFile(fs FS, name string, b []byte) error {
	f, err := fs.Create(name+NewSuffix, 0, false)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = fs.Rename(name+NewSuffix, name)
	}
	if err == nil {
		err = fs.SyncDir()
	}
	return err
}

// NewSuffix ends the names of files that are not finished.
const NewSuffix = ".new"
