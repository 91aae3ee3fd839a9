package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"viewring/internal/disk"
	"viewring/internal/folder"
	"viewring/internal/seglog"
	"viewring/ring"
	"viewring/server/replica"
)

// folderFormat is the format of a data folder in this build. Those up to 2 were Pebble's.
const folderFormat = 3

// Errors of a data folder that can't be used.
var (
	ErrInUse  = folder.ErrInUse
	ErrFormat = folder.ErrFormat
)

// Partitions of the log beside those of a view, which has at most one for each slot.
const (
	localPartition = ring.PartitionID(0xffff) // the local names
	nodePartition  = ring.PartitionID(0xfffe) // which start the log is of, and what operators set
)

// Options of a Store. The zero value is a server's.
type Options struct {
	SegmentBytes int64                    // of a file of the log; 0: 8 MiB, and less on a small disk
	WarmBytes    int64                    // up to how large a log is read into the kernel's cache as it is written
	Synced       func(took time.Duration) // told of each synced write of the log; nil: nobody
}

// Store is one server's storage. Its methods may be called by many goroutines;
// the batches of one caller become durable in the order of its calls.
type Store struct {
	dir    string
	fs     disk.FS
	log    *seglog.Store
	lock   io.Closer
	logger *slog.Logger
	fresh  bool

	segment     int64         // bytes of one
	corruptions atomic.Uint64 // items met since the start that fail their own checksum
	scrubbed    atomic.Uint64 // damage that there was when the last scrub began

	throttle   atomic.Pointer[Throttle] // nil: never set
	throttling sync.Mutex               // held over a change of it and its write

	identity struct {
		sync.Mutex
		Identity
		view     []byte     // of Identity.Epoch, encoded; nil: not kept
		changing sync.Mutex // held over a change and its write
	}
}

// The length of a segment. Longer segments waste space in a small store, which always has the
// one that is written, the next, and two that wait to be collected. Shorter ones make more
// files in a large store: 100 GiB are some ten thousand. On a small disk they are shorter,
// because the space of some is always kept free.
const (
	segmentBytesMax = 8 << 20
	segmentBytesMin = 1 << 20
	segmentsLeast   = 64 // that an empty disk has space for
)

func segmentBytes(fs disk.FS) int64 {
	n := int64(segmentBytesMax)
	free, known := fs.Free()
	for known && n > segmentBytesMin && uint64(n)*segmentsLeast > free {
		n /= 2
	}
	return n
}

// Open opens the store in the folder fs, or makes one, and counts the start: a new
// incarnation is durable when it returns. dir is the folder's name, for errors.
func Open(dir string, fs disk.FS, opts Options, logger *slog.Logger) (*Store, error) {
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = segmentBytes(fs)
	}
	lock, err := folder.Take(fs, dir, "server", folderFormat)
	if errors.Is(err, folder.ErrFormer) {
		return nil, fmt.Errorf("%w. Let the former build take the server out of the cluster (viewring leave), which hands over all that it has, "+
			"and start this one with an empty folder: it joins as a new server", err)
	}
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, fs: fs, lock: lock, logger: logger, segment: opts.SegmentBytes}
	s.log, err = seglog.Open(fs, seglog.Options{SegmentBytes: opts.SegmentBytes, WarmBytes: opts.WarmBytes, Synced: opts.Synced, Place: place, Logger: logger})
	if err != nil {
		return nil, errors.Join(s.openError(err), lock.Close())
	}
	if err = s.sound(); err == nil {
		err = s.start()
	}
	if err == nil {
		err = s.loadThrottle()
	}
	if err != nil {
		return nil, errors.Join(s.openError(err), s.Close())
	}
	return s, nil
}

// place is where the log has a key in its order.
func place(key []byte) uint64 { return replica.PlaceOfBytes(key) }

// sound refuses a log that lost records of unknown partitions: a partition that looks empty
// may then have held what others rely on.
func (s *Store) sound() error {
	if s.log.LostAll() {
		return fmt.Errorf("%w: a part of the log is lost, and it is not known of which partitions", replica.ErrCorrupt)
	}
	return nil
}

// openError says what to do about a store that cannot be opened.
func (s *Store) openError(err error) error {
	if err = tell(err); !errors.Is(err, replica.ErrCorrupt) {
		return fmt.Errorf("open store in %s: %w", s.dir, err)
	}
	return fmt.Errorf("open store in %s: its files are damaged: %w. Nothing is served from them. Move the folder away and start the server "+
		"with an empty one: it joins as a new server and copies its share from the others; then remove the old one (viewring remove)", s.dir, err)
}

// Close ends the store.
func (s *Store) Close() error {
	failed := s.log.Err()
	err := s.log.Close()
	if failed != nil {
		err = nil // it has been told of
	}
	if err = errors.Join(err, s.lock.Close()); err != nil {
		return fmt.Errorf("close store in %s: %w", s.dir, err)
	}
	return nil
}

// Fresh reports whether this start made the store.
func (s *Store) Fresh() bool { return s.fresh }

// Corruptions returns how many damaged records and items were met since the start.
func (s *Store) Corruptions() uint64 { return s.corruptions.Load() + s.log.Damage() }

// Failing reports whether damage was met since the last scrub: a scrub would find what
// else is damaged.
func (s *Store) Failing() bool { return s.Corruptions() > s.scrubbed.Load() }

// Failed is closed when a write or a sync has failed; then Err says why.
func (s *Store) Failed() <-chan struct{} { return s.log.Failed() }

// Err returns the failure that ended the store, or nil.
func (s *Store) Err() error {
	if err := s.log.Err(); err != nil {
		return fmt.Errorf("store in %s failed: %w", s.dir, err)
	}
	return nil
}

// Stats returns the figures of the log.
func (s *Store) Stats() seglog.Stats { return s.log.Stats() }

// Reserve returns how much of the disk must be free for batches not to be refused, and some
// segments for those under way.
func (s *Store) Reserve() uint64 { return s.log.Reserve() + 2*uint64(s.segment) }

// DiskKnown reports whether the file system can tell how much space it has left: one
// in memory can't.
func (s *Store) DiskKnown() bool {
	_, ok := s.fs.Free()
	return ok
}

// DiskFree returns the bytes that the file system has left, 0 if unknown.
func (s *Store) DiskFree() uint64 {
	free, _ := s.fs.Free()
	return free
}

// tell makes an error of the log one that callers know.
func tell(err error) error {
	if err != nil && errors.Is(err, seglog.ErrCorrupt) && !errors.Is(err, replica.ErrCorrupt) {
		return fmt.Errorf("%w: %w", replica.ErrCorrupt, err)
	}
	return err
}
