// Package folder takes a process's data folder: makes it, locks it against other
// processes, and refuses one of another kind or format.
package folder

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// The names in a data folder.
const (
	formatName    = "FORMAT" // says whose folder it is, and its version
	formatNewName = "FORMAT.new"
	lockName      = "LOCK"
)

// formatBytesMax bounds what is read of a format file: it may be anyone's.
const formatBytesMax = 64

// Errors of a data folder that can't be used.
var (
	ErrInUse  = errors.New("the data folder is in use by another process")
	ErrFormat = errors.New("not a data folder of this kind and build")
	// ErrFormer is wrapped besides ErrFormat where it is one of this kind, and of a
	// former build.
	ErrFormer = errors.New("of a former format")
)

// TakePebble makes, locks and checks the data folder dir of a process of some kind, such
// as "server"; format is the version of what this build keeps in it. A folder of one
// of the older formats is marked as one of format before its content is touched: whoever
// takes it sees to that, and builds of then refuse it. The lock comes before the look
// inside, so that two processes never both find an empty folder.
// The errors wrap ErrInUse or ErrFormat where these are the reason.
func TakePebble(fs vfs.FS, dir, kind string, format int, older ...int) (*pebble.Lock, error) {
	if err := makeAll(fs, dir); err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EROFS) {
			return nil, fmt.Errorf("data folder %s is not writable: %w", dir, err)
		}
		return nil, fmt.Errorf("%w: %s (%v)", ErrInUse, dir, err)
	}
	text := func(format int) string { return fmt.Sprintf("viewring %s %d\n", kind, format) }
	var former []string
	for _, f := range older {
		former = append(former, text(f))
	}
	if err := check(fs, dir, text(format), former); err != nil {
		_ = lock.Close() // the folder was not touched
		return nil, err
	}
	return lock, nil
}

// makeAll makes dir and what is missing above it, so that a crash leaves all.
func makeAll(fs vfs.FS, dir string) error {
	var parents []string
	for at := dir; ; {
		if _, err := fs.Stat(at); err == nil {
			break
		}
		parent := fs.PathDir(at)
		if parent == at {
			break
		}
		parents = append(parents, parent)
		at = parent
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, parent := range slices.Backward(parents) {
		if err := sync(fs, parent); err != nil {
			return err
		}
	}
	return nil
}

// check accepts a folder whose format file says want, or makes an empty one, or one
// that says what is in former, into it.
func check(fs vfs.FS, dir, want string, former []string) error {
	names, err := fs.List(dir)
	if err != nil {
		return fmt.Errorf("list data folder: %w", err)
	}
	if !slices.Contains(names, formatName) {
		for _, n := range names {
			if n != lockName && n != formatNewName && n != "lost+found" {
				return fmt.Errorf("%w: %s holds %q and no %s file", ErrFormat, dir, n, formatName)
			}
		}
		return write(fs, dir, want)
	}
	f, err := fs.Open(fs.PathJoin(dir, formatName))
	if err != nil {
		return fmt.Errorf("open format file: %w", err)
	}
	defer f.Close() // read only
	text, err := io.ReadAll(io.LimitReader(f, formatBytesMax))
	if err != nil {
		return fmt.Errorf("read format file: %w", err)
	}
	if slices.Contains(former, string(text)) {
		return write(fs, dir, want)
	}
	if string(text) != want {
		return fmt.Errorf("%w: %s says %q, this build writes %q", ErrFormat, dir,
			strings.TrimSpace(string(text)), strings.TrimSpace(want))
	}
	return nil
}

// write puts the format file in place, whole or not at all.
func write(fs vfs.FS, dir, text string) error {
	path := fs.PathJoin(dir, formatNewName)
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("create format file: %w", err)
	}
	_, err = io.WriteString(f, text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fs.Rename(path, fs.PathJoin(dir, formatName))
	}
	if err == nil {
		err = sync(fs, dir)
	}
	if err != nil {
		return fmt.Errorf("write format file: %w", err)
	}
	return nil
}

func sync(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
