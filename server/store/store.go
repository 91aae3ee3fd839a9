package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"viewring/internal/folder"
	"viewring/ring"
	"viewring/server/replica"
)

// A data folder's database, the format of the folder in this build, and an older one
// that it brings up to date.
const (
	pebbleName        = "pebble"
	folderFormat      = 2
	folderFormatFirst = 1
)

// Errors of a data folder that can't be used.
var (
	ErrInUse  = folder.ErrInUse
	ErrFormat = folder.ErrFormat
)

// Options of a Store. The zero value is a small server's.
type Options struct {
	CacheBytes    int64  // blocks kept in memory; 0: 64 MiB
	MemTableBytes uint64 // 0: 16 MiB

	// SyncInterval, for tests, is drawn after each sync of the log: no other begins
	// before that is over. nil: syncs take what the disk takes.
	SyncInterval func() time.Duration
}

// The defaults of Options, for several servers on one small machine. Memtables from
// 8 to 32 MiB cost the same in all: the small ones fit the processor's cache, the
// large ones are flushed more seldom.
const (
	cacheBytesDefault    = 64 << 20
	memTableBytesDefault = 16 << 20
)

// Store is one server's storage. Its methods may be called by many goroutines;
// the batches of one caller become durable in the order of its calls.
type Store struct {
	dir     string
	fs      vfs.FS
	db      *pebble.DB
	options *pebble.Options
	lock    *pebble.Lock
	logger  *slog.Logger
	fresh   bool

	memTable uint64 // bytes of one

	corruptions  atomic.Uint64 // damaged files and items met since the start
	damagedFiles sync.Map      // paths that were told of

	trims       trims
	shelves     shelves
	cutter      *cutter
	spare       *spareLog
	compactions *compactions
	partitions  atomic.Int64 // in views; 0: not known
	spoiled     spoiled

	identity struct {
		sync.Mutex
		Identity
		view     []byte     // of Identity.Epoch, encoded; nil: not kept
		changing sync.Mutex // held over a change and its write
	}

	failure struct {
		sync.Mutex
		err  error
		done chan struct{} // closed when err is set
	}
}

// Open opens the store in dir, or makes one, and counts the start: a new
// incarnation is durable when it returns.
func Open(dir string, fs vfs.FS, opts Options, logger *slog.Logger) (*Store, error) {
	lock, err := folder.TakePebble(fs, dir, "server", folderFormat, folderFormatFirst)
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, fs: fs, lock: lock, logger: logger, cutter: newCutter(), compactions: newCompactions()}
	s.failure.done = make(chan struct{})
	s.trims.done = make(map[ring.PartitionID]uint64)
	s.options = s.pebbleOptions(opts)
	var db *pebble.DB
	if err = folder.CheckLog(fs, fs.PathJoin(dir, pebbleName)); err == nil {
		db, err = pebble.Open(fs.PathJoin(dir, pebbleName), s.options)
	}
	if err != nil {
		s.spare.stop()
		_ = lock.Close() // nothing was written through it
		return nil, s.openError(err)
	}
	s.db = db
	s.spare.begin()
	err = s.loadShelves()
	if err == nil {
		err = s.moveMetas()
	}
	if err == nil {
		err = s.start()
	}
	if err == nil {
		s.shelves.noLocal.CompareAndSwap(false, s.fresh)
		err = s.saveShelves()
	}
	go s.cutter.run(s)
	if err != nil {
		_ = s.Close() // the first error matters
		return nil, s.openError(err)
	}
	return s, nil
}

// openError says what to do about a store that cannot be opened.
func (s *Store) openError(err error) error {
	if err = s.tell(err); !errors.Is(err, replica.ErrCorrupt) {
		return fmt.Errorf("open store in %s: %w", s.dir, err)
	}
	return fmt.Errorf("open store in %s: its files are damaged: %w. Nothing is served from them. Move the folder away and start the server "+
		"with an empty one: it joins as a new server and copies its share from the others; then remove the old one (viewring remove)", s.dir, err)
}

// How tables are merged. Each merge into the next level rewrites what lies there, so
// up to l0Sublevels flushes come together for one; a get looks at the filter of each
// until then. l0Stop is how many there are when writes wait for a merge. A flush makes
// tables of tableBytes, cut at the same keys each time, so that a merge need not be one
// of all keys: a large one delays the sets beside it, and so do two at once, which are
// for when l0Behind have come together. Lower levels have larger tables.
const (
	l0Sublevels = 16
	l0Behind    = 32
	l0Stop      = 60
	tableBytes  = 4 << 20
)

// pebbleOptions is tuned for many small values with synced batches on few cores.
func (s *Store) pebbleOptions(opts Options) *pebble.Options {
	if opts.CacheBytes == 0 {
		opts.CacheBytes = cacheBytesDefault
	}
	if opts.MemTableBytes == 0 {
		opts.MemTableBytes = memTableBytesDefault
	}
	s.memTable = opts.MemTableBytes
	s.spare = newSpareLog(s.fs, s.fs.PathJoin(s.dir, pebbleName), s.memTable, s.DiskFree)
	o := &pebble.Options{
		FS:        blockFS{s.fs, s.spare},
		CacheSize: opts.CacheBytes,
		// A fixed version: a newer library must not make the folder unreadable to us.
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                opts.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       l0Sublevels,
		L0StopWritesThreshold:       l0Stop,
		FlushSplitBytes:             tableBytes,
		MaxOpenFiles:                1000,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      pebbleLogger{s},
		EventListener:               s.listener(),
		WALMinSyncInterval:          opts.SyncInterval,
	}
	o.TargetFileSizes[0] = tableBytes
	o.Experimental.L0CompactionConcurrency = l0Behind
	o.Experimental.CompactionScheduler = s.compactions
	for i := range o.Levels {
		l := &o.Levels[i]
		l.BlockSize = 16 << 10
		l.IndexBlockSize = 64 << 10
		l.FilterPolicy = bloom.FilterPolicy(10)
		l.FilterType = pebble.TableFilter
	}
	return o
}

// Close ends the store. After a failure it leaves Pebble alone, which may hang.
func (s *Store) Close() error {
	if s.Err() != nil {
		s.spare.quits()
		s.cutter.cancel()
		return nil
	}
	s.cutter.stop()
	err := s.db.Close()
	s.spare.stop()
	if lerr := s.lock.Close(); err == nil {
		err = lerr
	}
	if err != nil {
		return fmt.Errorf("close store in %s: %w", s.dir, err)
	}
	return nil
}

// SetPartitions tells how many partitions views have.
func (s *Store) SetPartitions(n int) { s.partitions.Store(int64(n)) }

// partitionsMax is how many partitions there may be.
func (s *Store) partitionsMax() int64 {
	if n := s.partitions.Load(); n > 0 {
		return n
	}
	return ring.Slots
}

// Fresh reports whether this start made the store.
func (s *Store) Fresh() bool { return s.fresh }

// Corruptions returns how many damaged files and items were met since the start.
func (s *Store) Corruptions() uint64 { return s.corruptions.Load() }

// Failed is closed when a write or a sync has failed; then Err says why.
func (s *Store) Failed() <-chan struct{} { return s.failure.done }

// Err returns the failure that ended the store, or nil.
func (s *Store) Err() error {
	s.failure.Lock()
	defer s.failure.Unlock()
	return s.failure.err
}

// MemTableBytes returns the size of a memtable.
func (s *Store) MemTableBytes() uint64 { return s.memTable }

// DiskKnown reports whether the file system can tell how much room it has left: one
// in memory can't.
func (s *Store) DiskKnown() bool {
	_, err := s.fs.GetDiskUsage(s.dir)
	return err == nil
}

// DiskFree returns the bytes that the file system has left, 0 if unknown.
func (s *Store) DiskFree() uint64 {
	u, err := s.fs.GetDiskUsage(s.dir)
	if err != nil {
		return 0 // a file system that can't tell, such as one in memory
	}
	return u.AvailBytes
}

// fail ends the store: nothing that was not synced so far can be trusted.
func (s *Store) fail(err error) {
	s.failure.Lock()
	defer s.failure.Unlock()
	if s.failure.err != nil {
		return
	}
	s.failure.err = fmt.Errorf("store in %s failed: %w", s.dir, err)
	close(s.failure.done)
}

// tell makes an error of Pebble one that callers know.
func (s *Store) tell(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", replica.ErrCorrupt, err)
	}
	return err
}
