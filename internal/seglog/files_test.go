package seglog_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"viewring/internal/disk"
	"viewring/internal/disk/crashdisk"
	"viewring/internal/seglog"
)

// countFS counts the files that are open.
type countFS struct {
	disk.FS
	open, most atomic.Int64
}

type countFile struct {
	disk.File
	fs *countFS
}

func (c *countFS) count(f disk.File, err error) (disk.File, error) {
	if err != nil {
		return nil, err
	}
	for n := c.open.Add(1); ; {
		if m := c.most.Load(); n <= m || c.most.CompareAndSwap(m, n) {
			return countFile{f, c}, nil
		}
	}
}

func (c *countFS) Open(name string) (disk.File, error) { return c.count(c.FS.Open(name)) }

func (c *countFS) Create(name string, size int64, zeroed bool) (disk.File, error) {
	return c.count(c.FS.Create(name, size, zeroed))
}

func (f countFile) Close() error {
	f.fs.open.Add(-1)
	return f.File.Close()
}

// TestOpenFiles reads and collects a store of many segments, with few files open.
func TestOpenFiles(t *testing.T) {
	fs := &countFS{FS: crashdisk.Mem()}
	opts := seglog.Options{SegmentBytes: 64 << 10, Manual: true}
	const bound, beside = 5, 4 // what is written, its successor, a preallocated file, a checkpoint
	opts.OpenFiles(bound)
	for range 2 {
		s, err := seglog.Open(fs, opts)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 100 {
			if err := putSync(s, 1, fmt.Sprintf("key%d", n), 30<<10); err != nil {
				t.Fatal(err)
			}
		}
		for n := range 300 {
			if _, ok, err := s.Get(1, fmt.Appendf(nil, "key%d", n*7%100)); !ok || err != nil {
				t.Fatalf("key%d: %v, %v", n*7%100, ok, err)
			}
		}
		if _, err := s.Collect(); err != nil {
			t.Fatal(err)
		}
		if st := s.Stats(); st.Segments < 40 {
			t.Errorf("only %d segments", st.Segments)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if n, m := fs.open.Load(), fs.most.Load(); n != 0 || m > bound+beside {
			t.Errorf("%d files are open after the close; %d were at a time", n, m)
		}
	}
}
