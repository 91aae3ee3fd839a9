package store

import (
	"errors"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The file that waits to become a log, in Pebble's folder, where it is one of those
// that Pebble does not know and leaves alone; in what it is written and how many of
// these are synced together; and how much room the disk must have left for one to be
// made. Written in larger pieces it would lie in larger ones in the kernel's memory, which
// counts all of one as written when a few bytes of it change.
const (
	spareLogName  = "spare-log"
	spareLogPiece = 4 << 10
	spareLogSync  = 64
	spareLogRoom  = 16 // times its length
)

// spareLog makes a file of zeros ahead of need, as long as a log gets, that the next
// log is written into. A sync of a file that grows also makes the file system note
// where it grew: it takes twice as long as one of a file that has its blocks, and more
// processor time. Pebble uses its logs again and so has that only until it has enough
// of them; and the first, which are short, grow when they are used again. The zeros
// after a log's end mean no more to Pebble than what an older log has left there.
//
// One is made after a log has ended, so that a store that takes no writes has none.
type spareLog struct {
	fs    vfs.FS
	path  string
	size  int64
	room  func() uint64 // that the disk has left
	want  chan struct{} // capacity 1
	quit  chan struct{}
	ended sync.WaitGroup

	mu    sync.Mutex
	begun bool // Pebble has the log that it begins with
	ready bool // there is a file, all written; who makes one does not touch it then
}

// newSpareLog removes what an earlier run has left. Nothing may use dir yet.
func newSpareLog(fs vfs.FS, dir string, memTable uint64, room func() uint64) *spareLog {
	l := &spareLog{fs: fs, path: fs.PathJoin(dir, spareLogName), size: int64(memTable+memTable/8) / spareLogPiece * spareLogPiece, // what a log has beside its memtable
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
		if !l.has() && l.room() >= spareLogRoom*uint64(l.size) && l.prepare() == nil {
			l.mu.Lock()
			l.ready = true
			l.mu.Unlock()
		}
	}
}

func (l *spareLog) has() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready
}

// begin lets files be made from now on.
func (l *spareLog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun = true
}

// errSpareEnded is prepare's when the store closes.
var errSpareEnded = errors.New("the store closes")

// prepare writes the file. It is synced bit by bit, so that the log in use does not
// wait for all of it.
func (l *spareLog) prepare() error {
	f, err := l.fs.Create(l.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	zeros := make([]byte, spareLogPiece)
	for n := int64(1); n <= l.size/spareLogPiece && err == nil; n++ {
		if _, err = f.Write(zeros); err == nil && n%spareLogSync == 0 {
			err = f.SyncData()
		}
		select {
		case <-l.quit:
			err = errSpareEnded
		default:
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
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		return nil, false
	}
	if l.ready {
		var err error
		f, err = l.fs.ReuseForWrite(l.path, name, category)
		ok = err == nil // or Pebble makes one, and meets what is wrong
		l.ready = false // not before: the next is made under the same name
	}
	select {
	case l.want <- struct{}{}:
	default: // asked already
	}
	return f, ok
}

// quits ends the making, without waiting for a disk that may hang.
func (l *spareLog) quits() { close(l.quit) }

// stop ends the making and removes what was made. Nobody takes any more.
func (l *spareLog) stop() {
	l.quits()
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
