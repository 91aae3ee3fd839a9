package file

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
)

// TestCutInput: what breaks off by io.ErrUnexpectedEOF, as the body of a request does, is no end.
func TestCutInput(t *testing.T) {
	f := small(newMemory())
	for _, n := range []int{0, 3, 9, 40} {
		cut := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := f.Put(t.Context(), "/cut", cut, PutOptions{}); err == nil {
			t.Errorf("%d bytes are a file", n)
		}
		if _, err := f.Stat(t.Context(), "/cut"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := f.Put(t.Context(), "/cut", strings.NewReader("whole"), PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 40} {
		cut := io.MultiReader(strings.NewReader(strings.Repeat("x", n)), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := f.Append(t.Context(), "/cut", cut); err == nil {
			t.Errorf("%d bytes are appended", n)
		}
	}
	wantFile(t, f, "/cut", []byte("whole"))
}

// TestWriteRange: every range is what it is of the whole.
func TestWriteRange(t *testing.T) {
	f := small(newMemory())
	for _, n := range []int{0, 5, 8, 9, 16, 50} {
		all := pattern(n, n)
		if _, err := f.Put(t.Context(), "/ranges", bytes.NewReader(all), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		opened, err := f.OpenFile(t.Context(), "/ranges")
		if err != nil {
			t.Fatal(err)
		}
		for from := range n + 2 {
			for length := range n + 2 {
				var b bytes.Buffer
				m, err := opened.WriteRange(&b, int64(from), int64(length))
				want := all[min(from, n):min(from+length, n)]
				if err != nil || m != int64(len(want)) || !bytes.Equal(b.Bytes(), want) {
					t.Fatalf("%d from %d of %d: %d, %v", length, from, n, m, err)
				}
			}
		}
		for _, bad := range [][2]int64{{-1, 1}, {0, -1}} {
			if _, err := opened.WriteRange(io.Discard, bad[0], bad[1]); !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%v: %v", bad, err)
			}
		}
		if err := opened.Close(); err != nil {
			t.Error(err)
		}
		if _, err := opened.WriteRange(io.Discard, 0, 1); !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	}
}
