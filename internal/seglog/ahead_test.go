package seglog_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// warmFS notes which files the system is asked to read.
type warmFS struct {
	*crashdisk.FS
	mu     sync.Mutex
	warmed []string
}

type warmFile struct {
	disk.File
	fs   *warmFS
	name string
}

func (f *warmFS) Open(name string) (disk.File, error) {
	file, err := f.FS.Open(name)
	return &warmFile{file, f, name}, err
}

func (f *warmFile) Warm() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.warmed = append(f.fs.warmed, f.name)
}

// TestReadAhead: a start has the segments of the replay read ahead, in their order, and none
// that it does not read.
func TestReadAhead(t *testing.T) {
	d := crashdisk.Mem()
	opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
	s := mustOpen(t, d, opts)
	write := func(n int) {
		t.Helper()
		for i := range n {
			if err := putSync(s, 1, fmt.Sprint("key", i), 20_000); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(12)
	if err := s.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	before := files(d, "segment-")
	write(12)
	next := d.Crash()
	_ = s.Close() // the machine is dead
	fs := &warmFS{FS: next}
	s, err := seglog.Open(fs, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // nothing is looked at any more
	tail := files(next, "segment-")[len(before)-1:]
	if len(before) < 4 || len(tail) < 4 {
		t.Fatalf("%d segments before the checkpoint, %d to replay", len(before), len(tail))
	}
	last := ""
	for _, name := range fs.warmed {
		if name <= last || !slices.Contains(tail, name) {
			t.Errorf("%s is read ahead after %q, of %v", name, last, tail)
		}
		last = name
	}
	if len(fs.warmed) < 2 {
		t.Errorf("only %v are read ahead, of %v", fs.warmed, tail)
	}
}
