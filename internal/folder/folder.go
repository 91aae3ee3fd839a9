// Package folder takes a process's data folder: locks it against other processes, and
// refuses one of another kind or format.
package folder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"viewring/internal/disk"
)

// The names in a data folder.
const (
	formatName    = "FORMAT" // says whose folder it is, and its version
	formatNewName = formatName + disk.NewSuffix
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

// Take locks and checks the data folder of a process of some kind, such as "server";
// format is the version of what this build keeps in it. dir is its name, for errors. The
// lock comes before the look inside, so that two processes never both find an empty folder.
// The errors wrap ErrInUse, or ErrFormat and perhaps ErrFormer, where these are the reason.
func Take(d disk.FS, dir, kind string, format int) (io.Closer, error) {
	lock, err := d.Lock()
	switch {
	case errors.Is(err, os.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EROFS):
		return nil, fmt.Errorf("data folder %s is not writable: %w", dir, err)
	case errors.Is(err, disk.ErrInUse):
		return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
	case err != nil:
		return nil, fmt.Errorf("lock data folder %s: %w", dir, err)
	}
	if err := checkFormat(d, dir, kind, format); err != nil {
		_ = lock.Close() // the folder was not touched
		return nil, err
	}
	return lock, nil
}

// formatText is what the format file says.
func formatText(kind string, format int) string { return fmt.Sprintf("viewring %s %d\n", kind, format) }

// checkFormat accepts a folder of a kind and format, or makes an empty one into it.
func checkFormat(d disk.FS, dir, kind string, format int) error {
	want := formatText(kind, format)
	names, err := d.List()
	if err != nil {
		return fmt.Errorf("list data folder: %w", err)
	}
	if !slices.Contains(names, formatName) {
		for _, n := range names {
			if n != disk.LockName && n != formatNewName && n != "lost+found" {
				return fmt.Errorf("%w: %s holds %q and no %s file", ErrFormat, dir, n, formatName)
			}
		}
		if err := disk.WriteFile(d, formatName, []byte(want)); err != nil {
			return fmt.Errorf("write format file: %w", err)
		}
		return nil
	}
	text, err := disk.ReadFile(d, formatName, formatBytesMax)
	if err != nil {
		return fmt.Errorf("read format file: %w", err)
	}
	if string(text) == want {
		return nil
	}
	why := ErrFormat
	for f := range format {
		if string(text) == formatText(kind, f) {
			why = fmt.Errorf("%w, but %w", ErrFormat, ErrFormer)
		}
	}
	return fmt.Errorf("%w: %s says %q, this build writes %q", why, dir, strings.TrimSpace(string(text)), strings.TrimSpace(want))
}
