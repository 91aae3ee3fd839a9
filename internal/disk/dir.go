package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"unsafe"
)

// dirFS is an FS of the operating system.
type dirFS struct{ dir string }

// Dir returns the folder dir, which must be there.
func Dir(dir string) FS { return dirFS{dir} }

// Make makes the folder dir and what is missing above it, so that a crash leaves all, and
// returns it.
func Make(dir string) (FS, error) {
	dir = filepath.Clean(dir)
	var parents []string
	for at := dir; ; {
		if _, err := os.Stat(at); err == nil {
			break
		}
		parent := filepath.Dir(at)
		if parent == at {
			break
		}
		parents = append(parents, parent)
		at = parent
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	for _, parent := range slices.Backward(parents) {
		if err := (dirFS{parent}).SyncDir(); err != nil {
			return nil, err
		}
	}
	return dirFS{dir}, nil
}

// Lock implements FS.
func (d dirFS) Lock() (io.Closer, error) {
	path := filepath.Join(d.dir, LockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Aligned makes a buffer that direct writes accept: it begins at a multiple of
// BlockBytes in memory.
func Aligned(n int) []byte {
	b := make([]byte, n+BlockBytes)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (BlockBytes - 1))
	return b[skip : skip+n : skip+n]
}

// zeroPiece is how much of a new file is zeroed between two syncs: more would hold up
// the synced writes beside it.
const zeroPiece = 256 << 10

var zeros = Aligned(zeroPiece)

// Create implements FS.
func (d dirFS) Create(name string, size int64, zeroed bool) (File, error) {
	path := filepath.Join(d.dir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	taken := true
	if size > 0 {
		taken, err = allocate(f, size)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("allocate %s: %w", name, err), f.Close(), os.Remove(path))
	}
	file := openFile(f, path)
	for at := int64(0); (zeroed || !taken) && at < size && err == nil; at += zeroPiece {
		err = file.WriteSync(zeros[:min(zeroPiece, (size-at)&^(BlockBytes-1))], at)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("zero %s: %w", name, err), file.Close(), os.Remove(path))
	}
	return file, nil
}

// Open implements FS.
func (d dirFS) Open(name string) (File, error) {
	path := filepath.Join(d.dir, name)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return openFile(f, path), nil
}

// Rename implements FS.
func (d dirFS) Rename(from, to string) error {
	return os.Rename(filepath.Join(d.dir, from), filepath.Join(d.dir, to))
}

// Remove implements FS.
func (d dirFS) Remove(name string) error { return os.Remove(filepath.Join(d.dir, name)) }

// List implements FS.
func (d dirFS) List() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// SyncDir implements FS.
func (d dirFS) SyncDir() error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// osFile is read through the kernel's cache, and written past it where the file
// system allows that.
type osFile struct {
	*os.File
	path   string
	direct *os.File // nil: not opened yet, or not allowed here
	failed bool     // it is not allowed
}

func openFile(f *os.File, path string) File { return &osFile{File: f, path: path} }

// WriteSync implements File. Only one goroutine at a time writes.
func (f *osFile) WriteSync(b []byte, at int64) error {
	if f.direct == nil && !f.failed {
		f.direct = openDirect(f.path)
		f.failed = f.direct == nil
	}
	if f.direct != nil {
		_, err := f.direct.WriteAt(b, at)
		if !refused(err) {
			return err
		}
		f.failed = true
		if err := f.EndWrites(); err != nil {
			return err
		}
	}
	if _, err := f.File.WriteAt(b, at); err != nil {
		return err
	}
	return syncData(f.File)
}

// EndWrites implements File.
func (f *osFile) EndWrites() error {
	if f.direct == nil {
		return nil
	}
	err := f.direct.Close()
	f.direct = nil
	return err
}

// Warm implements File.
func (f *osFile) Warm() { warm(f.File) }

// Size implements File.
func (f *osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Close implements File.
func (f *osFile) Close() error {
	return errors.Join(f.EndWrites(), f.File.Close())
}
