// Package damage flips bits in the files of a database, for the tests of those who
// have to notice.
package damage

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// mask is of two bits: Pebble repairs a single one, if it has the patience.
const mask = 0x11

// At flips bits of one byte of a file.
func At(t *testing.T, fs vfs.FS, path string, at int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err = f.ReadAt(b[:], at); err == nil {
		b[0] ^= mask
		_, err = f.WriteAt(b[:], at)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Text flips bits at the beginning of a text in every table of a folder that holds
// it, and reports whether one does.
func Text(t *testing.T, fs vfs.FS, dir, text string) (flipped bool) {
	t.Helper()
	for _, path := range files(t, fs, dir, ".sst") {
		if i := bytes.Index(read(t, fs, path), []byte(text)); i >= 0 {
			At(t, fs, path, int64(i))
			flipped = true
		}
	}
	return flipped
}

// Logs flips bits at a place of every log of a folder that is so long, and reports
// whether one is.
func Logs(t *testing.T, fs vfs.FS, dir string, at int64) (flipped bool) {
	t.Helper()
	for _, path := range files(t, fs, dir, ".log") {
		if int64(len(read(t, fs, path))) > at {
			At(t, fs, path, at)
			flipped = true
		}
	}
	return flipped
}

func files(t *testing.T, fs vfs.FS, dir, suffix string) (paths []string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, suffix) {
			paths = append(paths, fs.PathJoin(dir, n))
		}
	}
	return paths
}

func read(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // read only
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, info.Size())
	if _, err := f.ReadAt(b, 0); len(b) > 0 && err != nil {
		t.Fatal(err)
	}
	return b
}
