package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"viewring/server/replica"
)

// logs returns the sizes of a folder's logs by name, and the newest.
func logs(t *testing.T, dir string) (sizes map[string]int64, newest string) {
	t.Helper()
	sizes = make(map[string]int64)
	entries, err := os.ReadDir(filepath.Join(dir, pebbleName))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".log") { // one may just have been removed
			sizes[e.Name()] = info.Size()
			newest = max(newest, e.Name())
		}
	}
	return sizes, newest
}

// lastBlock returns where the last block of the newest log begins, and whether it is well
// filled, but not to its end.
func lastBlock(t *testing.T, s *Store) (begun int, ok bool) {
	t.Helper()
	const block = 32 << 10
	_, newest := logs(t, s.dir)
	b, err := os.ReadFile(filepath.Join(s.dir, pebbleName, newest))
	if err != nil {
		t.Fatal(err)
	}
	written := len(bytes.TrimRight(b, "\x00"))
	at := written % block
	return written - at, at >= block/2 && at <= block-block/8
}

// copied returns a copy of a folder.
func copied(t *testing.T, dir string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return image
}

// TestSpareLog writes until a log was begun in a file of zeros and all before it are
// gone, then cuts the power as far as a copy of the folder can: what was synced is
// there again, and damage before the last sync in such a log is not taken for its end.
func TestSpareLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	s, err := Open(dir, vfs.Default, Options{MemTableBytes: 1 << 20}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, s)
	n := 0
	write := func() {
		mustApply(t, s, put(1, user(16, fmt.Sprint("key", n)), fmt.Sprint(n, strings.Repeat("x", 4000))))
		n++
	}
	for {
		write()
		sizes, newest := logs(t, dir)
		small := 0
		for _, size := range sizes {
			if size < s.spare.size {
				small++
			}
		}
		if small == 0 && newest != "" {
			break
		}
		if n > 50_000 {
			t.Fatalf("after %d writes no log has its length from the start: %v", n, sizes)
		}
	}
	begun := 0
	for {
		at, ok := lastBlock(t, s)
		if m := s.db.Metrics(); ok && s.spare.has() && m.MemTable.Count == 1 && m.Flush.NumInProgress+m.Compact.NumInProgress == 0 {
			begun = at // and no file comes or goes while they are copied
			break
		}
		write()
	}

	image := copied(t, dir)
	again, err := Open(image, vfs.Default, Options{MemTableBytes: 1 << 20}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		item, err := again.Get(1, user(16, fmt.Sprint("key", i)))
		if err != nil || !strings.Contains(string(item), fmt.Sprint(i, "x")) {
			t.Fatalf("key %d of %d: %d bytes, %v", i, n, len(item), err)
		}
	}
	mustClose(t, again)

	damaged := copied(t, dir)
	_, newest := logs(t, damaged)
	f, err := os.OpenFile(filepath.Join(damaged, pebbleName, newest), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("?"), int64(begun+2000)); err != nil { // what follows in the same block tells of it
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(damaged, vfs.Default, Options{MemTableBytes: 1 << 20}, quiet); !errors.Is(err, replica.ErrCorrupt) {
		t.Errorf("a damaged log opens with %v", err)
		if err == nil {
			mustClose(t, s)
		}
	}
}

// TestSpareLogIsRemoved: what waits to be a log goes with the store.
func TestSpareLogIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "s")
	s, err := Open(dir, vfs.Default, Options{}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.spare.prepare(); err != nil {
		t.Error(err)
	}
	mustClose(t, s)
	if _, err := os.Stat(filepath.Join(dir, pebbleName, spareLogName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end: %v", err)
	}
}

// TestSpareLogWithoutRoom: where the disk has little left no file is made, and what a
// run that was killed has left is removed.
func TestSpareLogWithoutRoom(t *testing.T) {
	fs := vfs.NewMem() // does not know its room
	mustClose(t, mustOpen(t, fs))
	path := fs.PathJoin("data", pebbleName, spareLogName)
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, fs)
	defer mustClose(t, s)
	for range 3 {
		s.spare.want <- struct{}{} // the third when the first was dealt with
	}
	if _, err := fs.Stat(path); err == nil || s.spare.has() {
		t.Error("there is a file")
	}
}

// renames is a file system on which a spare file becomes a log slowly: meanwhile the next
// is asked for, which must not be made yet.
type renames struct {
	vfs.FS
	spare    *spareLog
	under    atomic.Bool
	overlaps atomic.Bool
}

func (r *renames) ReuseForWrite(oldName, newName string, category vfs.DiskWriteCategory) (vfs.File, error) {
	r.under.Store(true)
	defer r.under.Store(false)
	r.spare.want <- struct{}{}
	for range 10_000 {
		runtime.Gosched() // lets the maker begin, if it may
	}
	return r.FS.ReuseForWrite(oldName, newName, category)
}

func (r *renames) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if r.under.Load() {
		r.overlaps.Store(true)
	}
	return r.FS.Create(name, category)
}

// TestSpareLogIsNotTouched: from when a file is taken to when it has the log's name no
// other is made under the name that it had. It would be the log, full of zeros.
func TestSpareLogIsNotTouched(t *testing.T) {
	fs := &renames{FS: vfs.NewMem()}
	l := newSpareLog(fs, "", 64<<10, func() uint64 { return 1 << 40 })
	fs.spare = l
	defer l.stop()
	l.begin()
	for n := range 20 {
		if _, ok := l.take(fmt.Sprint(n, ".log"), vfs.WriteCategoryUnspecified); ok != (n > 0) {
			t.Fatalf("take %d: %v", n, ok)
		}
		for !l.has() {
			runtime.Gosched()
		}
	}
	if fs.overlaps.Load() {
		t.Error("the next file was begun before the one before had its new name")
	}
}
