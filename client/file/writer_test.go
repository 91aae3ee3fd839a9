package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"
)

// TestWriter: a file is there once it is closed, whole, and not before; and never, where it is given up.
func TestWriter(t *testing.T) {
	m := newMemory()
	f := small(m)
	ctx := t.Context()
	for _, n := range []int{0, 5, 8, 9, 16, 100, 1000} {
		before := pattern(1, 20)
		if _, err := f.Put(ctx, "/f", bytes.NewReader(before), PutOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, end := range []string{"abort", "cancelled", "cut", "close"} {
			want := pattern(n, n)
			within, cancel := context.WithCancel(ctx)
			w := f.Create(within, "/f", PutOptions{Seal: sealed(full())})
			half, err := io.Copy(struct{ io.Writer }{w}, bytes.NewReader(want[:n/2]))
			if err != nil || half != int64(n/2) {
				t.Fatal(half, err)
			}
			wantFile(t, f, "/f", before)
			switch end {
			case "abort":
				w.Abort()
				if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
					t.Errorf("closed after it was given up: %v", err)
				}
			case "cancelled":
				cancel()
				if err := w.Close(); !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled: %v", err)
				}
			case "cut":
				cancel()
				for err == nil {
					_, err = w.Write([]byte("x")) // until it is told
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled: %v", err)
				}
				w.Abort()
			case "close":
				if _, err := w.Write(want[n/2:]); err != nil {
					t.Fatal(err)
				}
				if err := w.Close(); err != nil || w.Info().Bytes != int64(n) {
					t.Fatal(w.Info(), err)
				}
				w.Abort()
				before = want
				if err := w.Close(); !errors.Is(err, fs.ErrClosed) {
					t.Errorf("closed twice: %v", err)
				}
				if _, err := w.Write([]byte("x")); err == nil {
					t.Error("written after it was closed")
				}
				wantAttributes(t, f, "/f", full())
			}
			wantFile(t, f, "/f", before)
			cancel()
		}
		m.tidy(t)
	}
	w := f.Create(ctx, "/none/f", PutOptions{})
	_, err := w.Write(pattern(1, 100))
	for _, err := range []error{err, w.Close()} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("without a directory: %v", err)
		}
	}
	m.tidy(t)
}
