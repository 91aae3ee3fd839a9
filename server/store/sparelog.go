package store

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The file that waits to become a log, in Pebble's folder, where it is one of those
// that Pebble does not know and leaves alone; how much of it is written at once; and
// how much room the disk must have left for one to be made.
const (
	spareLogName  = "spare-log"
	spareLogPiece = 256 << 10
	spareLogRoom  = 16 // times its length
)

// spareLog makes a file of zeros ahead of need, as long as a log gets, that the next
// log is written into. A sync of a file that grows also makes the file system note
// where it grew: it takes twice as long as one of a file that has its blocks, and more
// processor time. Pebble uses its logs again and so has that only until it has enough
// of them; and the first, which are short, grow when they are used again. The zeros
// after a log's end mean no more to Pebble than what an older log has left there.
//
// One is made after a log began, so that a store that takes no writes has none.
type spareLog struct {
	fs    vfs.FS
	path  string
	size  int64
	room  func() uint64 // that the disk has left
	ready atomic.Bool
	want  chan struct{} // capacity 1
	quit  chan struct{}
	ended sync.WaitGroup
}

// newSpareLog removes what an earlier run has left. Nothing may use dir yet.
func newSpareLog(fs vfs.FS, dir string, memTable uint64, room func() uint64) *spareLog {
	l := &spareLog{fs: fs, path: fs.PathJoin(dir, spareLogName), size: int64(memTable + memTable/8), // what a log has beside its memtable
		room: room, want: make(chan struct{}, 1), quit: make(chan struct{})}
	_ = fs.Remove(l.path) // there usually is none
	l.ended.Go(l.run)
	return l
}

func (l *spareLog) run() {
	for {
		select {
		case <-l.want:
		case <-l.quit:
			return
		}
		if !l.ready.Load() && l.room() >= spareLogRoom*uint64(l.size) && l.prepare() == nil {
			l.ready.Store(true)
		}
	}
}

// prepare writes the file. Each piece is synced by itself, so that the log in use does
// not wait for all of it.
func (l *spareLog) prepare() error {
	f, err := l.fs.Create(l.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	zeros := make([]byte, spareLogPiece)
	for at := int64(0); at < l.size && err == nil; at += spareLogPiece {
		select {
		case <-l.quit:
			return f.Close()
		default:
		}
		if _, err = f.Write(zeros); err == nil {
			err = f.SyncData()
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = l.fs.Remove(l.path) // the store goes on without it
	}
	return err
}

// take makes the spare file the log of that name, if there is one, and lets the next
// be made. Pebble syncs the folder before it writes to a new log.
func (l *spareLog) take(name string, category vfs.DiskWriteCategory) (f vfs.File, ok bool) {
	if l.ready.Swap(false) {
		var err error
		f, err = l.fs.ReuseForWrite(l.path, name, category)
		ok = err == nil // or Pebble makes one, and meets what is wrong
	}
	select {
	case l.want <- struct{}{}:
	default: // asked already
	}
	return f, ok
}

// stop ends the making. Nobody takes any more.
func (l *spareLog) stop() {
	close(l.quit)
	l.ended.Wait()
	_ = l.fs.Remove(l.path) // or the next start does
}

// Create implements vfs.FS.
func (fs blockFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if fs.spare != nil && strings.HasSuffix(name, ".log") {
		if f, ok := fs.spare.take(name, category); ok {
			return f, nil
		}
	}
	return fs.FS.Create(name, category)
}

// ReuseForWrite implements vfs.FS.
func (fs blockFS) ReuseForWrite(oldName, newName string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if fs.spare != nil && strings.HasSuffix(newName, ".log") {
		if info, err := fs.FS.Stat(oldName); err == nil && info.Size() < fs.spare.size {
			if f, ok := fs.spare.take(newName, category); ok {
				_ = fs.FS.Remove(oldName) // Pebble forgets it now; one that stays is read at the next start as what it is, an old log
				return f, nil
			}
		}
	}
	return fs.FS.ReuseForWrite(oldName, newName, category)
}
