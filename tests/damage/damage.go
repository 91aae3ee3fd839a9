// Package damage flips bits in the files of a store, for the tests of those who have to
// notice.
package damage

import (
	"bytes"
	"os"
	"testing"

	"viewring/internal/disk/crashdisk"
)

// mask is of two bits: a single one may be repaired by who has the patience.
const mask = 0x11

// At flips bits of one byte of a file.
func At(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
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

// Text flips bits at the beginning of a text wherever it stands in the files of a folder,
// and reports whether it does.
func Text(t *testing.T, d *crashdisk.FS, text string) (flipped bool) {
	t.Helper()
	names, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for from := 0; ; {
			i := bytes.Index(d.Bytes(name)[from:], []byte(text))
			if i < 0 {
				break
			}
			d.Flip(name, int64(from+i))
			from += i + len(text)
			flipped = true
		}
	}
	return flipped
}
